//! How long to look before sleeping.

use crate::{
    primitive::{AtomicU32, Ordering::Relaxed, spin_loop, yield_now},
    raw::backoff,
};

/// What an endpoint has learned about its other side. Private to a process.
///
/// *Look fast always; after success pay a bounded delay only where that delay has just been shown to
/// collect a stream.* An endpoint that had to wait lingers a moment before it goes on, so that it
/// finds several messages in lines that the other side is done with. If the wait collects nothing it
/// is left out for a while, longer each time: messages that come one by one pay nothing.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Waits to go without lingering.
    skip: AtomicU32,
    /// How many to leave out next time; 0 before the first time.
    gap: AtomicU32,
    /// Waits in a row that the quick looks did not end.
    vain: AtomicU32,
}

const FIRST_GAP: u32 = 8;
const LONGEST_GAP: u32 = 1024;
const SLICES: u32 = 16;
const TICKS_A_SLICE: u32 = 4;
const STREAM: u32 = 12;

impl Pace {
    /// After a wait that did not succeed at once: pauses while `grew` says that more has come.
    pub(crate) fn linger(&self, mut grew: impl FnMut() -> bool) {
        let skip = self.skip.load(Relaxed);
        if skip != 0 {
            self.skip.store(skip - 1, Relaxed);
            return;
        }
        let (mut grown, mut idle) = (0, 0);
        for _ in 0..SLICES {
            backoff::pause(TICKS_A_SLICE);
            if grew() {
                (grown, idle) = (grown + 1, 0);
            } else {
                idle += 1;
            }
            if idle == 2 {
                break;
            }
        }
        if grown >= STREAM {
            self.gap.store(0, Relaxed);
        } else {
            let gap = (self.gap.load(Relaxed) * 2).clamp(FIRST_GAP, LONGEST_GAP);
            self.gap.store(gap, Relaxed);
            self.skip.store(gap, Relaxed);
        }
    }
}

/// The looks of a wait: quick ones, slower ones, then such that let another thread run first.
#[derive(Debug)]
pub(crate) struct Looks<'a> {
    pace: &'a Pace,
    look: u32,
}

/// The first of the slower looks, the first of those that let others run, and the last one.
const SLOWER: u32 = 64;
const YIELDING: u32 = 80;
const LAST: u32 = 140;

/// So many waits in a row that only yielding ended: the other side has no CPU of its own.
const CROWDED: u32 = 4;

/// Every so many waits the quick looks are tried all the same.
const PROBE: u32 = 64;

impl<'a> Looks<'a> {
    pub(crate) fn new(pace: &'a Pace) -> Self {
        let vain = pace.vain.load(Relaxed);
        let crowded = vain >= CROWDED && !vain.is_multiple_of(PROBE);
        Self { pace, look: if crowded { YIELDING } else { 0 } }
    }

    /// Pauses before the next look; false when it is time to sleep.
    #[inline]
    pub(crate) fn again(&mut self) -> bool {
        self.look += 1;
        if self.look <= SLOWER {
            spin_loop();
        } else if self.look <= YIELDING {
            backoff::pause(4);
        } else if self.look <= LAST {
            yield_now();
        }
        self.look <= LAST
    }
}

impl Drop for Looks<'_> {
    /// Learns from the wait whether its quick looks were in vain.
    fn drop(&mut self) {
        let vain = &self.pace.vain;
        if self.look > YIELDING {
            vain.store(vain.load(Relaxed).wrapping_add(1), Relaxed);
        } else if self.look != 0 {
            vain.store(0, Relaxed);
        }
    }
}
