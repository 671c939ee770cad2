//! The bytes of a message on its way out and in: a short one without any allocation, a long one in
//! memory that the thread uses again.

use std::{cell::Cell, sync::atomic::AtomicU64};

use crate::{
    message::Output,
    raw::ring::{Sink, Source, copy_words_in},
    segment::Pins,
};

/// Up to so many bytes a message is short.
const SHORT: usize = 64;

/// A thread keeps so many bytes for its next long message.
const KEPT: usize = 1 << 20;

/// What few messages have. One word in all others: each store to memory counts there.
#[derive(Debug, Default)]
struct More {
    /// All bytes, if they are more than `SHORT`.
    heap: Vec<u8>,
    /// What its handles keep alive until they have arrived.
    pins: Pins,
}

thread_local! {
    static SPARE: Cell<Option<Box<More>>> = const { Cell::new(None) };
}

/// The thread's spare memory; what stands in it is old.
fn take_spare() -> Box<More> {
    // A thread in its last breath has none.
    SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default()
}

#[cold]
fn give_back(mut more: Box<More>) {
    more.pins = Pins::default();
    if more.heap.capacity() <= KEPT {
        let _ = SPARE.try_with(|place| place.set(Some(more)));
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
    more: Option<Box<More>>,
}

impl Outgoing {
    #[inline]
    pub(super) fn new() -> Self {
        Self { words: [0; SHORT / 8], last: 0, len: 0, more: None }
    }

    /// It is on its way: its receivers see to the handles.
    #[inline]
    pub(super) fn sent(&mut self) {
        if let Some(more) = &mut self.more {
            more.pins.leave();
        }
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_with(take_spare)
    }

    #[inline(never)]
    fn extend_long(&mut self, bytes: &[u8]) {
        let Self { words, last, len, more } = self;
        let heap = &mut more.get_or_insert_with(take_spare).heap;
        if *len <= SHORT {
            heap.clear();
            let (full, rest) = (*len / 8, *len % 8);
            heap.extend(words[..full].iter().flat_map(|word| word.to_le_bytes()));
            heap.extend_from_slice(&last.to_le_bytes()[..rest]);
        }
        heap.extend_from_slice(bytes);
        *len = heap.len();
    }
}

impl Drop for Outgoing {
    #[inline]
    fn drop(&mut self) {
        if let Some(more) = self.more.take() {
            give_back(more);
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
            return self.long().copy_in(ring, at);
        }
        let full = self.len / 8;
        copy_words_in(ring, at, &self.words[..full]);
        if !self.len.is_multiple_of(8) {
            copy_words_in(ring, at + full as u64, &[self.last]);
        }
    }

    fn long(&self) -> &[u8] {
        self.more.as_ref().map_or(&[], |more| &more.heap)
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

    #[inline]
    fn handle<R>(&mut self, write: impl FnOnce(&mut Self) -> R) -> R {
        let mut pins = std::mem::take(&mut self.more().pins);
        let written = pins.add(|| write(self));
        self.more().pins = pins;
        written
    }
}

/// A message that was received.
#[derive(Debug)]
pub(super) struct Incoming {
    words: [[u8; 8]; SHORT / 8],
    len: usize,
    /// With at least all bytes, if they are more than `SHORT`.
    more: Option<Box<More>>,
}

impl Incoming {
    #[inline]
    pub(super) fn new() -> Self {
        Self { words: [[0; 8]; SHORT / 8], len: 0, more: None }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        if self.len <= SHORT { &self.words.as_flattened()[..self.len] } else { self.long_bytes() }
    }

    #[inline(never)]
    fn long_bytes(&self) -> &[u8] {
        self.more.as_ref().map_or(&[], |more| &more.heap[..self.len])
    }

    #[inline(never)]
    fn long_room(&mut self, len: usize) -> &mut [u8] {
        let heap = &mut self.more.get_or_insert_with(take_spare).heap;
        if heap.len() < len {
            heap.resize(len, 0);
        }
        &mut heap[..len]
    }
}

impl Drop for Incoming {
    #[inline]
    fn drop(&mut self) {
        if let Some(more) = self.more.take() {
            give_back(more);
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
