//! What can be sent to another process: any serde type that owns what it holds.

use std::cell::{Cell, RefCell};

use postcard::ser_flavors::{Flavor, StdVec};
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
    encode_to(value, StdVec::new())
}

/// Writes the bytes of `value`.
#[inline]
pub(crate) fn encode_to<T: Serialize + ?Sized, F: Flavor>(value: &T, writer: F) -> Result<F::Output> {
    postcard::serialize_with_flavor(value, writer).map_err(|error| {
        Error::new(
            ErrorKind::Encode,
            format!("cannot write a {} as a message: {error}", std::any::type_name::<T>()),
        )
    })
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
