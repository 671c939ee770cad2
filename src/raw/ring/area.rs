//! The memory of the rings, as words.
//!
//! There are up to six rings, each four times as large as the one before: a queue works in the
//! smallest, which stays in the cache, goes to a larger one when that is full, and back when it is
//! empty. So its memory grows with the backlog that it really had.

use crate::primitive::{AtomicU64, Ordering::Relaxed};

/// How many rings a queue can have.
pub(crate) const RINGS: usize = 6;

/// Words of the smallest ring: 128 KiB, room for a thousand short messages.
pub(super) const FIRST: u64 = if cfg!(loom) { 4 } else { 16384 };

/// Words of a ring; a power of two.
#[inline]
pub(crate) const fn ring_units(ring: usize) -> u64 {
    FIRST << (2 * ring)
}

/// Words before a ring.
pub(crate) const fn ring_offset(ring: usize) -> u64 {
    (ring_units(ring) - FIRST) / 3
}

/// Where the words of the rings are.
pub(crate) trait Area {
    /// How many rings there are.
    fn rings(&self) -> usize;

    /// The words of the smallest.
    fn first(&self) -> &[AtomicU64; FIRST as usize];

    /// The words of one of them, `ring_units(ring)` many.
    fn words(&self, ring: usize) -> &[AtomicU64];
}

/// Where a message is that is not in the ring, and its length: the two words behind the header.
pub(super) fn elsewhere(words: &[AtomicU64], at: u64) -> (u64, u64) {
    let mask = words.len() - 1;
    let word = |place: usize| words[(at as usize + place) & mask].load(Relaxed);
    (word(1), word(2))
}

#[cfg(all(test, not(loom)))] // where rings are smaller
mod tests {
    use super::*;

    #[test]
    fn rings_lie_one_after_the_other() {
        assert_eq!(ring_offset(0), 0);
        for ring in 1..=RINGS {
            assert_eq!(ring_offset(ring), ring_offset(ring - 1) + ring_units(ring - 1));
        }
    }
}
