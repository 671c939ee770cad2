//! Waking who waits for something to change, without knowing who that is.
//!
//! A sleeper reads `seq`, adds a token to `sleepers`, looks once more at what it waits for, and sleeps
//! on `seq`. Whoever has changed something looks at `sleepers` after that; the barrier that both need
//! is the sleeper's (`sys::barrier`), so that ringing where nobody sleeps costs one look. The *waker*
//! takes tokens away and never the sleeper; a sleeper that was killed has left a token, which costs one
//! empty wake-up and no more. (Were sleepers to lower the count, a
//! killed one would make every later change pay a system call.) Sleeps are timed and each adds its
//! token anew, so a waker that dies between its change and its call delays nobody for long.

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
            futex::wake(&self.seq, count);
        }
    }

    /// Announces a sleeper who will sleep by other means: the word to sleep on, and how it is now.
    pub(crate) fn announce(&self) -> (&AtomicU32, u32) {
        // Before the token: whoever takes that counts `seq` up, and this sleep does not begin.
        let seq = self.seq.load(Acquire);
        self.sleepers.fetch_add(1, SeqCst);
        barrier::heavy();
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
        let mut slice = Duration::from_millis(1);
        loop {
            let (word, seq) = self.announce();
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
                slice = (slice * 2).min(LONGEST_SLICE);
            }
        }
    }
}
