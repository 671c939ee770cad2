//! What may be copied to and from shared bytes.
//!
//! # Safety
//! This file holds the unsafe trait behind every copy across processes, and the one routine that
//! makes all bytes of a value initialised before they leave the process.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use bytemuck::{CheckedBitPattern, NoUninit};

/// A type whose values can be copied into and out of shared memory as bytes.
///
/// Implemented for everything that is bytemuck's `NoUninit + CheckedBitPattern`: integers, floats and
/// arrays of them, `bool`, `char`, derived structs. `#[derive(Plain)]` adds structs with padding,
/// enums, and arrays of `bool`, `char` or derived types as their fields. Bytes that come out of shared memory are checked before they become a value, since
/// another process may have written anything.
///
/// # Safety
/// - `has_valid_bits` returns true only if the pointed-to bytes are a valid value of `Self`.
/// - `clear_padding` writes zero to every byte that a valid `Self` may leave uninitialised, and
///   changes nothing else.
/// - `Self` holds no pointer, reference or other address, and needs no `Drop`.
///
/// # Examples
/// ```
/// use commons::{Plain, Value};
///
/// #[derive(Clone, Copy, Debug, PartialEq, Plain)]
/// #[repr(u8)]
/// enum Phase { Idle = 1, Busy = 2 }
///
/// #[derive(Clone, Copy, Debug, PartialEq, Plain)]
/// #[repr(C)]
/// struct Best { score: f64, phase: Phase }       // seven bytes of padding
///
/// # fn main() -> commons::Result<()> {
/// let best = Value::new(Best { score: 0.5, phase: Phase::Idle })?;
/// best.update(|b| b.phase = Phase::Busy);
/// assert_eq!(best.get(), Best { score: 0.5, phase: Phase::Busy });
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be copied into shared memory",
    label = "is not `Plain`",
    note = "add `#[derive(Clone, Copy, commons::Plain)]` and `#[repr(C)]` to a struct or `#[repr(u8)]` to an enum",
    note = "an array of `bool`, `char` or a derived type is `Plain` only as a field of a derived struct",
    note = "pointers, references, `String` and `Vec` cannot live in shared memory; send them as messages"
)]
pub unsafe trait Plain: Copy + 'static {
    /// Whether the bytes behind `bits` are a valid value.
    ///
    /// # Safety
    /// - `bits` is aligned for `Self` and readable for `size_of::<Self>()` bytes.
    /// - All these bytes but padding are initialised, and nobody writes them during the call.
    unsafe fn has_valid_bits(bits: *const Self) -> bool;

    /// Writes zero to the padding of the value behind `value`.
    ///
    /// # Safety
    /// - `value` is aligned for `Self` and writable for `size_of::<Self>()` bytes.
    /// - It holds a valid `Self`, and nobody else touches it during the call.
    unsafe fn clear_padding(value: *mut Self);
}

// SAFETY: `is_valid_bit_pattern` is bytemuck's own contract for valid bits, `NoUninit` promises that
// there is no padding, and both traits exclude pointers and `Drop`.
#[diagnostic::do_not_recommend]
unsafe impl<T: NoUninit + CheckedBitPattern> Plain for T {
    unsafe fn has_valid_bits(bits: *const Self) -> bool {
        // SAFETY: `CheckedBitPattern` promises that `T::Bits` has the layout of `T` and takes any bits;
        // the caller promises readable, initialised, unwritten bytes.
        let bits = unsafe { bits.cast::<T::Bits>().read() };
        T::is_valid_bit_pattern(&bits)
    }

    unsafe fn clear_padding(_: *mut Self) {}
}

/// Lets `copy` see `value` with every byte initialised, so that its bytes may be copied anywhere.
///
/// The value does not move in between, because a moved `MaybeUninit<T>` leaves the padding of `T`
/// behind.
pub(crate) fn initialised<T: Plain, R>(value: T, copy: impl FnOnce(*const T) -> R) -> R {
    let mut place = MaybeUninit::new(value);
    // SAFETY: `place` is a local that holds `value`.
    unsafe { T::clear_padding(place.as_mut_ptr()) };
    copy(place.as_ptr())
}

/// The value behind `bits`, or `None` if no value of `T` looks like that.
///
/// # Safety
/// - `bits` is aligned for `T` and readable for `size_of::<T>()` bytes.
/// - All these bytes but padding are initialised, and nobody writes them during the call.
pub(crate) unsafe fn checked<T: Plain>(bits: *const T) -> Option<T> {
    // SAFETY: the caller's promise is the one that is asked for.
    let valid = unsafe { T::has_valid_bits(bits) };
    // SAFETY: the bits are readable and were just found valid.
    valid.then(|| unsafe { bits.read() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, commons_derive::Plain)]
    #[repr(C)]
    struct Best {
        score: f64,
        found: bool,
    }

    #[test]
    fn no_byte_of_the_stack_leaves_with_a_value() {
        let best = Best { score: 1.5, found: true };
        let bytes = initialised(best, |best| {
            // SAFETY: `initialised` shows all bytes of a value initialised.
            unsafe { best.cast::<[u8; size_of::<Best>()]>().read() }
        });
        assert_eq!(bytes[..8], 1.5f64.to_ne_bytes());
        assert_eq!(bytes[8..], [1, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn bits_that_are_no_value_are_refused() {
        let mut bits = initialised(Best { score: 1.5, found: true }, |best| {
            // SAFETY: `initialised` shows all bytes of a value initialised.
            unsafe { best.cast::<[u64; 2]>().read() }
        });
        // SAFETY: `bits` is aligned, initialised, and a local.
        assert_eq!(unsafe { checked(bits.as_ptr().cast()) }, Some(Best { score: 1.5, found: true }));
        bits[1] = u64::from_ne_bytes([2; 8]);
        // SAFETY: as above.
        assert_eq!(unsafe { checked::<Best>(bits.as_ptr().cast()) }, None);
    }
}
