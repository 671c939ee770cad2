//! What can be sent to another process: any serde type that owns what it holds.

use std::cell::{Cell, RefCell};

use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, ErrorKind, Result};

/// A type whose values can be sent to another process: arguments, results, messages.
///
/// It is implemented for every `Serialize + DeserializeOwned + Send + 'static` type. Messages are
/// written with [postcard](https://docs.rs/postcard), which needs types that are not
/// self-describing: `#[serde(untagged)]`, `#[serde(flatten)]` and `serde_json::Value` cannot
/// cross and give an error of kind [`ErrorKind::Decode`] or [`ErrorKind::Encode`] that names them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to another process",
    label = "needs `Serialize + DeserializeOwned + Send + 'static`",
    note = "derive `serde::Serialize` and `serde::Deserialize`; send owned data instead of references"
)]
pub trait Message: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Message for T {}

/// The bytes of `value`.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes)?;
    Ok(bytes)
}

/// Appends the bytes of `value`.
#[inline]
pub(crate) fn encode_into<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) -> Result<()> {
    postcard::serialize_with_flavor(value, Appending(bytes)).map_err(|error| {
        Error::new(
            ErrorKind::Encode,
            format!("cannot write a {} as a message: {error}", std::any::type_name::<T>()),
        )
    })
}

/// Bytes of a `u64` in postcard's encoding.
const LONGEST_NUMBER: usize = 10;

struct Appending<'a>(&'a mut Vec<u8>);

impl Flavor for Appending<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() <= LONGEST_NUMBER {
            // A number that was just put together from its bytes: read as a whole it is waited for.
            bytes.iter().for_each(|&byte| self.0.push(byte));
        } else {
            self.0.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A thread keeps so many bytes for its next message.
const KEPT: usize = 1 << 20;

/// Runs `work` with memory that this thread uses for one message after the other; what stands in it
/// is old. Inside `work` there is other memory.
#[inline]
pub(crate) fn with_scratch<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut work = Some(work);
    let mut once = |bytes: &mut Vec<u8>| work.take().map(|work| work(bytes));
    let done = SCRATCH.try_with(|scratch| {
        // Used in place: a Vec that is moved out and back costs as much as the rest of a send.
        let mut bytes = scratch.try_borrow_mut().ok()?;
        let result = once(&mut bytes);
        if bytes.capacity() > KEPT {
            *bytes = Vec::new();
        }
        result
    });
    // A thread in its last breath has none left, and one that is inside `work` uses it.
    match done.ok().flatten().or_else(|| once(&mut Vec::new())) {
        Some(result) => result,
        None => unreachable!("one of the two has run it"),
    }
}

thread_local! {
    static REFUSED: RefCell<Option<Error>> = const { RefCell::new(None) };
    /// Whether there is one: looked at before each message.
    static HAS_REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Refuses a value inside a message with `error`, which [`decode`] then returns as it is.
///
/// The decoder itself keeps no text and no kind.
pub(crate) fn refuse<E: serde::de::Error>(error: Error) -> E {
    let decoder_error = E::custom(&error);
    REFUSED.set(Some(error));
    HAS_REFUSED.set(true);
    decoder_error
}

/// The value that `bytes` hold, all of them.
#[inline]
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let wrong = |why: String| {
        let name = std::any::type_name::<T>();
        Error::new(
            ErrorKind::Decode,
            format!("cannot read a message of {} bytes as a {name}: {why}", bytes.len()),
        )
    };
    HAS_REFUSED.set(false);
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(wrong(format!("{} bytes are left over", rest.len()))),
        Err(error) => {
            let refused = HAS_REFUSED.take().then(|| REFUSED.take()).flatten();
            Err(refused.unwrap_or_else(|| wrong(error.to_string())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_over_bytes_and_other_types_are_errors() {
        let bytes = encode(&(7u64, "seven")).unwrap();
        assert_eq!(decode::<(u64, String)>(&bytes).unwrap(), (7, "seven".to_owned()));
        assert!(decode::<u64>(&bytes).unwrap_err().to_string().contains("left over"));
        assert_eq!(decode::<String>(&[9, 0]).unwrap_err().kind(), ErrorKind::Decode);
    }
}
