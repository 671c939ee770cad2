//! Looking again before sleeping, for about as long as waking a sleeper would take.

use std::time::{Duration, Instant};

use crate::primitive::{AtomicU32, Ordering::Relaxed, spin_loop, yield_now};

/// Looks in quick succession, then looks that let another thread run first.
///
/// Each look takes the cache line from the owner, who needs it to release the lock; so the quick
/// ones are further apart each time, up to 32 ticks.
///
/// Waking a sleeper costs 10 to 14 µs and it runs 6 to 35 µs later, so about 30 µs of looking is
/// never much worse than sleeping and mostly far better.
#[derive(Debug)]
pub(crate) struct Backoff {
    looks: u32,
}

const QUICK_LOOKS: u32 = 20;
const YIELDING_LOOKS: u32 = 60;
/// The longest pause between quick looks, as a power of two of ticks.
const LONGEST_PAUSE: u32 = 5;

/// The pause between two quick looks: about a cache line's way from one core to another.
const TICK: Duration = Duration::from_nanos(25);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { looks: 0 }
    }

    /// For what comes by way of another thread: each look lets it run first.
    pub(crate) fn yielding() -> Self {
        Self { looks: QUICK_LOOKS }
    }

    /// Pauses before the next look; false when it is time to sleep.
    pub(crate) fn look_again(&mut self) -> bool {
        self.looks += 1;
        if self.looks <= QUICK_LOOKS {
            pause(1 << self.looks.min(LONGEST_PAUSE));
        } else {
            yield_now();
        }
        self.looks <= QUICK_LOOKS + YIELDING_LOOKS
    }

    /// Whether the last pause was as long as others liked to run: on a busy machine milliseconds.
    pub(crate) fn lets_others_run(&self) -> bool {
        self.looks > QUICK_LOOKS
    }
}

/// So many ticks. The length of a PAUSE instruction differs ten-fold from processor to processor.
pub(super) fn pause(ticks: u32) {
    static PAUSES: AtomicU32 = AtomicU32::new(0);
    let pauses = match PAUSES.load(Relaxed) {
        0 => {
            let pauses = pauses_in_a_tick();
            PAUSES.store(pauses, Relaxed);
            pauses
        }
        known => known,
    };
    (0..pauses * ticks).for_each(|_| spin_loop());
}

#[cold]
fn pauses_in_a_tick() -> u32 {
    const SAMPLE: u32 = 64;
    // The shortest of a few: an interrupted one says nothing.
    let sample = || {
        let start = Instant::now();
        (0..SAMPLE).for_each(|_| spin_loop());
        start.elapsed()
    };
    let shortest = (0..4).map(|_| sample()).min().unwrap_or(TICK);
    let pauses = (TICK * SAMPLE).as_nanos() / shortest.as_nanos().max(1);
    u32::try_from(pauses).unwrap_or(1).clamp(1, 64)
}
