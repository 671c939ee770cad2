//! What is inside a segment, in one number and in words.
//!
//! Size, alignment and the type's name without its path, since two programs that hold the same
//! struct must meet; for derived structures also the fields. FNV-1a by Fowler, Noll and Vo, 64 bits:
//! it tells honest programs apart and protects against nobody.

use std::{alloc, fmt};

use crate::shareable::Field;

/// One element as the two sides of an attachment compare it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) size: u64,
    pub(crate) align: u64,
    /// The short type name.
    pub(crate) type_name: String,
    pub(crate) fingerprint: u64,
    /// What a derived structure is made of; empty for everything else.
    pub(crate) fields: Vec<Field>,
}

impl Element {
    /// An element of this layout and short type name, made of these fields.
    pub(crate) fn new(layout: alloc::Layout, type_name: String, fields: Vec<Field>) -> Self {
        let (size, align) = (layout.size() as u64, layout.align() as u64);
        let fingerprint = fingerprint(size, align, &type_name, &fields);
        Self { size, align, type_name, fingerprint, fields }
    }

    /// The first difference in the fields of two derived structures, in words.
    pub(crate) fn field_difference(&self, found: &[Field]) -> Option<String> {
        let ours = self.fields.iter().map(Some).chain(std::iter::repeat(None));
        let theirs = found.iter().map(Some).chain(std::iter::repeat(None));
        let longest = self.fields.len().max(found.len());
        let words = |field: Option<&Field>| match field {
            Some(f) => {
                let count = if f.count == 1 { String::new() } else { format!(", {} times", f.count) };
                format!("`{}: {}` at byte {}{count}", f.name, f.type_name, f.offset)
            }
            None => "no further field".to_owned(),
        };
        let (ours, theirs) = ours.zip(theirs).take(longest).find(|(ours, theirs)| ours != theirs)?;
        Some(format!("expected {}, found {}", words(ours), words(theirs)))
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes, alignment {})", self.type_name, self.size, self.align)
    }
}

fn fingerprint(size: u64, align: u64, type_name: &str, fields: &[Field]) -> u64 {
    let mut hash = Fnv::new();
    hash.number(size);
    hash.number(align);
    hash.text(type_name);
    for field in fields {
        hash.text(&field.name);
        hash.text(&field.type_name);
        for number in [field.offset, field.size, field.count, field.stride] {
            hash.number(number as u64);
        }
    }
    hash.0
}

struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// Length first, so that no two lists of texts run together.
    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, AtomicU64};

    use super::*;
    use crate::shareable::Shareable;

    fn element<T: Shareable>() -> Element {
        Element::new(alloc::Layout::new::<T>(), "T".to_owned(), T::fields())
    }

    #[test]
    fn the_hash_is_the_published_one() {
        let hash = |text: &str| {
            let mut hash = Fnv::new();
            hash.bytes(text.as_bytes());
            hash.0
        };
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn the_same_size_with_other_fields_is_another_element() {
        let (pair, one) = (element::<[AtomicU32; 2]>(), element::<AtomicU64>());
        assert_ne!(pair.fingerprint, one.fingerprint);
        assert_eq!(pair.fingerprint, element::<[AtomicU32; 2]>().fingerprint);
        let words = pair.field_difference(&one.fields).unwrap();
        assert!(words.contains("`[]: AtomicU32` at byte 0, 2 times"), "{words}");
        assert_eq!(pair.field_difference(&pair.fields), None);
    }
}
