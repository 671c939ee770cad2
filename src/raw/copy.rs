//! Copying values to and from memory that others write at the same time.
//!
//! Always word by word with relaxed atomics, and of one word size per type: its alignment, at most
//! 8. A copy may be torn between two words, which the caller detects or excludes; it is never
//! undefined. Accesses of mixed sizes would be outside the memory model. The words may hold padding,
//! which a move of a value does not carry: so they are `MaybeUninit`, here and in the atomics.
//!
//! # Safety
//! Views memory as words through raw pointers.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use atomic_maybe_uninit::AtomicMaybeUninit;

use crate::primitive::Ordering::Relaxed;

/// A `T` made of the words that stand in `source` one by one.
///
/// # Safety
/// - `source` is aligned and mapped for `T`; what others write there meanwhile, they write with
///   atomics of the same word size.
#[inline]
pub(crate) unsafe fn load<T>(source: *const T) -> MaybeUninit<T> {
    let mut value = MaybeUninit::<T>::uninit();
    macro_rules! words {
        ($word:ty) => {
            for at in 0..size_of::<T>() / size_of::<$word>() {
                // SAFETY: inside `source`, aligned for the word since `T` is.
                let word = unsafe { &*source.cast::<AtomicMaybeUninit<$word>>().add(at) }.load(Relaxed);
                // SAFETY: inside `value`, aligned likewise.
                unsafe { value.as_mut_ptr().cast::<MaybeUninit<$word>>().add(at).write(word) };
            }
        };
    }
    match align_of::<T>() {
        1 => words!(u8),
        2 => words!(u16),
        4 => words!(u32),
        _ => words!(u64),
    }
    value
}

/// Writes the `T` at `source` to `target` word by word.
///
/// # Safety
/// - `source` is aligned and readable for `T`, and nobody writes it meanwhile.
/// - `target` is aligned and mapped for `T`; others access it with atomics of the same word size.
#[inline]
pub(crate) unsafe fn store<T>(target: *mut T, source: *const T) {
    macro_rules! words {
        ($word:ty) => {
            for at in 0..size_of::<T>() / size_of::<$word>() {
                // SAFETY: inside `source`, aligned for the word since `T` is.
                let word = unsafe { source.cast::<MaybeUninit<$word>>().add(at).read() };
                // SAFETY: inside `target`, aligned likewise.
                unsafe { &*target.cast::<AtomicMaybeUninit<$word>>().add(at) }.store(word, Relaxed);
            }
        };
    }
    match align_of::<T>() {
        1 => words!(u8),
        2 => words!(u16),
        4 => words!(u32),
        _ => words!(u64),
    }
}

/// Whether a `T` is written by one store, so that nobody can see half of it.
pub(crate) const fn is_one_word<T>() -> bool {
    size_of::<T>() <= 8 && size_of::<T>() == align_of::<T>() || size_of::<T>() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alignment_copies_every_byte() {
        fn round_trip<T: Copy + PartialEq + std::fmt::Debug>(value: T) {
            let mut place = MaybeUninit::<T>::zeroed();
            // SAFETY: a local of the right type, and the values below have no padding.
            unsafe { store(place.as_mut_ptr(), &raw const value) };
            // SAFETY: a local of the right type.
            let copy = unsafe { load(place.as_ptr()) };
            // SAFETY: written just now.
            assert_eq!(unsafe { copy.assume_init() }, value);
        }
        round_trip([1u8, 2, 3]);
        round_trip([1u16, 2, 3]);
        round_trip((7u32, 8u32));
        round_trip([u64::MAX, 1]);
        round_trip(u128::MAX - 5);
        round_trip(());
        assert!(
            is_one_word::<f64>()
                && is_one_word::<()>()
                && !is_one_word::<u128>()
                && !is_one_word::<[u8; 8]>()
        );
    }
}
