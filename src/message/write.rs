//! Values into bytes.

use serde::ser::{self, Serialize, Serializer};

use super::reason::Reason;

/// Where the bytes of a message go.
pub(crate) trait Output {
    /// Appends the lowest `count` bytes of a word, at most 8; the others are 0.
    fn push(&mut self, word: u64, count: usize);

    /// Appends bytes.
    fn append(&mut self, bytes: &[u8]);
}

impl Output for Vec<u8> {
    #[inline]
    fn push(&mut self, word: u64, count: usize) {
        self.extend_from_slice(&word.to_le_bytes()[..count]);
    }

    #[inline]
    fn append(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

pub(super) struct Writer<'a, O>(pub(super) &'a mut O);

/// The first byte of a length that is not below it.
pub(super) const LONG: u8 = u8::MAX;

impl<O: Output> Writer<'_, O> {
    #[inline]
    fn length(&mut self, length: u64) {
        if length < LONG.into() {
            self.0.push(length, 1);
        } else {
            self.0.push(LONG.into(), 1);
            self.0.push(length, 8);
        }
    }

    #[inline]
    fn another(&mut self) -> Writer<'_, O> {
        Writer(self.0)
    }
}

type Written = Result<(), Reason>;

macro_rules! numbers {
    ($($method:ident $number:ty: $unsigned:ty, $count:literal;)*) => {$(
        #[inline]
        fn $method(self, number: $number) -> Written {
            self.0.push(u64::from(number as $unsigned), $count);
            Ok(())
        }
    )*};
}

impl<O: Output> Serializer for Writer<'_, O> {
    type Ok = ();
    type Error = Reason;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn is_human_readable(&self) -> bool {
        false
    }

    numbers! {
        serialize_bool bool: u8, 1;
        serialize_i8 i8: u8, 1;
        serialize_u8 u8: u8, 1;
        serialize_i16 i16: u16, 2;
        serialize_u16 u16: u16, 2;
        serialize_i32 i32: u32, 4;
        serialize_u32 u32: u32, 4;
        serialize_char char: u32, 4;
        serialize_i64 i64: u64, 8;
        serialize_u64 u64: u64, 8;
    }

    #[inline]
    fn serialize_i128(self, number: i128) -> Written {
        self.serialize_u128(number.cast_unsigned())
    }

    #[inline]
    fn serialize_u128(self, number: u128) -> Written {
        self.0.push(number as u64, 8);
        self.0.push((number >> 64) as u64, 8);
        Ok(())
    }

    #[inline]
    fn serialize_f32(self, number: f32) -> Written {
        self.serialize_u32(number.to_bits())
    }

    #[inline]
    fn serialize_f64(self, number: f64) -> Written {
        self.serialize_u64(number.to_bits())
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Written {
        self.serialize_bytes(text.as_bytes())
    }

    #[inline]
    fn serialize_bytes(mut self, bytes: &[u8]) -> Written {
        self.length(bytes.len() as u64);
        self.0.append(bytes);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Written {
        self.serialize_bool(false)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Written {
        self.another().serialize_bool(true)?;
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Written {
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _: &'static str) -> Written {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(mut self, _: &'static str, index: u32, _: &'static str) -> Written {
        self.length(index.into());
        Ok(())
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Written {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Written {
        self.length(index.into());
        value.serialize(self)
    }

    #[inline]
    fn serialize_seq(mut self, length: Option<usize>) -> Result<Self, Reason> {
        let Some(length) = length else {
            return Err(Reason::new("its length is not known before its elements are: collect it first"));
        };
        self.length(length as u64);
        Ok(self)
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Self, Reason> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Reason> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Reason> {
        self.length(index.into());
        Ok(self)
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Self, Reason> {
        self.serialize_seq(length)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Reason> {
        Ok(self)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self, Reason> {
        self.serialize_tuple_variant(name, index, variant, length)
    }
}

macro_rules! elements {
    ($($of:ident $method:ident;)*) => {$(
        impl<O: Output> ser::$of for Writer<'_, O> {
            type Ok = ();
            type Error = Reason;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
                value.serialize(self.another())
            }

            #[inline]
            fn end(self) -> Written {
                Ok(())
            }
        }
    )*};
}

elements! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! fields {
    ($($of:ident)*) => {$(
        impl<O: Output> ser::$of for Writer<'_, O> {
            type Ok = ();
            type Error = Reason;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Written {
                value.serialize(self.another())
            }

            /// Who reads cannot know that it is not there.
            #[cold]
            fn skip_field(&mut self, name: &'static str) -> Written {
                Err(Reason::new(format!(
                    "its field `{name}` is left out now and then (`skip_serializing_if`), which who reads \
                     it cannot know; always write it, or always `skip` it"
                )))
            }

            #[inline]
            fn end(self) -> Written {
                Ok(())
            }
        }
    )*};
}

fields! { SerializeStruct SerializeStructVariant }

impl<O: Output> ser::SerializeMap for Writer<'_, O> {
    type Ok = ();
    type Error = Reason;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Written {
        key.serialize(self.another())
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        value.serialize(self.another())
    }

    #[inline]
    fn end(self) -> Written {
        Ok(())
    }
}
