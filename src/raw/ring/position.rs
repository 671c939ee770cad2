//! Where something is, and what a header says, in one word each.

use super::area::ring_units;

/// A place in one of the rings: which ring (4 bits), and how many words were passed before (60 bits).
///
/// Words are counted through all rings, so positions only grow. Who enters a ring passes up to its
/// length and brings more than a quarter of it, a message or a backlog that the ring before cannot
/// hold; so a queue that moves a gigabyte a second needs decades to count to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position(pub(crate) u64);

const RING_SHIFT: u32 = 60;
const WORDS: u64 = (1 << RING_SHIFT) - 1;

impl Position {
    pub(crate) fn new(ring: usize, word: u64) -> Self {
        Self((ring as u64) << RING_SHIFT | word & WORDS)
    }

    #[inline]
    pub(crate) fn ring(self) -> usize {
        (self.0 >> RING_SHIFT) as usize
    }

    #[inline]
    pub(crate) fn word(self) -> u64 {
        self.0 & WORDS
    }

    /// Whether it is in the smallest ring. Then its bits are the words that were passed.
    #[inline]
    pub(crate) fn is_in_first(self) -> bool {
        self.0 <= WORDS
    }

    /// `words` further on in the same ring.
    #[inline]
    pub(crate) fn plus(self, words: u64) -> Self {
        Self(self.0.wrapping_add(words))
    }

    /// Where a ring begins that is entered from here: the next place at which its first word is due.
    pub(crate) fn entering(self, ring: usize) -> Self {
        Self::new(ring, (self.word() + 1).next_multiple_of(ring_units(ring)))
    }
}

/// What stands before a message. 0 is nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// A message, the `index`-th modulo 2^32: `len` bytes of itself, or of the place where it is.
    Message { index: u32, len: u64, kind: Kind },
    /// The next message is at the beginning of another ring.
    Continue { ring: usize },
}

/// Whether a message is in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its bytes follow the header.
    Here,
    /// Two words follow that say where its bytes are and how many.
    Elsewhere,
}

/// In the upper half: the message is elsewhere.
const ELSEWHERE: u64 = 0x8000_0000;

/// Lengths + 1 stand in the upper half; from here on they mean something else.
const CONTINUE: u64 = 0xffff_ff00;

/// Bytes of a short message: far fewer than the smallest ring has.
pub(super) const SHORT: u64 = 1024;

/// The longest message that a header can tell.
pub(crate) const LONGEST: u64 = ELSEWHERE - 2;

impl Header {
    #[inline]
    pub(crate) fn bits(self) -> u64 {
        match self {
            Self::Message { index, len, kind } => {
                let elsewhere = if kind == Kind::Elsewhere { ELSEWHERE } else { 0 };
                (elsewhere | (len + 1)) << 32 | u64::from(index)
            }
            Self::Continue { ring } => (CONTINUE | ring as u64) << 32,
        }
    }

    /// Index and length of a message that is here and not longer than `SHORT`.
    #[inline]
    pub(crate) fn of_short(bits: u64) -> Option<(u32, u64)> {
        let len = (bits >> 32).wrapping_sub(1);
        (len <= SHORT).then_some((bits as u32, len))
    }

    /// `None` for no message yet.
    #[inline]
    pub(crate) fn of(bits: u64) -> Option<Self> {
        match bits >> 32 {
            0 => None,
            upper @ CONTINUE.. => Some(Self::Continue { ring: (upper & 0xff) as usize }),
            upper => {
                let kind = if upper & ELSEWHERE == 0 { Kind::Here } else { Kind::Elsewhere };
                let len = (upper & !ELSEWHERE).checked_sub(1)?;
                Some(Self::Message { index: bits as u32, len, kind })
            }
        }
    }
}

/// Words that a message of this many bytes takes, its header included.
#[inline]
pub(crate) fn words_for(len: u64) -> u64 {
    1 + len.div_ceil(8)
}

/// Whether a record of `words` words that ends at word `end` has begun another cache line.
#[inline]
pub(crate) fn enters_line(end: u64, words: u64) -> bool {
    end % 8 < words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_was_written() {
        for header in [
            Header::Message { index: 0, len: 0, kind: Kind::Here },
            Header::Message { index: 7, len: 16, kind: Kind::Elsewhere },
            Header::Message { index: u32::MAX, len: LONGEST, kind: Kind::Here },
            Header::Continue { ring: 5 },
        ] {
            assert_eq!(Header::of(header.bits()), Some(header));
        }
        assert_eq!(Header::of(0), None);
    }

    #[test]
    fn rings_are_entered_at_their_first_word() {
        let position = Position::new(0, 12_345).entering(2);
        assert_eq!((position.ring(), position.word() % ring_units(2)), (2, 0));
        assert!(position.word() > 12_345);
    }
}
