//! The first 256 bytes of every segment, normative in `docs/format.md`.
//!
//! Pure functions on bytes: [`encode`] writes what a creator knows, [`parse`] believes nothing. It
//! reads a private copy once and checks all of it against the size of the file; from then on only
//! the checked [`Header`] is used, whatever happens to the file.
//!
//! [`encode`]: Header::encode
//! [`parse`]: Header::parse

use std::mem::offset_of;

use bytemuck::{Pod, Zeroable};

use super::{fingerprint::Element, kind::Kind, rows, schema};
use crate::{
    error::{Error, ErrorKind, Result},
    sys::identity::ProcessId,
};

/// Bytes of the header.
pub(crate) const LEN: usize = rows::START;

/// Dimensions that an array can have.
pub(crate) const MAX_DIMENSIONS: usize = 8;

/// The strictest alignment: a page.
pub(crate) const MAX_ALIGN: u64 = 4096;

/// How often an end of a channel has come, or a handle in a message has come or gone, modulo 2^32.
pub(crate) const MOVES: usize = offset_of!(Image, moves);

const MAGIC: [u8; 8] = *b"COMMONS\x1a";
const VERSION: u32 = 1;
const POINTER_BITS: u8 = usize::BITS as u8;
const ENDIANNESS: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };
const PERSIST: u32 = 1;
const NAME_LEN: usize = 48;

/// The bytes themselves.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Image {
    magic: [u8; 8],
    version: u32,
    pointer_bits: u8,
    endianness: u8,
    kind: u16,
    flags: u32,
    mode: u32,
    boot: [u8; 16],
    pid_namespace: u64,
    time_namespace: u64,
    creator_pid: u32,
    moves: u32,
    creator_start: u64,
    id: [u8; 16],
    payload_offset: u64,
    payload_len: u64,
    element_size: u64,
    element_align: u64,
    element_count: u64,
    fingerprint: u64,
    dimensions: u32,
    schema_len: u32,
    shape: [u64; MAX_DIMENSIONS],
    type_name: [u8; NAME_LEN],
}

/// Every field with its offset, as `docs/format.md` has them.
macro_rules! offsets {
    ($($field:ident $offset:literal)*) => {
        const _: () = {
            assert!(size_of::<Image>() == LEN && align_of::<Image>() == 8);
            $(assert!(offset_of!(Image, $field) == $offset);)*
        };

        #[cfg(test)]
        const OFFSETS: &[(&str, usize)] = &[$((stringify!($field), $offset)),*];
    };
}

offsets! {
    magic 0  version 8  pointer_bits 12  endianness 13  kind 14  flags 16  mode 20  boot 24
    pid_namespace 40  time_namespace 48  creator_pid 56  moves 60  creator_start 64  id 72
    payload_offset 88  payload_len 96  element_size 104  element_align 112  element_count 120
    fingerprint 128  dimensions 136  schema_len 140  shape 144  type_name 208
}

/// Where thread ids mean something: one boot, one pid namespace, one time namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) boot: [u8; 16],
    pub(crate) pid_namespace: u64,
    pub(crate) time_namespace: u64,
}

/// A header that was checked, and is private to this process.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) kind: u16,
    pub(crate) persist: bool,
    pub(crate) mode: u32,
    pub(crate) home: Home,
    pub(crate) creator: ProcessId,
    pub(crate) id: [u8; 16],
    pub(crate) payload_offset: u64,
    pub(crate) payload_len: u64,
    /// Its fields come from the schema, which is read after the header.
    pub(crate) element: Element,
    pub(crate) count: u64,
    pub(crate) shape: Vec<u64>,
    pub(crate) schema_len: usize,
}

impl Header {
    /// The bytes that say this.
    pub(crate) fn encode(&self) -> [u8; LEN] {
        let mut image = Image {
            magic: MAGIC,
            version: VERSION,
            pointer_bits: POINTER_BITS,
            endianness: ENDIANNESS,
            kind: self.kind,
            flags: if self.persist { PERSIST } else { 0 },
            mode: self.mode,
            boot: self.home.boot,
            pid_namespace: self.home.pid_namespace,
            time_namespace: self.home.time_namespace,
            creator_pid: self.creator.pid,
            moves: 0,
            creator_start: self.creator.start,
            id: self.id,
            payload_offset: self.payload_offset,
            payload_len: self.payload_len,
            element_size: self.element.size,
            element_align: self.element.align,
            element_count: self.count,
            fingerprint: self.element.fingerprint,
            dimensions: 0,
            schema_len: 0,
            shape: [0; MAX_DIMENSIONS],
            type_name: [0; NAME_LEN],
        };
        image.schema_len = u32::try_from(self.schema_len).unwrap_or(u32::MAX);
        for (to, from) in image.shape.iter_mut().zip(&self.shape) {
            *to = *from;
            image.dimensions += 1;
        }
        let name = head(&self.element.type_name, NAME_LEN);
        image.type_name[..name.len()].copy_from_slice(name.as_bytes());
        bytemuck::cast(image)
    }

    /// What the bytes say, if a segment of `file_len` bytes can begin with them; `label` names it.
    pub(crate) fn parse(bytes: &[u8; LEN], file_len: u64, label: &str) -> Result<Self> {
        let image: Image = bytemuck::cast(*bytes);
        let error = |kind, why: String| Err(Error::new(kind, format!("{label} {why}")));
        if image.magic != MAGIC {
            return error(
                ErrorKind::Corrupt,
                "does not begin as a segment does: the file is damaged or not ours".into(),
            );
        }
        if (image.pointer_bits, image.endianness) != (POINTER_BITS, ENDIANNESS) {
            let why = format!(
                "was made by a {}-bit program of endianness {}; this one has {POINTER_BITS} bits and endianness \
                 {ENDIANNESS}",
                image.pointer_bits, image.endianness
            );
            return error(ErrorKind::Mismatch, why);
        }
        if image.version != VERSION {
            let why = format!(
                "has format version {}, this program reads version {VERSION}; build both with one version of commons",
                image.version
            );
            return error(ErrorKind::Mismatch, why);
        }
        match image.check(file_len) {
            Ok(header) => Ok(header),
            Err(why) => error(ErrorKind::Corrupt, format!("is damaged: {why}; remove it and create it anew")),
        }
    }

    /// The kind in words.
    pub(crate) fn kind_words(&self) -> String {
        Kind::words(self.kind)
    }
}

impl Image {
    fn check(&self, file_len: u64) -> Result<Header, String> {
        let schema_len = usize::try_from(self.schema_len).unwrap_or(usize::MAX);
        if schema_len > schema::MAX_LEN {
            return Err(format!("its schema of {schema_len} bytes is longer than any"));
        }
        if !self.element_align.is_power_of_two() || self.element_align > MAX_ALIGN {
            return Err(format!("its elements are aligned to {}", self.element_align));
        }
        if !self.element_size.is_multiple_of(self.element_align) {
            return Err(format!(
                "elements of {} bytes cannot be aligned to {}",
                self.element_size, self.element_align
            ));
        }
        let first = rows::END as u64 + schema_len as u64;
        if self.payload_offset < first || !self.payload_offset.is_multiple_of(self.element_align.max(64)) {
            return Err(format!("its payload cannot begin at byte {}", self.payload_offset));
        }
        let end = self.payload_offset.checked_add(self.payload_len);
        if end.is_none_or(|end| end > file_len) {
            return Err(format!(
                "its payload of {} bytes at byte {} does not fit into a file of {file_len} bytes",
                self.payload_len, self.payload_offset
            ));
        }
        let Some(shape) = self.shape.get(..self.dimensions as usize) else {
            return Err(format!("it has {} dimensions", self.dimensions));
        };
        if element_count(shape) != Some(self.element_count) {
            return Err(format!("shape {shape:?} has not {} elements", self.element_count));
        }
        let name_len = self.type_name.iter().position(|&byte| byte == 0).unwrap_or(NAME_LEN);
        let type_name = std::str::from_utf8(&self.type_name[..name_len]);
        let type_name = type_name.map_err(|_| "its type name is no text".to_owned())?.to_owned();
        Ok(Header {
            kind: self.kind,
            persist: self.flags & PERSIST != 0,
            mode: self.mode,
            home: Home {
                boot: self.boot,
                pid_namespace: self.pid_namespace,
                time_namespace: self.time_namespace,
            },
            creator: ProcessId { pid: self.creator_pid, start: self.creator_start },
            id: self.id,
            payload_offset: self.payload_offset,
            payload_len: self.payload_len,
            element: Element {
                size: self.element_size,
                align: self.element_align,
                type_name,
                fingerprint: self.fingerprint,
                fields: Vec::new(),
            },
            count: self.element_count,
            shape: shape.to_vec(),
            schema_len,
        })
    }
}

/// How many elements a shape has; `None` if no number can say it. No dimension is one element.
pub(crate) fn element_count(shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(1u64, |count, &side| count.checked_mul(side))
}

/// The part of `text` that fits into `len` bytes, whole characters only.
fn head(text: &str, len: usize) -> &str {
    let end = (0..=len.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use std::alloc::Layout;

    use super::*;

    fn header() -> Header {
        Header {
            kind: Kind::Array.number(),
            persist: true,
            mode: 0o600,
            home: Home { boot: [1; 16], pid_namespace: 2, time_namespace: 3 },
            creator: ProcessId { pid: 4, start: 5 },
            id: [6; 16],
            payload_offset: 6400,
            payload_len: 48,
            element: Element::new(Layout::new::<f64>(), "f64".to_owned(), vec![]),
            count: 6,
            shape: vec![2, 3],
            schema_len: 0,
        }
    }

    #[test]
    fn a_header_comes_back() {
        let (header, parsed) = (header(), Header::parse(&header().encode(), 6448, "it").unwrap());
        assert_eq!(format!("{parsed:?}"), format!("{header:?}"));
    }

    #[test]
    fn a_truncated_file_and_a_foreign_one_are_corrupt() {
        let error = Header::parse(&header().encode(), 4399, "it").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("4399"), "{error}");
        assert_eq!(Header::parse(&[0; LEN], 1 << 20, "it").unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn no_flipped_byte_gets_a_payload_outside_the_file() {
        for at in 0..LEN {
            for mask in 1..=255 {
                let mut bytes = header().encode();
                bytes[at] ^= mask;
                let Ok(header) = Header::parse(&bytes, 6448, "it") else { continue };
                assert!(header.payload_offset >= 6400 && header.payload_offset + header.payload_len <= 6448);
                assert_eq!(element_count(&header.shape), Some(header.count));
            }
        }
    }

    #[test]
    fn long_type_names_are_cut_between_characters() {
        assert_eq!(head(&"ä".repeat(40), 47).len(), 46);
        assert_eq!(head("f64", 48), "f64");
    }

    #[test]
    fn the_document_has_every_offset() {
        let document = include_str!("../../docs/format.md");
        for (field, offset) in OFFSETS {
            let row = format!("| {offset} | `{field}` |");
            assert!(document.contains(&row), "docs/format.md has no row beginning {row:?}");
        }
        for (constant, value) in [("ROWS", u64::from(rows::ROWS)), ("ROW_LEN", rows::ROW_LEN as u64)] {
            assert!(document.contains(&format!("`{constant}` = {value}")), "docs/format.md: {constant}");
        }
    }
}
