//! Asking for a cache line before it is needed.
//!
//! A ring's line comes from the core of the other side: 25 ns between neighbours, 200 ns between
//! chiplets. A lock waits until earlier stores are done, so without asking ahead every line is waited
//! for. Both sides ask four lines ahead: the next messages are under way while this one is copied.
//!
//! # Safety
//! Executes an instruction that changes nothing that a program can see.

#![allow(unsafe_code)]

use crate::primitive::AtomicU64;

/// How many words ahead.
pub(crate) const AHEAD: u64 = 32;

/// Brings the line of a word near, to be read.
#[inline(always)]
pub(crate) fn for_reading(word: &AtomicU64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which reads and writes nothing and faults nowhere.
    unsafe {
        std::arch::asm!("prefetcht0 [{}]", in(reg) word, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}

/// Brings the line of a word near, to be written.
#[inline(always)]
pub(crate) fn for_writing(word: &AtomicU64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) word, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}
