//! Where things lie in an array's payload: claims, then the undo record, then the elements.

use crate::raw::claims::RawClaims;

/// Elements start on a cache line of their own.
const LINE: usize = 64;

/// Bytes from the payload's start to the undo record, one `T`.
pub(super) const fn undo<T>() -> usize {
    size_of::<RawClaims>().next_multiple_of(align_of::<T>())
}

/// Bytes from the payload's start to the first element.
pub(super) const fn elements<T>() -> usize {
    (undo::<T>() + size_of::<T>()).next_multiple_of(LINE).next_multiple_of(align_of::<T>())
}

/// Bytes of a payload with `count` elements, if that many can be addressed.
pub(super) fn payload_len<T>(count: u64) -> Option<u64> {
    let bytes = count.checked_mul(size_of::<T>() as u64)?;
    let all = bytes.checked_add(elements::<T>() as u64)?;
    (all <= isize::MAX as u64).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_aligned_and_sizes_do_not_overflow() {
        #[repr(align(256))]
        struct Wide;
        assert_eq!(elements::<u8>() % LINE, 0);
        assert_eq!(elements::<Wide>() % 256, 0);
        assert_eq!(payload_len::<u64>(3), Some(elements::<u64>() as u64 + 24));
        assert_eq!(payload_len::<u64>(u64::MAX / 8), None);
        assert_eq!(payload_len::<()>(u64::MAX), Some(elements::<()>() as u64));
    }
}
