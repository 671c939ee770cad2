//! Values into bytes.

use serde::ser::{self, Serialize, Serializer};

use super::reason::Reason;

/// Where the bytes of a message go.
pub(crate) trait Output {
    /// Appends the lowest `count` bytes of a word, at most 8; the others are 0.
    fn push(&mut self, word: u64, count: usize);

    /// Appends bytes.
    fn append(&mut self, bytes: &[u8]);

    /// Runs `write`, which writes a handle.
    #[inline]
    fn handle<R>(&mut self, write: impl FnOnce(&mut Self) -> R) -> R {
        write(self)
    }
}

/// What a handle is called, so that it is noticed among other values.
pub(crate) const HANDLE: &str = "commons::Handle";

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

/// So deep may values lie in each other; the reader needs memory of its stack for each level.
pub(super) const DEEPEST: u32 = 500;

pub(super) struct Writer<'a, O> {
    output: &'a mut O,
    /// So many levels more.
    depth: u32,
}

/// The first byte of a length that is not below it.
pub(super) const LONG: u8 = u8::MAX;

/// What tells variants apart if their numbers do not: serde counts those that are skipped when it writes,
/// and not when it reads.
#[inline]
pub(super) fn mark(name: &str) -> u16 {
    let bytes = name.as_bytes();
    let word = |bytes: &[u8]| bytes.iter().fold(0, |word: u64, &byte| word << 8 | u64::from(byte));
    let (start, end) = (&bytes[..bytes.len().min(8)], &bytes[bytes.len().saturating_sub(8)..]);
    let mixed = word(start) ^ word(end).rotate_left(29) ^ (bytes.len() as u64) << 56;
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16
}

impl<'a, O: Output> Writer<'a, O> {
    #[inline]
    pub(super) fn new(output: &'a mut O) -> Self {
        Self { output, depth: DEEPEST }
    }

    #[inline]
    fn variant(&mut self, index: u32, name: &str) {
        self.length(index.into());
        self.output.push(mark(name).into(), 2);
    }

    #[inline]
    fn deeper(self) -> Result<Self, Reason> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(Reason::new(format!("more than {DEEPEST} values lie in each other"))),
        }
    }

    #[inline]
    fn length(&mut self, length: u64) {
        if length < LONG.into() {
            self.output.push(length, 1);
        } else {
            self.output.push(LONG.into(), 1);
            self.output.push(length, 8);
        }
    }

    #[inline]
    fn another(&mut self) -> Writer<'_, O> {
        Writer { output: self.output, depth: self.depth }
    }
}

type Written = Result<(), Reason>;

macro_rules! numbers {
    ($($method:ident $number:ty: $unsigned:ty, $count:literal;)*) => {$(
        #[inline]
        fn $method(self, number: $number) -> Written {
            self.output.push(u64::from(number as $unsigned), $count);
            Ok(())
        }
    )*};
}

impl<'a, O: Output> Serializer for Writer<'a, O> {
    type Ok = ();
    type Error = Reason;
    type SerializeSeq = Counted<'a, O>;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Counted<'a, O>;
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
        self.output.push(number as u64, 8);
        self.output.push((number >> 64) as u64, 8);
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
        self.output.append(bytes);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Written {
        self.serialize_bool(false)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Written {
        self.another().serialize_bool(true)?;
        value.serialize(self.deeper()?)
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
    fn serialize_unit_variant(mut self, _: &'static str, index: u32, variant: &'static str) -> Written {
        self.variant(index, variant);
        Ok(())
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Written {
        if name != HANDLE {
            return value.serialize(self);
        }
        let Self { output, depth } = self;
        output.handle(|output| value.serialize(Writer { output, depth }))
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Written {
        self.variant(index, variant);
        value.serialize(self.deeper()?)
    }

    #[inline]
    fn serialize_seq(mut self, length: Option<usize>) -> Result<Counted<'a, O>, Reason> {
        let Some(length) = length else {
            return Err(Reason::new(
                "its length is not known before its elements are, as with `#[serde(flatten)]`: collect it first",
            ));
        };
        self.length(length as u64);
        Ok(Counted { writer: self.deeper()?, left: length })
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
        variant: &'static str,
        _: usize,
    ) -> Result<Self, Reason> {
        self.variant(index, variant);
        self.deeper()
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Counted<'a, O>, Reason> {
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

/// A sequence or map that must have as many elements as it said.
pub(super) struct Counted<'a, O> {
    writer: Writer<'a, O>,
    left: usize,
}

impl<O: Output> Counted<'_, O> {
    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, element: &T) -> Written {
        self.left = self.left.wrapping_sub(1);
        self.writer.element(element)
    }

    #[inline]
    fn finish(self) -> Written {
        match self.left {
            0 => Ok(()),
            _ => Err(Reason::new("it has not as many elements as it said: did it change meanwhile?")),
        }
    }
}

impl<O: Output> Writer<'_, O> {
    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, element: &T) -> Written {
        element.serialize(self.another())
    }

    #[inline]
    fn finish(self) -> Written {
        Ok(())
    }
}

/// The parts of a value: what takes one, and what else its trait has.
macro_rules! parts {
    ($($parts:ident: $of:ident $method:ident($($name:ty)?) { $($more:tt)* })*) => {$(
        impl<O: Output> ser::$of for $parts<'_, O> {
            type Ok = ();
            type Error = Reason;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Written {
                self.element(value)
            }

            $($more)*

            #[inline]
            fn end(self) -> Written {
                self.finish()
            }
        }
    )*};
}

parts! {
    Counted: SerializeSeq serialize_element() {}
    Writer: SerializeTuple serialize_element() {}
    Writer: SerializeTupleStruct serialize_field() {}
    Writer: SerializeTupleVariant serialize_field() {}
    Writer: SerializeStruct serialize_field(&'static str) {
        fn skip_field(&mut self, name: &'static str) -> Written {
            skipped(name)
        }
    }
    Writer: SerializeStructVariant serialize_field(&'static str) {
        fn skip_field(&mut self, name: &'static str) -> Written {
            skipped(name)
        }
    }
    Counted: SerializeMap serialize_key() {
        #[inline]
        fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
            self.writer.element(value)
        }
    }
}

/// Who reads cannot know that it is not there.
#[cold]
fn skipped(field: &str) -> Written {
    Err(Reason::new(format!(
        "its field `{field}` is left out now and then (`skip_serializing_if`), which who reads it cannot know; \
         always write it, or always `skip` it"
    )))
}
