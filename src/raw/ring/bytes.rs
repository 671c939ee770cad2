//! The bytes of messages, into the words of a ring and out of them.

use crate::{
    primitive::{AtomicU64, Ordering::Relaxed},
    raw::copy::{bytes_in, bytes_out},
};

/// The bytes of a message that is sent.
pub(crate) trait Source {
    /// How many there are.
    fn len(&self) -> usize;

    /// Writes them behind the header at word `at`.
    fn copy_in(&self, ring: &[AtomicU64], at: u64);

    /// The bytes of a message that is longer than any ring, in one piece.
    fn long(&self) -> &[u8];
}

/// Where the bytes of a message go.
pub(crate) trait Sink {
    /// Room for a message of this length, or to the end of its last word, all of which will be written.
    /// What stood in it is gone.
    fn room(&mut self, len: usize) -> &mut [u8];
}

impl Source for &[u8] {
    #[inline]
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    #[inline]
    fn copy_in(&self, ring: &[AtomicU64], at: u64) {
        let behind = &ring[at as usize + 1..];
        let (here, wrapped) = self.split_at(self.len().min(8 * behind.len()));
        bytes_in(behind, here);
        bytes_in(ring, wrapped);
    }

    fn long(&self) -> &[u8] {
        self
    }
}

impl Sink for Vec<u8> {
    fn room(&mut self, len: usize) -> &mut [u8] {
        self.resize(len, 0);
        self
    }
}

/// Writes words behind word `at` of a ring.
#[inline]
pub(crate) fn copy_words_in(ring: &[AtomicU64], at: u64, words: &[u64]) {
    let mask = ring.len() - 1;
    for (place, word) in (at as usize + 1..).zip(words) {
        ring[place & mask].store(*word, Relaxed);
    }
}

/// So many bytes are copied in line, if they are whole words.
const IN_LINE: usize = 64;

/// Reads `bytes` from behind the header at word `at` of a ring.
#[inline]
pub(crate) fn copy_out(ring: &[AtomicU64], at: u64, bytes: &mut [u8]) {
    if bytes.len() <= IN_LINE && bytes.len().is_multiple_of(8) {
        let mask = ring.len() - 1;
        for (place, chunk) in (at as usize + 1..).zip(bytes.as_chunks_mut::<8>().0) {
            *chunk = ring[place & mask].load(Relaxed).to_le_bytes();
        }
        return;
    }
    let behind = &ring[at as usize + 1..];
    let (here, wrapped) = bytes.split_at_mut(bytes.len().min(8 * behind.len()));
    bytes_out(behind, here);
    bytes_out(ring, wrapped);
}

#[cfg(all(test, not(loom)))] // whose atomics exist in its models only
mod tests {
    use super::*;

    #[test]
    fn bytes_wrap_around_the_end() {
        let ring: Vec<AtomicU64> = (0..16).map(|_| AtomicU64::new(u64::MAX)).collect();
        for len in 0..100 {
            let bytes: Vec<u8> = (0..len).collect();
            bytes.as_slice().copy_in(&ring, 11);
            let mut back = vec![0xaa; len.into()];
            copy_out(&ring, 11, &mut back);
            assert_eq!(back, bytes);
        }
    }
}
