//! Two slots and two counters: a value of any width that changes whole or not at all.
//!
//! A left-right register with a robust lock for its writers. The writer of version `v + 1` stores
//! `begin = v + 1`, fills the slot that nobody reads, and stores `version = v + 1`. Killed at any
//! instruction, the old or the new value stands, never a mixture, and nothing needs repair.
//!
//! **Orderings.** A reader loads `version` (Acquire: it sees the slot that was filled before), copies
//! that slot, fences (Acquire) and loads `begin`. The slot of version `v` is overwritten only by
//! the writer of `v + 2`, which stores `begin = v + 2` and fences (Release) before its first word:
//! a reader that copied any such word sees that `begin`, so `begin <= v + 1` proves the copy whole.
//! Looking at `version` again would not: with two writers it can be unchanged while the next one
//! is in the middle of the slot.
//!
//! Who waits for a change sleeps on a bell (`raw::bell`), which a writer rings after its commit.

use std::time::Duration;

use super::{
    bell::Bell,
    mutex::{Acquired, LockFault, RawMutex},
};
use crate::{
    deadline::Deadline,
    primitive::{AtomicU64, Ordering::*, fence},
    sys::futex,
};

/// The counters and the writers' lock. All zeroes is version 0, in slot 0.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct RawVersioned {
    pub(crate) writers: RawMutex,
    begin: AtomicU64,
    version: AtomicU64,
    changed: Bell,
}

/// How often a reader that writers overtake tries before it asks them to wait.
const TRIES: u32 = if cfg!(loom) { 1 } else { 32 };

/// How long it asks before it looks whether they move at all. A commit takes nanoseconds.
const STANDSTILL: Duration = Duration::from_millis(2);

impl RawVersioned {
    pub(crate) const fn new() -> Self {
        Self {
            writers: RawMutex::new(),
            begin: AtomicU64::new(0),
            version: AtomicU64::new(0),
            changed: Bell::new(),
        }
    }

    /// The slot that holds the value. It stays so while the caller holds `writers`.
    #[inline]
    pub(crate) fn active(&self) -> usize {
        slot(self.version.load(Acquire))
    }

    /// Copies the value without a lock: `copy` is given the slot, perhaps more than once, and its
    /// last answer counts.
    #[inline]
    pub(crate) fn read<R>(&self, mut copy: impl FnMut(usize) -> R) -> R {
        for _ in 0..TRIES {
            let version = self.version.load(Acquire);
            let value = copy(slot(version));
            fence(Acquire);
            if self.begin.load(Relaxed) <= version.wrapping_add(1) {
                return value;
            }
        }
        self.read_locked(copy)
    }

    /// Keeps the writers away for one copy, unless they are kept away already.
    ///
    /// Writers that overtake a reader move on. If `begin` is more than one version ahead and nothing
    /// moves, no writer did that: another process has overwritten the counters, and perhaps the
    /// lock with them. Then there is nothing to wait for, and the value is as good as any.
    #[cold]
    fn read_locked<R>(&self, mut copy: impl FnMut(usize) -> R) -> R {
        loop {
            let before = (self.version.load(Acquire), self.begin.load(Relaxed));
            match self.writers.lock_deadline(Deadline::after(STANDSTILL)) {
                // A dead writer has left the active slot alone.
                Ok(Acquired::Released | Acquired::OwnerDied) => {
                    let value = copy(self.active());
                    self.writers.unlock();
                    return value;
                }
                // This thread keeps all writers away itself.
                Err(LockFault::OwnLock) => return copy(self.active()),
                Err(LockFault::TimedOut | LockFault::Held) => {
                    let version = self.version.load(Acquire);
                    let value = copy(slot(version));
                    fence(Acquire);
                    let begin = self.begin.load(Relaxed);
                    if begin <= version.wrapping_add(1) || (version, begin) == before {
                        return value;
                    }
                }
                Err(fault @ (LockFault::TooMany | LockFault::Detached)) => panic!("{}", fault.sentence()),
            }
        }
    }

    /// Makes what `fill` writes into the idle slot the value. The caller holds `writers`.
    #[inline]
    pub(crate) fn commit(&self, fill: impl FnOnce(usize)) {
        let next = self.version.load(Relaxed).wrapping_add(1);
        self.begin.store(next, Relaxed);
        fence(Release);
        fill(slot(next));
        self.version.store(next, Release);
    }

    /// Releases `writers` after a commit, and wakes who waits for one.
    #[inline]
    pub(crate) fn unlock(&self) {
        self.writers.unlock();
        self.changed.ring(futex::ALL);
    }

    /// The number of commits so far.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    /// Sleeps until there is another version than `seen`, or the deadline.
    pub(crate) fn wait_for_another(&self, seen: u64, deadline: Deadline) {
        self.changed.sleep(deadline, || (self.version.load(Acquire) != seen).then_some(()), || false);
    }
}

#[inline]
fn slot(version: u64) -> usize {
    (version % 2) as usize
}
