//! The bytes of a message on its way out and in: a short one without any allocation, a long one in
//! memory that the thread uses again.

use std::{cell::Cell, sync::atomic::AtomicU64};

use crate::{
    message::Output,
    raw::ring::{Sink, Source, copy_words_in},
};

/// Up to so many bytes a message is short.
const SHORT: usize = 64;

/// A thread keeps so many bytes for its next long message.
const KEPT: usize = 1 << 20;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The thread's spare memory; what stands in it is old.
fn take_spare() -> Vec<u8> {
    // A thread in its last breath has none.
    SPARE.try_with(Cell::take).unwrap_or_default()
}

#[cold]
fn give_back(spare: Vec<u8>) {
    if spare.capacity() <= KEPT {
        let _ = SPARE.try_with(|place| place.set(spare));
    }
}

/// A message that is written piece by piece and then sent.
///
/// A short one is put together in words, as it will stand in the ring: bytes that are written one by
/// one and then read as a word are waited for.
#[derive(Debug)]
pub(super) struct Outgoing {
    words: [u64; SHORT / 8],
    /// The word that is not full yet.
    last: u64,
    len: usize,
    /// All bytes, if they are more than `SHORT`.
    heap: Vec<u8>,
}

impl Outgoing {
    #[inline]
    pub(super) fn new() -> Self {
        Self { words: [0; SHORT / 8], last: 0, len: 0, heap: Vec::new() }
    }

    #[inline(never)]
    fn extend_long(&mut self, bytes: &[u8]) {
        if self.len <= SHORT {
            self.heap = take_spare();
            self.heap.clear();
            let (full, rest) = (self.len / 8, self.len % 8);
            self.heap.extend(self.words[..full].iter().flat_map(|word| word.to_le_bytes()));
            self.heap.extend_from_slice(&self.last.to_le_bytes()[..rest]);
        }
        self.heap.extend_from_slice(bytes);
        self.len = self.heap.len();
    }
}

impl Drop for Outgoing {
    #[inline]
    fn drop(&mut self) {
        if self.heap.capacity() != 0 {
            give_back(std::mem::take(&mut self.heap));
        }
    }
}

impl Source for Outgoing {
    #[inline]
    fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn copy_in(&self, ring: &[AtomicU64], at: u64) {
        if self.len > SHORT {
            return self.heap.as_slice().copy_in(ring, at);
        }
        let full = self.len / 8;
        copy_words_in(ring, at, &self.words[..full]);
        if !self.len.is_multiple_of(8) {
            copy_words_in(ring, at + full as u64, &[self.last]);
        }
    }

    fn long(&self) -> &[u8] {
        &self.heap
    }
}

impl Output for Outgoing {
    #[inline]
    fn push(&mut self, word: u64, count: usize) {
        if self.len + count > SHORT {
            return self.extend_long(&word.to_le_bytes()[..count]);
        }
        let (at, shift) = (self.len / 8, self.len % 8 * 8);
        self.last |= word << shift;
        if shift + count * 8 >= 64 {
            self.words[at] = self.last;
            // What did not fit; nothing if it began the word.
            self.last = word >> 1 >> (63 - shift);
        }
        self.len += count;
    }

    #[inline]
    fn append(&mut self, bytes: &[u8]) {
        if self.len + bytes.len() > SHORT {
            return self.extend_long(bytes);
        }
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|&word| self.push(u64::from_le_bytes(word), 8));
        let word = rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        self.push(word, rest.len());
    }
}

/// A message that was received.
#[derive(Debug)]
pub(super) struct Incoming {
    words: [[u8; 8]; SHORT / 8],
    len: usize,
    /// At least all bytes, if they are more than `SHORT`.
    heap: Vec<u8>,
}

impl Incoming {
    #[inline]
    pub(super) fn new() -> Self {
        Self { words: [[0; 8]; SHORT / 8], len: 0, heap: Vec::new() }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        if self.len <= SHORT { &self.words.as_flattened()[..self.len] } else { &self.heap[..self.len] }
    }

    #[inline(never)]
    fn long_room(&mut self, len: usize) -> &mut [u8] {
        if self.heap.capacity() == 0 {
            self.heap = take_spare();
        }
        if self.heap.len() < len {
            self.heap.resize(len, 0);
        }
        &mut self.heap[..len]
    }
}

impl Drop for Incoming {
    #[inline]
    fn drop(&mut self) {
        if self.heap.capacity() != 0 {
            give_back(std::mem::take(&mut self.heap));
        }
    }
}

impl Sink for Incoming {
    #[inline]
    fn room(&mut self, len: usize) -> &mut [u8] {
        self.len = len;
        if len <= SHORT {
            &mut self.words.as_flattened_mut()[..len.next_multiple_of(8)]
        } else {
            self.long_room(len)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message;

    #[test]
    fn what_goes_out_comes_in_at_every_length() {
        let ring: Vec<AtomicU64> = (0..128).map(|_| AtomicU64::new(u64::MAX)).collect();
        for len in (0..2 * SHORT).chain([500, 900]) {
            let value: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let mut outgoing = Outgoing::new();
            message::encode_to(&(&value[..len / 3], &value[len / 3..]), &mut outgoing).unwrap();
            outgoing.copy_in(&ring, 120);
            let mut incoming = Incoming::new();
            let len = outgoing.len();
            crate::raw::ring::copy_out(&ring, 120, incoming.room(len));
            let (one, two): (Vec<u8>, Vec<u8>) = message::decode(incoming.bytes()).unwrap();
            assert_eq!([one, two].concat(), value);
        }
    }
}
