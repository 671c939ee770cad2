//! The two sides of a ring, as they lie in shared memory.
//!
//! | word | written by | if the owner dies here |
//! |---|---|---|
//! | `tail` | producers, under their lock, after the commit | `repair` sees a header that is not 0 at `tail`, and goes past it |
//! | `start` | producers, before `tail` enters another ring | written again by `repair` |
//! | `sent` | producers, after the commit | set from the committed header by `repair` |
//! | `end_seen`, `taken_seen` | producers | a hint that is too old, never too new |
//! | `head` | consumers, under their lock, last | before: nothing taken; after: taken |
//! | `taken` | consumers, before `head` | set from the header at `head` by `repair` |
//! | `closed` | anybody, once | – |
//! | `elsewhere_tail` | producers, after the commit | set from the committed message by `repair` |
//! | `elsewhere_head` | consumers, before `head` | set from the message at `head` by `repair`, which gives back everything before |

use super::{
    area::Area,
    position::{Header, Position, words_for},
};
use crate::{
    deadline::Deadline,
    primitive::{AtomicU32, AtomicU64, Ordering::*},
    raw::{bell::Bell, biased::BiasedMutex},
};

/// What producers write.
#[repr(C, align(64))]
#[derive(Debug)]
pub(super) struct Producers {
    pub(super) lock: BiasedMutex,
    pub(super) tail: AtomicU64,
    /// Rung by producers, slept on by consumers.
    pub(super) message: Bell,
}

/// What consumers write.
#[repr(C, align(64))]
#[derive(Debug)]
pub(super) struct Consumers {
    pub(super) lock: BiasedMutex,
    pub(super) head: AtomicU64,
    /// Rung by consumers, slept on by producers.
    pub(super) room: Bell,
}

/// What changes rarely, and what only producers need besides their line.
#[repr(C, align(64))]
#[derive(Debug)]
pub(super) struct Rest {
    /// Where the ring that `tail` is in was entered.
    pub(super) start: AtomicU64,
    /// How many messages there may be; 0: as many as there is memory for.
    pub(super) limit: AtomicU32,
    pub(super) closed: AtomicU32,
    /// Where the next message that is too large for the rings goes, and up to where such were taken.
    pub(super) elsewhere_tail: AtomicU64,
    pub(super) elsewhere_head: AtomicU64,
    /// The word up to which there was room in the ring that `tail` is in, as producers saw it last.
    pub(super) end_seen: AtomicU64,
    _reserved: [u64; 3],
}

/// A ring. All zeroes is an empty one without a limit.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct RawRing {
    pub(super) producers: Producers,
    pub(super) rest: Rest,
    pub(super) consumers: Consumers,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<RawRing>() == 5 * 64);

impl RawRing {
    pub(crate) fn new(limit: u32) -> Self {
        let position = || AtomicU64::new(0);
        Self {
            producers: Producers { lock: BiasedMutex::new(), tail: position(), message: Bell::new() },
            rest: Rest {
                start: position(),
                limit: AtomicU32::new(limit),
                closed: AtomicU32::new(0),
                elsewhere_tail: position(),
                elsewhere_head: position(),
                end_seen: position(),
                _reserved: [0; 3],
            },
            consumers: Consumers { lock: BiasedMutex::new(), head: position(), room: Bell::new() },
        }
    }

    /// How many messages were sent, modulo 2^32.
    #[inline]
    pub(super) fn sent(&self) -> &AtomicU32 {
        self.producers.lock.spare(0)
    }

    /// How many of them were taken, as producers saw it last.
    #[inline]
    pub(super) fn taken_seen(&self) -> &AtomicU32 {
        self.producers.lock.spare(1)
    }

    /// How many were taken, modulo 2^32.
    #[inline]
    pub(super) fn taken(&self) -> &AtomicU32 {
        self.consumers.lock.spare(0)
    }

    /// How many messages wait.
    pub(crate) fn len(&self, area: &impl Area) -> usize {
        // A death may have left the counts one apart from what was sent and taken. Messages tell: there is
        // one at `head` if it was not taken, and one at `tail` if whoever sent it did not get further.
        let index_at = |place: &AtomicU64| {
            let at = place.load(Acquire);
            match self.peek(area, Position(at)) {
                Some(Header::Message { index, .. }) if place.load(Acquire) == at => Some(index),
                _ => None,
            }
        };
        let taken = index_at(&self.consumers.head).unwrap_or_else(|| self.taken().load(Acquire));
        let last = index_at(&self.producers.tail).map(|index| index.wrapping_add(1));
        let sent = last.unwrap_or_else(|| self.sent().load(Acquire));
        let waiting = sent.wrapping_sub(taken);
        // Read one after the other: a consumer may have overtaken what was seen of the producers.
        if waiting > u32::MAX / 2 { 0 } else { waiting as usize }
    }

    /// How many messages there may be.
    pub(crate) fn limit(&self) -> Option<usize> {
        let limit = self.rest.limit.load(Relaxed);
        (limit != 0).then_some(limit as usize)
    }

    /// Nothing more can be sent.
    pub(crate) fn close(&self) {
        self.rest.closed.store(1, Release);
        self.producers.message.ring(crate::sys::futex::ALL);
        self.consumers.room.ring(crate::sys::futex::ALL);
    }

    /// Wakes a receiver for something that did not come through the ring.
    pub(crate) fn ring_receivers(&self) {
        self.producers.message.ring(1);
        self.consumers.room.ring(crate::sys::futex::ALL);
    }

    /// Announces a sleeping receiver; see [`Bell::announce`].
    pub(crate) fn announce_receiver(&self) -> (&AtomicU32, u32) {
        self.producers.message.announce()
    }

    /// Sleeps until `look` finds something; it is asked when messages are taken or done, and now and
    /// then. False when the deadline passes first.
    pub(crate) fn wait_for_room(
        &self,
        deadline: Deadline,
        look: impl FnMut() -> Option<()>,
        idle: impl FnMut(),
    ) -> bool {
        self.consumers.room.wait(deadline, look, idle).is_some()
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.rest.closed.load(Acquire) != 0
    }

    /// The header at a position, as it stands there now; `None` also where no ring is.
    #[inline]
    pub(super) fn header_word<'a>(&self, area: &'a impl Area, at: Position) -> Option<&'a AtomicU64> {
        let ring = at.ring();
        if ring >= area.rings() {
            return None;
        }
        let words = area.words(ring);
        Some(&words[at.word() as usize & (words.len() - 1)])
    }

    /// Where the record at `at` ends; `None` if its header cannot be true.
    #[inline]
    pub(super) fn after(&self, area: &impl Area, at: Position, header: Header) -> Option<Position> {
        match header {
            Header::Message { len, .. } => {
                let words = words_for(len);
                (words < area.words(at.ring()).len() as u64).then(|| at.plus(words))
            }
            Header::Continue { ring } => (ring < area.rings()).then(|| at.entering(ring)),
        }
    }
}
