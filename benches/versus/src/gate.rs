//! How two processes, or two threads, start a round at the same time.
//!
//! One of them leads. A turn: the leader says how much is to be done and wakes its partner; the
//! partner says that it is here; the leader says go; both work; the partner says that it has ended.
//! From *here* to *go* both are awake, on CPUs of their own if there are two, and look at the same
//! cache line, so they start within a fraction of a microsecond of each other. A turn in which other
//! work kept one of them from its CPU is taken again. Between turns the partner sleeps.

use std::{
    hint,
    sync::atomic::{AtomicU64, Ordering::*},
    thread,
    time::Duration,
};

use commons::{Shareable, Shared, Value};
use serde::{Deserialize, Serialize};

use crate::{
    clock,
    cpus::{self, Side},
};

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
    /// When the partner began and ended it, and how long others kept it from its CPU, in nanoseconds.
    from: AtomicU64,
    to: AtomicU64,
    kept_waiting: AtomicU64,
}

/// Instead of a turn: go home.
const LEAVE: u64 = u64::MAX;

/// How often a turn is taken until there is one without others. On a machine that is busy enough there
/// is none, and the last one counts.
const TRIES: u32 = 10;

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
        let _seat = cpus::take(Side::Partner);
        let marks = &*self.marks;
        let mut last = 0;
        loop {
            let number = self.turn.wait_until(|&turn| turn > last);
            if number == LEAVE {
                return;
            }
            let before = clock::kept_waiting();
            marks.here.store(number, Release);
            wait_for(&marks.go, number, || self.turn.get() != number);
            write(&marks.from, clock::now());
            work(&Turn { number, marks });
            write(&marks.to, clock::now());
            write(&marks.kept_waiting, clock::kept_waiting() - before);
            marks.ended.store(number, Release);
            last = number;
        }
    }

    pub(crate) fn dismiss(&self) {
        self.turn.set(LEAVE);
    }

    /// Leads a turn in which both do `count` operations: from the first start to the last end.
    pub(crate) fn together(
        &self,
        count: u64,
        mut work: impl FnMut(u64),
        gone: impl Fn() -> bool,
    ) -> Duration {
        self.lead(|| {
            let number = self.call(count, &gone);
            let from = clock::now();
            work(count);
            let to = clock::now();
            wait_for(&self.marks.ended, number, &gone);
            to.max(read(&self.marks.to)) - from.min(read(&self.marks.from))
        })
    }

    /// Leads a turn in which the partner is busy for as long as `work` takes.
    pub(crate) fn during(&self, mut work: impl FnMut() -> Duration, gone: impl Fn() -> bool) -> Duration {
        self.lead(|| {
            let number = self.call(0, &gone);
            let elapsed = work();
            self.marks.stopped.store(number, Relaxed);
            wait_for(&self.marks.ended, number, &gone);
            elapsed
        })
    }

    /// Takes turns until there was one in which others hardly kept either side from its CPU.
    fn lead(&self, mut turn: impl FnMut() -> Duration) -> Duration {
        let _seat = cpus::take(Side::Leader);
        let mut tries = 0;
        loop {
            let before = clock::kept_waiting();
            let elapsed = turn();
            let kept_waiting = (clock::kept_waiting() - before).max(read(&self.marks.kept_waiting));
            tries += 1;
            if kept_waiting <= elapsed / 10 || tries == TRIES {
                return elapsed;
            }
        }
    }

    /// Calls the next turn and says go when the partner is here.
    fn call(&self, count: u64, gone: &impl Fn() -> bool) -> u64 {
        self.marks.count.store(count, Relaxed);
        let number = self.turn.update(|turn| {
            *turn += 1;
            *turn
        });
        wait_for(&self.marks.here, number, gone);
        self.marks.go.store(number, Release);
        number
    }
}

/// Waits awake until the other has written this number. Yields seldom: who is away when the other
/// comes starts late.
fn wait_for(mark: &AtomicU64, number: u64, gone: impl Fn() -> bool) {
    while mark.load(Acquire) != number {
        for _ in 0..10_000 {
            if mark.load(Acquire) == number {
                return;
            }
            hint::spin_loop();
        }
        if gone() && mark.load(Acquire) != number {
            panic!("the other side of this row has gone");
        }
        thread::yield_now();
    }
}

fn write(mark: &AtomicU64, time: Duration) {
    mark.store(time.as_nanos() as u64, Relaxed);
}

fn read(mark: &AtomicU64) -> Duration {
    Duration::from_nanos(mark.load(Relaxed))
}
