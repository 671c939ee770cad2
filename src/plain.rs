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
/// Implemented for everything that is bytemuck's `NoUninit + CheckedBitPattern`: integers, floats,
/// `bool`, `char`, arrays of them, derived structs. `#[derive(Plain)]` adds structs with padding
/// and enums. Bytes that come out of shared memory are checked before they become a value, since
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
    note = "pointers, references, `String` and `Vec` cannot live in shared memory; send them as messages"
)]
pub unsafe trait Plain: Copy + 'static {
    /// Whether the bytes behind `bits` are a valid value.
    ///
    /// # Safety
    /// - `bits` is aligned for `Self` and readable for `size_of::<Self>()` bytes.
    /// - All these bytes are initialised, and nobody writes them during the call.
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
unsafe impl<T: NoUninit + CheckedBitPattern> Plain for T {
    unsafe fn has_valid_bits(bits: *const Self) -> bool {
        // SAFETY: `CheckedBitPattern` promises that `T::Bits` has the layout of `T` and takes any bits;
        // the caller promises readable, initialised, unwritten bytes.
        let bits = unsafe { bits.cast::<T::Bits>().read() };
        T::is_valid_bit_pattern(&bits)
    }

    unsafe fn clear_padding(_: *mut Self) {}
}

/// `value` with every byte initialised, so that its bytes may be copied anywhere.
pub(crate) fn initialised<T: Plain>(value: T) -> MaybeUninit<T> {
    let mut bytes = MaybeUninit::new(value);
    // SAFETY: `bytes` is a local that holds `value`.
    unsafe { T::clear_padding(bytes.as_mut_ptr()) };
    bytes
}

/// The value in `bytes`, or `None` if no value of `T` looks like that.
///
/// # Safety
/// - Every byte of `bytes` is initialised.
pub(crate) unsafe fn checked<T: Plain>(bytes: MaybeUninit<T>) -> Option<T> {
    // SAFETY: `bytes` is an aligned local; the caller promises initialised bytes.
    let valid = unsafe { T::has_valid_bits(bytes.as_ptr()) };
    // SAFETY: the bits are initialised and were just found valid.
    valid.then(|| unsafe { bytes.assume_init() })
}
