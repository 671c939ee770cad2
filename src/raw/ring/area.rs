//! The memory of the rings, as words; copying in and out.
//!
//! There are up to six rings, each four times as large as the one before: a queue works in the
//! smallest, which stays in the cache, goes to a larger one when that is full, and back when it is
//! empty. So its memory grows with the backlog that it really had.

use crate::primitive::{AtomicU64, Ordering::Relaxed};

/// How many rings a queue can have.
pub(crate) const RINGS: usize = 6;

/// Words of the smallest ring: 64 KiB.
const FIRST: u64 = if cfg!(loom) { 4 } else { 8192 };

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

    /// The words of one of them, `ring_units(ring)` many.
    fn words(&self, ring: usize) -> &[AtomicU64];
}

/// Writes `bytes` behind the header at word `at` of a ring.
#[inline]
pub(super) fn copy_in(words: &[AtomicU64], at: u64, bytes: &[u8]) {
    let mask = words.len() - 1;
    let mut place = at as usize;
    let (whole, rest) = bytes.as_chunks::<8>();
    for chunk in whole {
        place += 1;
        words[place & mask].store(u64::from_ne_bytes(*chunk), Relaxed);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        words[(place + 1) & mask].store(u64::from_ne_bytes(last), Relaxed);
    }
}

/// Reads `bytes` from behind the header at word `at` of a ring.
#[inline]
pub(super) fn copy_out(words: &[AtomicU64], at: u64, bytes: &mut [u8]) {
    let mask = words.len() - 1;
    let mut place = at as usize;
    let (whole, rest) = bytes.as_chunks_mut::<8>();
    for chunk in whole {
        place += 1;
        *chunk = words[place & mask].load(Relaxed).to_ne_bytes();
    }
    if !rest.is_empty() {
        let last = words[(place + 1) & mask].load(Relaxed).to_ne_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// Where a message is that is not in the ring, and its length: the two words behind the header.
pub(super) fn elsewhere(words: &[AtomicU64], at: u64) -> (u64, u64) {
    let mask = words.len() - 1;
    let word = |place: usize| words[(at as usize + place) & mask].load(Relaxed);
    (word(1), word(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(loom))] // whose atomics exist in its models only
    #[test]
    fn bytes_wrap_around_the_end() {
        let words: Vec<AtomicU64> = (0..16).map(|_| AtomicU64::new(u64::MAX)).collect();
        for len in 0..100 {
            let bytes: Vec<u8> = (0..len).collect();
            copy_in(&words, 11, &bytes);
            let mut back = vec![0xaa; len.into()];
            copy_out(&words, 11, &mut back);
            assert_eq!(back, bytes);
        }
    }

    #[test]
    fn rings_lie_one_after_the_other() {
        assert_eq!(ring_offset(0), 0);
        for ring in 1..=RINGS {
            assert_eq!(ring_offset(ring), ring_offset(ring - 1) + ring_units(ring - 1));
        }
    }
}
