//! Bytes into values, believing none of them.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor, value::U32Deserializer,
};

use super::{reason::Reason, write::LONG};

/// What is left of a message.
pub(super) struct Reader<'de> {
    bytes: &'de [u8],
}

type Read<T> = Result<T, Reason>;

/// Elements without a byte may be so many: more would keep the reader busy for minutes.
const MOST_WITHOUT_BYTES: u64 = 1 << 32;

#[cold]
fn breaks_off() -> Reason {
    Reason::new("it breaks off")
}

impl<'de> Reader<'de> {
    #[inline]
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self { bytes }
    }

    /// Everything was read.
    #[inline]
    pub(super) fn is_at_end(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes were not read.
    pub(super) fn left(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or_else(breaks_off)?;
        self.bytes = rest;
        Ok(*array)
    }

    #[inline]
    fn slice(&mut self) -> Read<&'de [u8]> {
        let length = usize::try_from(self.length()?).unwrap_or(usize::MAX);
        let (slice, rest) = self.bytes.split_at_checked(length).ok_or_else(breaks_off)?;
        self.bytes = rest;
        Ok(slice)
    }

    #[inline]
    fn length(&mut self) -> Read<u64> {
        match self.array()? {
            [LONG] => Ok(u64::from_le_bytes(self.array()?)),
            [short] => Ok(short.into()),
        }
    }

    #[inline]
    fn flag(&mut self) -> Read<bool> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(Reason::new(format!("{other} is neither true nor false"))),
        }
    }

    /// As many elements as its length says.
    #[inline]
    fn elements(&mut self) -> Read<Elements<'_, 'de>> {
        let left = self.length()?;
        if left > self.bytes.len() as u64 && left >= MOST_WITHOUT_BYTES {
            return Err(Reason::new(format!("{left} elements are more than there are bytes")));
        }
        Ok(Elements { reader: self, left })
    }
}

macro_rules! numbers {
    ($($deserialize:ident $visit:ident $number:ty;)*) => {$(
        #[inline]
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
            visitor.$visit(<$number>::from_le_bytes(self.array()?))
        }
    )*};
}

macro_rules! unknown {
    ($($deserialize:ident)*) => {$(
        #[cold]
        fn $deserialize<V: Visitor<'de>>(self, _: V) -> Read<V::Value> {
            Err(Reason::new(
                "a message does not say of what type it is, which `#[serde(untagged)]`, \
                 `#[serde(flatten)]` and `serde_json::Value` ask",
            ))
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Reason;

    fn is_human_readable(&self) -> bool {
        false
    }

    unknown! { deserialize_any deserialize_ignored_any deserialize_identifier }

    numbers! {
        deserialize_i8 visit_i8 i8;
        deserialize_u8 visit_u8 u8;
        deserialize_i16 visit_i16 i16;
        deserialize_u16 visit_u16 u16;
        deserialize_i32 visit_i32 i32;
        deserialize_u32 visit_u32 u32;
        deserialize_i64 visit_i64 i64;
        deserialize_u64 visit_u64 u64;
        deserialize_i128 visit_i128 i128;
        deserialize_u128 visit_u128 u128;
        deserialize_f32 visit_f32 f32;
        deserialize_f64 visit_f64 f64;
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_bool(self.flag()?)
    }

    #[inline]
    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let number = u32::from_le_bytes(self.array()?);
        let character = char::from_u32(number);
        visitor.visit_char(character.ok_or_else(|| Reason::new(format!("{number:#x} is no character")))?)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let text = str::from_utf8(self.slice()?).map_err(|error| Reason::new(error.to_string()))?;
        visitor.visit_borrowed_str(text)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_borrowed_bytes(self.slice()?)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        if self.flag()? { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Read<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_seq(self.elements()?)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_map(self.elements()?)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, count: usize, visitor: V) -> Read<V::Value> {
        visitor.visit_seq(Elements { reader: self, left: count as u64 })
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        count: usize,
        visitor: V,
    ) -> Read<V::Value> {
        self.deserialize_tuple(count, visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        visitor.visit_enum(self)
    }
}

/// The elements of a sequence or a map that are still to be read.
struct Elements<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: u64,
}

impl Elements<'_, '_> {
    #[inline]
    fn next(&mut self) -> bool {
        let more = self.left != 0;
        self.left -= u64::from(more);
        more
    }

    /// No more than there are bytes: memory is got for so many.
    #[inline]
    fn hint(&self) -> Option<usize> {
        Some(usize::try_from(self.left).unwrap_or(usize::MAX).min(self.reader.bytes.len()))
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Reason;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Read<Option<S::Value>> {
        if self.next() { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = Reason;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Read<Option<S::Value>> {
        if self.next() { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Read<S::Value> {
        seed.deserialize(&mut *self.reader)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'de> EnumAccess<'de> for &mut Reader<'de> {
    type Error = Reason;
    type Variant = Self;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Read<(S::Value, Self)> {
        let index = self.length()?;
        let index = u32::try_from(index).map_err(|_| Reason::new(format!("there is no variant {index}")))?;
        let index: U32Deserializer<Reason> = index.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Reader<'de> {
    type Error = Reason;

    #[inline]
    fn unit_variant(self) -> Read<()> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Read<S::Value> {
        seed.deserialize(self)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, count: usize, visitor: V) -> Read<V::Value> {
        self.deserialize_tuple(count, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Read<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }
}
