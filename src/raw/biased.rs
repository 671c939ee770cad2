//! A lock that one thread takes again and again without a locked instruction.
//!
//! A compare-exchange costs twenty cycles and waits until everything that was written before has arrived;
//! of a message that is a third. So a thread that takes this lock often becomes its *favourite*: it
//! keeps the lock when it leaves, and enters and leaves by plain stores to `inside`. Anybody else has to
//! take the lock away first. After Kawachiya, Koseki and Onodera, *Lock Reservation* (OOPSLA 2002).
//!
//! | word | `inside` | means | if the favourite dies here | if the other dies here |
//! |---|---|---|---|---|
//! | as in `mutex` | 0 | an ordinary lock | – | as in `mutex` |
//! | KEPT + favourite | 0 | the favourite may enter | the next one finds nobody inside | – |
//! | KEPT + favourite | 1 | the favourite is inside | the next one proves the death, and is told | – |
//! | `tid` of the other | 1 | it takes the lock away, and waits for 0 | the same | the kernel writes OWNER_DIED: the next one waits for the favourite too |
//!
//! Who gives up waiting puts the word back as it was.
//!
//! **Why no two are inside.** The favourite stores `inside` and then looks at the word; the other changes
//! the word, makes every processor execute a barrier (`sys::barrier`) and then looks at `inside`. Either
//! the favourite sees that the word has changed and stores 0 again, or the other sees 1 and waits.
//! `inside` is stored by the favourite alone, which may do so at any later time; so nobody else becomes
//! the favourite before it is dead. A free word needs no look at `inside`: whoever released it has looked,
//! and only the favourite makes it KEPT.

use std::time::Duration;

use super::{
    backoff::Backoff,
    habit::Habit,
    held::Thread,
    mutex::{Acquired, KEPT, LockFault, RawMutex},
    region,
};
use crate::{
    deadline::Deadline,
    primitive::{AtomicU32, AtomicU64, Ordering::*, fence, sleep},
    sys::{
        barrier,
        robust::{OWNER_DIED, TID},
    },
};

/// A lock that survives the death of its owner at any instruction. All zeroes is a free one without a
/// favourite.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct BiasedMutex {
    raw: RawMutex,
    /// Its attachment slot in the upper half and its thread id in the lower. Written by the holder.
    favourite: AtomicU64,
}

/// How a lock is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) habit: &'a Habit,
    pub(crate) deadline: Deadline,
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the lock is held until it is unlocked"]
pub(crate) enum Hold {
    /// By the favourite, who kept it.
    Entered,
    Locked(Acquired),
}

impl Hold {
    /// Whether the last owner died inside.
    #[inline]
    pub(crate) fn is_after_a_death(self) -> bool {
        self == Self::Locked(Acquired::OwnerDied)
    }
}

/// How long it is held at the most, on a busy machine.
const INSTANT: Duration = Duration::from_millis(100);

/// How long a favourite that does not leave at once is left alone between two looks.
const NAP: Duration = Duration::from_micros(100);

/// After so long everything that was stored before is seen, where no barrier can be had.
const LONG_AGO: Duration = Duration::from_millis(10);

impl BiasedMutex {
    pub(crate) const fn new() -> Self {
        Self { raw: RawMutex::new(), favourite: AtomicU64::new(0) }
    }

    #[inline]
    fn inside(&self) -> &AtomicU32 {
        self.raw.spare(2)
    }

    /// One of two words beside the lock for whoever builds on it. Written by the holder.
    #[inline]
    pub(crate) fn spare(&self, which: usize) -> &AtomicU32 {
        self.raw.spare(which)
    }

    /// Takes the lock if it is free within the time, and one that a living thread holds also when the
    /// deadline passes in that instant. One that a stopped process holds it does not wait for.
    #[inline(always)]
    pub(crate) fn lock(&self, request: Request<'_>) -> Result<Hold, LockFault> {
        if self.enter() { Ok(Hold::Entered) } else { self.lock_word(request) }
    }

    /// Takes the lock if nobody is inside.
    pub(crate) fn try_lock(&self) -> Result<Hold, LockFault> {
        match self.raw.try_lock() {
            Err(LockFault::Held) => self.take_away(Deadline::NOW)?.map(Hold::Locked).ok_or(LockFault::Held),
            taken => self.after(taken, Deadline::NOW),
        }
    }

    #[inline(always)]
    pub(crate) fn unlock(&self, habit: &Habit, hold: Hold) {
        match hold {
            Hold::Entered => self.inside().store(0, Release),
            Hold::Locked(_) => self.unlock_word(habit),
        }
    }

    /// As [`BiasedMutex::unlock`], for a lock that is not taken often.
    pub(crate) fn release(&self, hold: Hold) {
        match hold {
            Hold::Entered => self.inside().store(0, Release),
            Hold::Locked(_) => _ = self.raw.unlock(),
        }
    }

    #[inline(always)]
    fn enter(&self) -> bool {
        let thread = Thread::current();
        // A thread that has been forked finds no segment.
        let Some(slot) = thread.recent_slot(self.raw.address()) else { return false };
        // Whoever stands inside is not this thread, but one that died and had the same id.
        if self.favourite.load(Relaxed) != name(slot, thread) || self.inside().load(Relaxed) != 0 {
            return false;
        }
        self.inside().store(1, Relaxed);
        barrier::light();
        if self.raw.word_is(KEPT | thread.tid()) {
            return true;
        }
        self.inside().store(0, Release);
        false
    }

    #[inline(never)]
    fn lock_word(&self, Request { habit, deadline }: Request<'_>) -> Result<Hold, LockFault> {
        habit.notice_loss();
        if self.raw.lock_free_one() {
            return Ok(Hold::Locked(Acquired::Released));
        }
        habit.start_over();
        self.lock_contended(deadline.or_after(INSTANT))
    }

    #[cold]
    fn lock_contended(&self, deadline: Deadline) -> Result<Hold, LockFault> {
        loop {
            match self.raw.lock_contended::<true>(deadline) {
                Err(LockFault::Held) => {
                    if let Some(acquired) = self.take_away(deadline)? {
                        return Ok(Hold::Locked(acquired));
                    }
                }
                taken => return self.after(taken, deadline),
            }
        }
    }

    /// Who died may have been taking the lock away from a favourite that is inside.
    fn after(&self, taken: Result<Acquired, LockFault>, deadline: Deadline) -> Result<Hold, LockFault> {
        let acquired = taken?;
        if acquired == Acquired::OwnerDied {
            let _ = self.wait_until_outside(OWNER_DIED, deadline)?;
        }
        Ok(Hold::Locked(acquired))
    }

    /// Takes the lock from the favourite; `None` if that does not keep it any more.
    fn take_away(&self, deadline: Deadline) -> Result<Option<Acquired>, LockFault> {
        let kept = self.raw.word();
        if kept & KEPT == 0 || !self.raw.take_kept(kept)? {
            return Ok(None);
        }
        self.wait_until_outside(kept, deadline).map(Some)
    }

    /// The calling thread has the word and waits until the favourite is not inside, or dead. When the
    /// deadline passes first, it puts the word back as it was.
    fn wait_until_outside(&self, before: u32, deadline: Deadline) -> Result<Acquired, LockFault> {
        let favourite = self.favourite.load(Relaxed);
        if !barrier::heavy() {
            sleep(LONG_AGO);
        }
        let mut backoff = Backoff::new();
        while self.inside().load(Acquire) != 0 {
            let looks = backoff.look_again();
            if looks && !backoff.lets_others_run() {
                continue;
            }
            if self.is_gone(favourite) {
                // What it has stored came before its death, and what follows here after the proof of it.
                fence(SeqCst);
                self.favourite.store(0, Relaxed);
                self.inside().store(0, Relaxed);
                return Ok(Acquired::OwnerDied);
            }
            if deadline.has_passed() {
                self.raw.unlock_leaving(before, 1);
                return Err(LockFault::TimedOut);
            }
            if !looks {
                sleep(NAP);
            }
        }
        Ok(Acquired::Released)
    }

    /// Whether this thread has no more stores to come.
    fn is_gone(&self, favourite: u64) -> bool {
        let (slot, tid) = ((favourite >> 32) as u32, favourite as u32);
        // The calling thread is here: it was another one that had its id.
        if tid == 0 || tid == Thread::current().tid() {
            return true;
        }
        region::peers_of(self.raw.address()).is_some_and(|peers| peers.thread_is_dead(slot, tid))
    }

    #[inline(never)]
    fn unlock_word(&self, habit: &Habit) {
        if !habit.is_formed() {
            self.raw.unlock();
        } else if self.become_favourite() {
            habit.keep();
            self.raw.unlock_leaving(KEPT | Thread::current().tid(), 1);
        } else {
            habit.lose();
            self.raw.unlock();
        }
    }

    /// Makes the calling thread, which holds the lock, the favourite, if there is none that lives.
    fn become_favourite(&self) -> bool {
        let thread = Thread::current();
        let Some(slot) = thread.recent_slot(self.raw.address()) else { return false };
        if !barrier::is_registered() || thread.tid() & !(TID & !KEPT) != 0 {
            return false;
        }
        let (old, new) = (self.favourite.load(Relaxed), name(slot, thread));
        if old != new {
            if !self.is_gone(old) {
                return false;
            }
            self.inside().store(0, Relaxed);
            self.favourite.store(new, Relaxed);
        }
        true
    }
}

#[inline]
fn name(slot: u32, thread: &Thread) -> u64 {
    u64::from(slot) << 32 | u64::from(thread.tid())
}
