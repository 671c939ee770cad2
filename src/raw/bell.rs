//! Waking who waits for something to change, without knowing who that is.
//!
//! A sleeper reads `seq`, adds a token to `sleepers`, looks once more at what it waits for, and sleeps
//! on `seq`. Whoever has changed something looks at `sleepers` after that; the barrier that both need
//! is the sleeper's (`sys::barrier`), so that ringing where nobody sleeps costs one look. The *waker*
//! takes tokens away and never the sleeper. (Were sleepers to lower the count, a killed one would make
//! every later change pay a system call.) Sleeps are timed and each adds its token anew, so a waker
//! that dies between its change and its call delays nobody for long.
//!
//! So there are more tokens than sleepers: of those that were killed, and of those that slept for long.
//! A waker that finds nobody asleep takes all of them. A sleeper whose token that was has read `seq`
//! before it added the token, hence before the waker counts `seq` up once more: it does not fall asleep
//! on it, or is woken.

use std::time::Duration;

use super::backoff::Backoff;
use crate::{
    deadline::Deadline,
    primitive::{AtomicU32, Ordering::*},
    sys::{
        barrier,
        futex::{self, LONGEST_SLICE},
    },
};

/// The words that sleepers and wakers share. All zeroes: nobody sleeps.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Bell {
    sleepers: AtomicU32,
    seq: AtomicU32,
}

/// The first sleep, before which no barrier is executed: most sleepers of a busy ring are woken sooner,
/// and the barrier interrupts all others. A waker that does not see the announcement, which takes a
/// store on its way at this very moment, lets it be slept to its end.
const NAP: Duration = Duration::from_millis(1);

/// The sleep after that, each following one being twice as long.
const FIRST_SLICE: Duration = Duration::from_millis(2);

impl Bell {
    pub(crate) const fn new() -> Self {
        Self { sleepers: AtomicU32::new(0), seq: AtomicU32::new(0) }
    }

    /// Wakes up to `count` sleepers. What was changed before is seen by whoever does not sleep yet.
    #[inline]
    pub(crate) fn ring(&self, count: u32) {
        barrier::light();
        if self.sleepers.load(Relaxed) != 0 {
            self.wake(count);
        }
    }

    #[cold]
    fn wake(&self, count: u32) {
        let taken = |sleepers: u32| (sleepers != 0).then(|| sleepers.saturating_sub(count));
        if self.sleepers.fetch_update(SeqCst, Relaxed, taken).is_ok() {
            self.seq.fetch_add(1, SeqCst);
            if futex::wake(&self.seq, count) == 0 && self.sleepers.swap(0, SeqCst) != 0 {
                self.seq.fetch_add(1, SeqCst);
                futex::wake(&self.seq, futex::ALL);
            }
        }
    }

    /// Announces a sleeper who will sleep by other means: the word to sleep on, and how it is now.
    pub(crate) fn announce(&self) -> (&AtomicU32, u32) {
        let announced = self.announce_briefly();
        barrier::heavy();
        announced
    }

    /// As [`Bell::announce`] for a sleep that is so short that it may be slept in vain: without the
    /// barrier.
    fn announce_briefly(&self) -> (&AtomicU32, u32) {
        // Before the token: whoever takes that counts `seq` up, and this sleep does not begin.
        let seq = self.seq.load(Acquire);
        self.sleepers.fetch_add(1, SeqCst);
        (&self.seq, seq)
    }

    /// Looks until `look` finds something, sleeping in between; `None` if the deadline passes first.
    ///
    /// After each sleep that nobody ended, `idle` runs: the time to ask who is dead.
    pub(crate) fn wait<R>(
        &self,
        deadline: Deadline,
        mut look: impl FnMut() -> Option<R>,
        mut idle: impl FnMut(),
    ) -> Option<R> {
        let mut backoff = Backoff::new();
        loop {
            if let Some(found) = look() {
                return Some(found);
            }
            if deadline.has_passed() {
                return None;
            }
            if !backoff.look_again() {
                break;
            }
        }
        self.sleep(deadline, look, || {
            idle();
            false
        })
    }

    /// The second part of [`Bell::wait`]: sleeps until `look` finds something. After each sleep that
    /// nobody ended `idle` runs, and ends the wait if it says so.
    pub(crate) fn sleep<R>(
        &self,
        deadline: Deadline,
        mut look: impl FnMut() -> Option<R>,
        mut idle: impl FnMut() -> bool,
    ) -> Option<R> {
        let mut slice = if cfg!(loom) { FIRST_SLICE } else { NAP }; // no clock ends a nap in models
        loop {
            let (word, seq) = if slice == NAP { self.announce_briefly() } else { self.announce() };
            if let Some(found) = look() {
                return Some(found);
            }
            if deadline.has_passed() {
                return None;
            }
            if futex::wait(word, seq, deadline.within(slice)) == futex::Woken::TimedOut {
                if idle() {
                    return look();
                }
                slice = (slice * 2).clamp(FIRST_SLICE, LONGEST_SLICE);
            }
        }
    }
}
