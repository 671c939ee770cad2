//! What can be sent to another process: any serde type that owns what it holds.
//!
//! The bytes of a value, in the order of serde's data model:
//!
//! | what | bytes |
//! |---|---|
//! | integers and floats | as many as they have, the lowest first; `usize` and `isize` 8 |
//! | `bool` | 1: 0 or 1 |
//! | `char` | 4 |
//! | length | 1 below 255; otherwise 255, and 8 |
//! | string, bytes | length, content |
//! | sequence, map | length, elements |
//! | option | 0, or 1 and the value |
//! | enum | the variant's number as a length, 2 of its name, its fields |
//! | struct, tuple, array | fields, and nothing else |
//!
//! Integers have their full width: a number is then one store, and an array of them a row of stores.
//!
//! | file | the one thing |
//! |---|---|
//! | `reason` | why a value cannot be written or read |
//! | `write` | values into bytes |
//! | `read` | bytes into values, believing none of them |

mod reason;
mod write;
mod read;

use std::any::type_name;

use serde::{Serialize, de::DeserializeOwned};

use self::{read::Reader, reason::Reason, write::Writer};
pub(crate) use self::{
    reason::refuse,
    write::{HANDLE, Output},
};
use crate::error::{Error, ErrorKind, Result};

/// A type whose values can be sent to another process: arguments, results, messages.
///
/// It is implemented for every `Serialize + DeserializeOwned + Send + 'static` type. A message does not
/// say of what type it is, so types that ask cannot cross: `#[serde(untagged)]`, `#[serde(tag)]`,
/// `#[serde(flatten)]`, `#[serde(skip_serializing_if)]` and `serde_json::Value` give an error of kind
/// [`ErrorKind::Decode`] or [`ErrorKind::Encode`]. A field that is skipped must be skipped both ways.
/// A handle in a message keeps its object alive until it arrives; one that a type writes by another
/// serializer, into a text in the message perhaps, does not.
/// Values may lie in each other 500 levels deep, and 65,536 elements of a message may have no byte.
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
    encode_to(value, &mut bytes)?;
    Ok(bytes)
}

/// Writes the bytes of `value`.
#[inline]
pub(crate) fn encode_to<T: Serialize + ?Sized, O: Output>(value: &T, output: &mut O) -> Result<()> {
    value.serialize(Writer::new(output)).map_err(|reason| {
        reason.into_error(ErrorKind::Encode, |why| {
            format!("cannot write a {} as a message: {why}", type_name::<T>())
        })
    })
}

/// The value that `bytes` hold, all of them.
#[inline]
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    decode_or(bytes, |error| error)
}

/// As [`decode`], with an error of another type: the value is moved once, to where it stays. Values that
/// were written in small pieces and are then moved in large ones are waited for.
#[inline(always)]
pub(crate) fn decode_or<T: DeserializeOwned, E>(
    bytes: &[u8],
    refuse: impl FnOnce(Error) -> E,
) -> Result<T, E> {
    let mut reader = Reader::new(bytes);
    let reason = match T::deserialize(&mut reader) {
        Ok(value) if reader.is_at_end() => return Ok(value),
        Ok(_) => Reason::new(format!("{} bytes are left over", reader.left())),
        Err(reason) => reason,
    };
    Err(refuse(unreadable::<T>(reason, bytes.len())))
}

#[cold]
fn unreadable<T>(reason: Reason, len: usize) -> Error {
    reason.into_error(ErrorKind::Decode, |why| {
        format!("cannot read a message of {len} bytes as a {}: {why}", type_name::<T>())
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fmt, num::NonZeroU8};

    use serde::Deserialize;

    use super::*;

    fn there_and_back<T: Message + PartialEq + fmt::Debug>(value: T, len: usize) {
        let bytes = encode(&value).unwrap();
        assert_eq!((decode::<T>(&bytes).unwrap(), bytes.len()), (value, len));
        for len in 0..bytes.len() {
            let error = decode::<T>(&bytes[..len]).expect_err("a message that breaks off");
            assert_eq!(error.kind(), ErrorKind::Decode);
        }
        let more = [&*bytes, &[0]].concat();
        assert!(decode::<T>(&more).unwrap_err().to_string().contains("left over"));
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Nothing,
        Wrapped(Box<Shape>),
        Pair(i8, char),
        Named { wide: u128, text: String },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;

    /// serde numbers its variants otherwise when it writes than when it reads.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Thinned {
        First(u8),
        #[serde(skip)]
        #[allow(dead_code)]
        Second,
        Third(u8),
        Fourth(i8),
    }

    /// Its variants have other names when they are read.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all(deserialize = "SCREAMING-KEBAB-CASE"))]
    enum Renamed {
        One,
        AnotherOne,
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Nest(Option<Box<Nest>>);

    /// Says that it has more elements than it has.
    struct Liar;

    impl Serialize for Liar {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeSeq;
            let mut elements = serializer.serialize_seq(Some(2))?;
            elements.serialize_element(&1u8)?;
            elements.end()
        }
    }

    #[test]
    fn what_would_come_back_as_something_else_does_not_go() {
        assert!(encode(&Liar).unwrap_err().to_string().contains("as many elements"));
        there_and_back([Renamed::One, Renamed::AnotherOne], 2 * 3);
    }

    fn nest(levels: u32) -> Nest {
        (0..levels).fold(Nest(None), |inner, _| Nest(Some(inner.into())))
    }

    #[test]
    fn depth_is_bounded_on_both_sides() {
        let deepest = encode(&nest(write::DEEPEST)).unwrap();
        decode::<Nest>(&deepest).unwrap();
        assert!(encode(&nest(write::DEEPEST + 1)).unwrap_err().to_string().contains("in each other"));
        let hostile = vec![1; 1 << 20];
        assert!(decode::<Nest>(&hostile).unwrap_err().to_string().contains("in each other"));
    }

    #[test]
    fn elements_without_bytes_are_bounded_in_all() {
        there_and_back(vec![(); 60_000], 9);
        let many = |count: u64| [&[255][..], &count.to_le_bytes()].concat();
        let twice = [&[2][..], &many(40_000), &many(40_000)].concat();
        assert!(decode::<Vec<Vec<()>>>(&twice).unwrap_err().to_string().contains("elements"));
    }

    #[test]
    fn every_kind_of_value_goes_there_and_back() {
        there_and_back(u64::MAX, 8);
        there_and_back((true, i16::MIN, -1isize, 1.5f32, f64::MIN), 1 + 2 + 8 + 4 + 8);
        there_and_back([u32::MAX; 3], 12);
        there_and_back((Unit, (), ()), 0);
        there_and_back((Some('\u{10ffff}'), None::<u8>), 1 + 4 + 1);
        there_and_back("seven".to_owned(), 6);
        there_and_back(vec![7u8; 254], 255);
        there_and_back(vec![7u8; 255], 9 + 255);
        there_and_back(vec![(), ()], 1);
        there_and_back(BTreeMap::from([(1u8, vec!["one".to_owned()]), (2, vec![])]), 1 + 1 + 5 + 1 + 1);
        there_and_back(i128::MIN, 16);
        let named = Shape::Named { wide: 1 << 100, text: String::new() };
        there_and_back(vec![Shape::Nothing, Shape::Pair(-1, 'x')], 1 + 3 + 3 + 5);
        there_and_back(Shape::Wrapped(named.into()), 3 + 3 + 16 + 1);
        there_and_back([Thinned::First(1), Thinned::Third(200), Thinned::Fourth(-1)], 3 * 4);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let why = |error: Error| {
            assert_eq!(error.kind(), ErrorKind::Decode);
            error.to_string()
        };
        assert!(why(decode::<bool>(&[2]).unwrap_err()).contains("neither true nor false"));
        assert!(why(decode::<Option<u8>>(&[2, 1]).unwrap_err()).contains("neither"));
        assert!(why(decode::<char>(&[0, 0xd8, 0, 0]).unwrap_err()).contains("no character"));
        assert!(why(decode::<String>(&[1, 0xff]).unwrap_err()).contains("utf-8"));
        assert!(why(decode::<Shape>(&[4, 0, 0]).unwrap_err()).contains("variant"));
        assert!(why(decode::<NonZeroU8>(&[0]).unwrap_err()).contains("nonzero"));
        let many = [&[255][..], &u64::MAX.to_le_bytes()].concat();
        assert!(why(decode::<Vec<u64>>(&many).unwrap_err()).contains("elements"));
        assert!(why(decode::<Vec<()>>(&many).unwrap_err()).contains("elements"));
        assert!(why(decode::<Shape>(&[&*many, &[0, 0]].concat()).unwrap_err()).contains("variant"));
        let long = [&[255][..], &(u64::MAX / 2).to_le_bytes()].concat();
        assert!(why(decode::<String>(&long).unwrap_err()).contains("breaks off"));
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Sparse {
        #[serde(skip_serializing_if = "Option::is_none")]
        sometimes: Option<u8>,
        #[serde(skip)]
        never: u8,
    }

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(u8),
    }

    #[test]
    fn types_that_need_more_than_bytes_are_named() {
        let sparse = encode(&Sparse { sometimes: None, never: 1 }).unwrap_err();
        assert!(sparse.kind() == ErrorKind::Encode && sparse.to_string().contains("`sometimes`"), "{sparse}");
        let bytes = encode(&Sparse { sometimes: Some(1), never: 1 }).unwrap();
        assert_eq!(decode::<Sparse>(&bytes).unwrap().never, 0);
        let untagged = decode::<Untagged>(&encode(&Untagged::Number(1)).unwrap()).unwrap_err();
        assert!(untagged.to_string().contains("untagged"), "{untagged}");
    }
}
