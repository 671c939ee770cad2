//! How two processes, or two threads, start a round at the same time.
//!
//! One of them leads. A turn: the leader says how much is to be done and wakes its partner; the
//! partner says that it is here; the leader says go; both work; the partner says that it has ended.
//! From *here* to *go* both are awake and look at the same cache line, so they start within a
//! fraction of a microsecond of each other. Between turns the partner sleeps.

use std::{
    hint, thread,
    sync::atomic::{AtomicU64, Ordering::*},
    time::{Duration, Instant},
};

use commons::{Shareable, Shared, Value};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What the two of them look at. Turns are numbered from 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Gate {
    /// The turn that the leader has called, or `LEAVE`.
    turn: Value<u64>,
    marks: Shared<Marks>,
}

/// Nobody writes here while a turn is worked on, but for `stopped`, which ends it.
#[derive(Default, Debug, Shareable)]
#[repr(C)]
struct Marks {
    count: AtomicU64,
    /// The turn that the partner has come to.
    here: AtomicU64,
    /// The turn that both work on.
    go: AtomicU64,
    /// The turn that the leader has stopped.
    stopped: AtomicU64,
    /// The turn that the partner has ended.
    ended: AtomicU64,
    /// When the partner began and ended it, in nanoseconds.
    from: AtomicU64,
    to: AtomicU64,
}

/// Instead of a turn: go home.
const LEAVE: u64 = u64::MAX;

/// A partner that takes longer is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the partner is to do.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    number: u64,
    marks: &'a Marks,
}

impl Turn<'_> {
    pub(crate) fn count(&self) -> u64 {
        self.marks.count.load(Relaxed)
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the leader is still at work.
    #[inline]
    pub(crate) fn goes_on(&self) -> bool {
        self.marks.stopped.load(Relaxed) != self.number
    }
}

impl Gate {
    pub(crate) fn new() -> commons::Result<Self> {
        Ok(Self { turn: Value::new(0)?, marks: Shared::new(Marks::default())? })
    }

    /// The partner's life: turn after turn, until the leader dismisses it.
    pub(crate) fn attend(&self, mut work: impl FnMut(&Turn<'_>)) {
        let marks = &*self.marks;
        let mut last = 0;
        loop {
            let number = self.turn.wait_until(|&turn| turn > last);
            if number == LEAVE {
                return;
            }
            marks.here.store(number, Release);
            wait_for(&marks.go, number);
            marks.from.store(now(), Relaxed);
            work(&Turn { number, marks });
            marks.to.store(now(), Relaxed);
            marks.ended.store(number, Release);
            last = number;
        }
    }

    pub(crate) fn dismiss(&self) {
        self.turn.set(LEAVE);
    }

    /// Leads a turn in which both do `count` operations: from the first start to the last end.
    pub(crate) fn together(&self, count: u64, work: impl FnOnce(u64)) -> Duration {
        let number = self.call(count);
        let from = now();
        work(count);
        let to = now();
        let marks = &*self.marks;
        wait_for(&marks.ended, number);
        let (first, last) = (from.min(marks.from.load(Relaxed)), to.max(marks.to.load(Relaxed)));
        Duration::from_nanos(last - first)
    }

    /// Leads a turn in which the partner is busy for as long as `work` takes.
    pub(crate) fn during<R>(&self, work: impl FnOnce() -> R) -> R {
        let number = self.call(0);
        let result = work();
        self.marks.stopped.store(number, Relaxed);
        wait_for(&self.marks.ended, number);
        result
    }

    /// Calls the next turn and says go when the partner is here.
    fn call(&self, count: u64) -> u64 {
        self.marks.count.store(count, Relaxed);
        let number = self.turn.update(|turn| {
            *turn += 1;
            *turn
        });
        wait_for(&self.marks.here, number);
        self.marks.go.store(number, Release);
        number
    }
}

/// Waits awake until the other has written this number.
fn wait_for(mark: &AtomicU64, number: u64) {
    let start = Instant::now();
    loop {
        for _ in 0..100 {
            if mark.load(Acquire) == number {
                return;
            }
            hint::spin_loop();
        }
        assert!(start.elapsed() < PATIENCE, "the other side of a row did not come within {PATIENCE:?}");
        thread::yield_now();
    }
}

/// A clock that all processes share.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
