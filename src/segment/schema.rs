//! The fields of a derived structure, as the file tells them to other programs.
//!
//! Pure functions on bytes. After a count, each field has its offset, size, count and stride, the
//! lengths of its two names, and the names. The bytes may come from anybody: all of it is checked.

use crate::{
    error::{Error, ErrorKind, Result},
    shareable::Field,
};

/// The longest schema that is written or believed.
pub(crate) const MAX_LEN: usize = 1 << 20;

const NUMBERS: usize = 4 * 8 + 2 * 4;

/// The bytes of these fields; none at all for no field.
pub(crate) fn encode(fields: &[Field]) -> Result<Vec<u8>> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::new();
    push_length(&mut bytes, fields.len());
    for field in fields {
        for number in [field.offset, field.size, field.count, field.stride] {
            bytes.extend_from_slice(&(number as u64).to_ne_bytes());
        }
        push_length(&mut bytes, field.name.len());
        push_length(&mut bytes, field.type_name.len());
        bytes.extend_from_slice(field.name.as_bytes());
        bytes.extend_from_slice(field.type_name.as_bytes());
    }
    if bytes.len() > MAX_LEN {
        let why = format!(
            "a structure of {} fields needs {} bytes to describe and may need {MAX_LEN}; use larger arrays \
             of smaller structures",
            fields.len(),
            bytes.len()
        );
        return Err(Error::new(ErrorKind::InvalidInput, why));
    }
    Ok(bytes)
}

/// A length as 32 bits; one that does not fit makes the whole longer than [`MAX_LEN`] anyway.
fn push_length(bytes: &mut Vec<u8>, len: usize) {
    bytes.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_ne_bytes());
}

/// The fields in `bytes`, each of which lies inside `payload_len` bytes; `label` names the segment.
pub(crate) fn parse(bytes: &[u8], payload_len: u64, label: &str) -> Result<Vec<Field>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let corrupt = |why: &str| Error::new(ErrorKind::Corrupt, format!("{label} has a damaged schema: {why}"));
    let mut reader = Reader(bytes);
    let count = reader.length().ok_or_else(|| corrupt("it ends in its count"))?;
    if count > bytes.len() / NUMBERS {
        return Err(corrupt(&format!("{count} fields do not fit into {} bytes", bytes.len())));
    }
    let mut fields = Vec::with_capacity(count);
    for i in 0..count {
        let field = reader.field().ok_or_else(|| corrupt(&format!("field {i} is cut off or no text")))?;
        if end_of(&field).is_none_or(|end| end > payload_len) {
            return Err(corrupt(&format!("field {:?} ends behind the payload", field.name)));
        }
        fields.push(field);
    }
    if reader.0.is_empty() { Ok(fields) } else { Err(corrupt("bytes are left over")) }
}

fn end_of(field: &Field) -> Option<u64> {
    let Some(more) = field.count.checked_sub(1) else { return field.offset.try_into().ok() };
    field.offset.checked_add(more.checked_mul(field.stride)?)?.checked_add(field.size)?.try_into().ok()
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, len: usize) -> Option<&[u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    fn number(&mut self) -> Option<usize> {
        let bytes = self.take(8)?.try_into().ok()?;
        u64::from_ne_bytes(bytes).try_into().ok()
    }

    fn length(&mut self) -> Option<usize> {
        let bytes = self.take(4)?.try_into().ok()?;
        u32::from_ne_bytes(bytes).try_into().ok()
    }

    fn text(&mut self, len: usize) -> Option<String> {
        String::from_utf8(self.take(len)?.to_vec()).ok()
    }

    fn field(&mut self) -> Option<Field> {
        let (offset, size, count, stride) = (self.number()?, self.number()?, self.number()?, self.number()?);
        let (name, type_name) = (self.length()?, self.length()?);
        Some(Field { name: self.text(name)?, type_name: self.text(type_name)?, offset, size, count, stride })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, AtomicU64};

    use super::*;

    fn fields() -> Vec<Field> {
        let mut fields = Field::nested::<AtomicU64>("total", 0);
        fields.extend(Field::nested::<[AtomicU8; 24]>("lanes", 8));
        fields
    }

    #[test]
    fn fields_come_back() {
        let bytes = encode(&fields()).unwrap();
        assert_eq!(parse(&bytes, 32, "it").unwrap(), fields());
        assert_eq!(parse(&[], 0, "it").unwrap(), []);
        assert_eq!(encode(&[]).unwrap(), []);
    }

    #[test]
    fn a_field_outside_the_payload_is_corrupt() {
        let bytes = encode(&fields()).unwrap();
        let error = parse(&bytes, 31, "it").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("lanes[]"), "{error}");
    }

    #[test]
    fn no_cut_and_no_flipped_byte_breaks_the_reader() {
        let bytes = encode(&fields()).unwrap();
        for len in 1..bytes.len() {
            assert!(parse(&bytes[..len], 32, "it").is_err());
        }
        for at in 0..bytes.len() {
            for mask in [1, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= mask;
                if let Ok(fields) = parse(&bytes, 32, "it") {
                    assert!(fields.iter().all(|field| end_of(field).unwrap() <= 32));
                }
            }
        }
    }
}
