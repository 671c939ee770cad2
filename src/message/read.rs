//! Bytes into values, believing none of them.

use std::slice;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor, value::U32Deserializer,
};

use super::{
    reason::Reason,
    write::{DEEPEST, LONG, mark},
};

/// What is left of a message.
pub(super) struct Reader<'de> {
    bytes: slice::Iter<'de, u8>,
    /// So many levels more may values lie in each other.
    depth: u32,
    /// So many elements more may have no byte.
    empty: u64,
}

type Read<T> = Result<T, Reason>;

/// Elements without a byte may be so many in a message: others would keep the reader busy, or its memory.
const MOST_WITHOUT_BYTES: u64 = 1 << 16;

#[cold]
fn breaks_off() -> Reason {
    Reason::new("it breaks off")
}

impl<'de> Reader<'de> {
    #[inline]
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        // One more than the writer, for an enum without fields.
        Self { bytes: bytes.iter(), depth: DEEPEST + 1, empty: MOST_WITHOUT_BYTES }
    }

    /// Everything was read.
    #[inline]
    pub(super) fn is_at_end(&self) -> bool {
        self.bytes.as_slice().is_empty()
    }

    /// How many bytes were not read.
    pub(super) fn left(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let array = *self.bytes.as_slice().first_chunk().ok_or_else(breaks_off)?;
        self.skip(N);
        Ok(array)
    }

    /// Goes past what was read. Only the beginning of what is left is stored for it, not its end as well.
    #[inline(always)]
    fn skip(&mut self, bytes: usize) {
        if let Some(last) = bytes.checked_sub(1) {
            self.bytes.nth(last);
        }
    }

    #[inline]
    fn slice(&mut self) -> Read<&'de [u8]> {
        let length = usize::try_from(self.length()?).unwrap_or(usize::MAX);
        let slice = self.bytes.as_slice().get(..length).ok_or_else(breaks_off)?;
        self.skip(length);
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
        if let Some(empty) = left.checked_sub(self.bytes.len() as u64) {
            let rest = self.empty.checked_sub(empty);
            self.empty =
                rest.ok_or_else(|| Reason::new(format!("{left} elements are more than there are bytes")))?;
        }
        Ok(Elements { reader: self, left })
    }

    /// Reads what lies one level deeper.
    #[inline]
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        let depth = self.depth;
        if depth == 0 {
            return Err(Reason::new(format!("more than {DEEPEST} values lie in each other")));
        }
        self.depth = depth - 1;
        let value = read(self);
        self.depth = depth;
        value
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
        if self.flag()? { self.deeper(|reader| visitor.visit_some(reader)) } else { visitor.visit_none() }
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
        self.deeper(|reader| visitor.visit_seq(reader.elements()?))
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.deeper(|reader| visitor.visit_map(reader.elements()?))
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
        variants: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        self.deeper(|reader| visitor.visit_enum(Choice { reader, variants }))
    }
}

/// The elements of a sequence or a map that are still to be read.
struct Elements<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: u64,
}

impl<'de> Elements<'_, 'de> {
    #[inline]
    fn next<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Read<Option<S::Value>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
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
        self.next(seed)
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
        self.next(seed)
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

/// One of these variants.
struct Choice<'a, 'de> {
    reader: &'a mut Reader<'de>,
    variants: &'static [&'static str],
}

impl<'a, 'de> EnumAccess<'de> for Choice<'a, 'de> {
    type Error = Reason;
    type Variant = &'a mut Reader<'de>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Read<(S::Value, Self::Variant)> {
        let Self { reader, variants } = self;
        let (index, wanted) = (reader.length()?, u16::from_le_bytes(reader.array()?));
        let index = u32::try_from(index).map_err(|_| Reason::new(format!("there is no variant {index}")))?;
        let is_wanted = |index: u32| variants.get(index as usize).is_some_and(|name| mark(name) == wanted);
        // Where variants are skipped their numbers differ; where they are renamed for reading, their names.
        let index = if is_wanted(index) {
            index
        } else {
            (0..variants.len() as u32).find(|&index| is_wanted(index)).unwrap_or(index)
        };
        let index: U32Deserializer<Reason> = index.into_deserializer();
        Ok((seed.deserialize(index)?, reader))
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
