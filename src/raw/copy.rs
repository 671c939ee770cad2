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

use crate::primitive::{AtomicU64, Ordering::Relaxed};

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

/// From so many bytes on a string instruction is faster than a loop over words.
#[cfg(target_arch = "x86_64")]
const MANY: usize = 512;

/// Writes `bytes` to the start of `words`, which hold at least as many.
pub(crate) fn bytes_in(words: &[AtomicU64], bytes: &[u8]) {
    assert!(bytes.len() <= 8 * words.len(), "{} bytes into {} words", bytes.len(), words.len());
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= MANY {
        // SAFETY: so many bytes can be read there, and so many written: `words` are mapped and writable
        // as all atomics are. The compiler does not know what the instruction does with them, so for it
        // they are accesses of others, as those of other processes are.
        return unsafe { copy_string(words.as_ptr().cast_mut().cast(), bytes.as_ptr(), bytes.len()) };
    }
    let (whole, rest) = bytes.as_chunks::<8>();
    for (word, chunk) in words.iter().zip(whole) {
        word.store(u64::from_le_bytes(*chunk), Relaxed);
    }
    if !rest.is_empty() {
        // In a register: a word that is put together in memory is waited for.
        let last = rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        words[whole.len()].store(last, Relaxed);
    }
}

/// Reads `bytes` from the start of `words`, which hold at least as many.
pub(crate) fn bytes_out(words: &[AtomicU64], bytes: &mut [u8]) {
    assert!(bytes.len() <= 8 * words.len(), "{} bytes from {} words", bytes.len(), words.len());
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= MANY {
        // SAFETY: as in `bytes_in`, the other way round; `bytes` are ours alone.
        return unsafe { copy_string(bytes.as_mut_ptr(), words.as_ptr().cast(), bytes.len()) };
    }
    let (whole, rest) = bytes.as_chunks_mut::<8>();
    let words_of_rest = &words[whole.len()..];
    for (word, chunk) in words.iter().zip(whole) {
        *chunk = word.load(Relaxed).to_le_bytes();
    }
    if !rest.is_empty() {
        let mut last = words_of_rest[0].load(Relaxed);
        for byte in rest {
            *byte = last as u8;
            last >>= 8;
        }
    }
}

/// Copies so many bytes, upwards.
///
/// # Safety
/// - So many bytes can be read at `source` and written at `target`, and the two do not overlap.
#[cfg(target_arch = "x86_64")]
unsafe fn copy_string(target: *mut u8, source: *const u8, len: usize) {
    // SAFETY: the caller's promise; the direction flag is clear, as the calling convention has it.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rdi") target => _,
            inout("rsi") source => _,
            options(nostack, preserves_flags),
        );
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
