//! The robust lock: one futex word, and the kernel knows who holds it.
//!
//! Protocol and state table: `README.md` beside this file. Uncontended it is one compare-exchange
//! and a handful of plain stores to lines that the thread has already.
//!
//! **Orderings.** Acquiring (compare-exchange, `Acquire`) sees everything that was written before
//! the release (store, `Release`) or before the death: the kernel marks the word after the dead
//! thread's last store, and a thief has been told of the death by the kernel. Everything else on
//! the word is a question whose answer is checked by a compare-exchange, so `Relaxed`. `owner` and
//! `state` are written by the holder only.
//!
//! **Sleepers.** A release is a plain store and then a look whether anybody sleeps; on every processor
//! the look may come before the store is seen. A sleeper announces itself and then makes all
//! processors execute a barrier (`sys::barrier`): either the owner's look comes after that and sees
//! the announcement, or its store came before and the sleeper sees a free lock. So releasing costs no
//! locked instruction, which is half of what std's lock costs. The first sleep is a nap that is so
//! short that it may be slept in vain, and goes without the barrier.

use std::time::Duration;

pub(crate) use super::fault::{Acquired, LockFault};
use super::{
    backoff::Backoff,
    held::Thread,
    life,
    region::{self, NO_SLOT, Peers},
};
use crate::{
    deadline::Deadline,
    primitive::{AtomicU32, AtomicUsize, Ordering::*, compiler_fence},
    sys::{
        barrier,
        futex::{self, Woken},
        robust::{Node, OWNER_DIED, TID, WAITERS},
    },
};

/// A lock that survives the death of its owner at any instruction. All zeroes is a free one.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct RawMutex {
    /// `word` +0: thread id of the owner, WAITERS, OWNER_DIED. `data` +4: see the constants below.
    node: Node,
}

/// Index in `data` of the owner's attachment slot: a hint for finding its process.
const OWNER_SLOT: usize = 1;
/// Index in `data` of whether the protected value is consistent (0) or not.
const STATE: usize = 2;
/// Indices in `data` of the words that this machine leaves to others.
const SPARE: [usize; 3] = [3, 4, 0];

#[cfg(not(loom))] // whose atomics are larger
const _: () = assert!(size_of::<RawMutex>() == 40 && std::mem::offset_of!(Node, data) == 4);

/// A bit of a word whose owner is not inside but keeps the lock for itself; see [`biased`](super::biased).
/// No thread id is so large: the kernel's limit is 2^22.
pub(super) const KEPT: u32 = 1 << 29;

/// The first sleep, before which no barrier is executed: most owners release sooner, and the barrier
/// interrupts them. One that does not see the announcement lets it be slept to its end.
const NAP: Duration = Duration::from_micros(100);

/// A waiter asks whether the owner lives after each slice, first soon and then more rarely.
const FIRST_SLICE: Duration = Duration::from_millis(1);

impl RawMutex {
    pub(crate) const fn new() -> Self {
        Self { node: Node::new() }
    }

    #[inline]
    pub(super) fn address(&self) -> usize {
        (&raw const *self) as usize
    }

    /// Waits until the lock is free, and takes it.
    #[inline]
    pub(crate) fn lock(&self) -> Result<Acquired, LockFault> {
        if self.lock_free_one() {
            Ok(Acquired::Released)
        } else {
            self.lock_contended::<false>(Deadline::NEVER)
        }
    }

    /// Takes the lock if it is free within the time.
    #[inline]
    pub(crate) fn lock_deadline(&self, deadline: Deadline) -> Result<Acquired, LockFault> {
        if self.lock_free_one() { Ok(Acquired::Released) } else { self.lock_contended::<false>(deadline) }
    }

    /// Takes the lock if it is free now.
    pub(crate) fn try_lock(&self) -> Result<Acquired, LockFault> {
        let taker = Taker::new(self)?;
        match self.take(&taker, 0) {
            Some(acquired) => Ok(acquired),
            None if self.is_own(&taker) => Err(LockFault::OwnLock),
            None => Err(LockFault::Held),
        }
    }

    /// The fast path: a free lock in a segment that this thread has used before.
    #[inline]
    pub(super) fn lock_free_one(&self) -> bool {
        let thread = Thread::current();
        let Some(slot) = thread.recent_slot(self.address()) else { return false };
        if thread.is_full() {
            return false;
        }
        thread.announce(&self.node);
        let taken = self.node.word.compare_exchange(0, thread.tid(), Acquire, Relaxed).is_ok();
        if taken {
            thread.push(&self.node);
            self.set_owner(slot);
        }
        taken
    }

    #[inline]
    fn set_owner(&self, slot: u32) {
        let owner = &self.node.data[OWNER_SLOT];
        // A process that takes its lock again has nothing to write.
        if owner.load(Relaxed) != slot {
            owner.store(slot, Relaxed);
        }
    }

    /// Waits for the lock. With `KEEPS`, [`LockFault::Held`] says that its owner keeps it for itself.
    #[cold]
    pub(super) fn lock_contended<const KEEPS: bool>(
        &self,
        deadline: Deadline,
    ) -> Result<Acquired, LockFault> {
        let taker = Taker::new(self)?;
        let mut backoff = Backoff::new();
        loop {
            if let Some(acquired) = self.take(&taker, 0) {
                return Ok(acquired);
            }
            if KEEPS && self.word() & KEPT != 0 {
                return Err(LockFault::Held);
            }
            if !backoff.look_again() || backoff.lets_others_run() && deadline.has_passed() {
                break;
            }
        }
        if self.is_own(&taker) {
            return Err(LockFault::OwnLock);
        }
        self.lock_asleep::<KEEPS>(&taker, deadline)
    }

    /// Sleeps until the lock is free, released or its owner proven dead.
    fn lock_asleep<const KEEPS: bool>(
        &self,
        taker: &Taker,
        deadline: Deadline,
    ) -> Result<Acquired, LockFault> {
        let word = &self.node.word;
        let mut slice = if cfg!(loom) { FIRST_SLICE } else { NAP }; // no clock ends a nap in models
        loop {
            // Others may sleep too, and a wake-up wakes one: who has slept keeps WAITERS set.
            if let Some(acquired) = self.take(taker, WAITERS) {
                // The word may be the same as before, and somebody about to sleep on it.
                self.sleepers().fetch_add(1, Release);
                return Ok(acquired);
            }
            let held = word.load(Relaxed);
            if KEEPS && held & KEPT != 0 {
                return Err(LockFault::Held);
            }
            if held & TID == 0 || !self.announce_waiter(held, slice) {
                continue;
            }
            if deadline.has_passed() {
                return Err(LockFault::TimedOut);
            }
            if futex::wait(word, held | WAITERS, deadline.within(slice)) == Woken::TimedOut {
                if let Some(acquired) = self.steal_from_the_dead(taker) {
                    return Ok(acquired);
                }
                slice = (slice * 2).clamp(FIRST_SLICE, futex::LONGEST_SLICE);
            }
        }
    }

    /// Sleeps a slice, or until the present owner releases the lock or is proven dead, without taking
    /// it: who does that is still told of the death. `slice` starts at zero and grows from call to call.
    pub(crate) fn sleep_until_released(&self, slice: &mut Duration, deadline: Deadline) {
        let held = self.node.word.load(Relaxed);
        *slice = (*slice * 2).clamp(FIRST_SLICE, futex::LONGEST_SLICE);
        if held & TID == 0 || !self.announce_waiter(held, *slice) {
            return;
        }
        if futex::wait(&self.node.word, held | WAITERS, deadline.within(*slice)) == Woken::TimedOut {
            self.mark_the_dead();
        }
    }

    /// Announces a sleeper: to the kernel, by WAITERS on the held word, should the owner die, and to
    /// whoever releases, in `sleepers`. False if the word has changed.
    fn announce_waiter(&self, held: u32, slice: Duration) -> bool {
        if held & WAITERS == 0
            && self.node.word.compare_exchange(held, held | WAITERS, Relaxed, Relaxed).is_err()
        {
            return false;
        }
        // After the mark: see `wake_sleepers`.
        self.sleepers().fetch_add(1, SeqCst);
        if slice != NAP {
            // From here on an owner that has not seen the announcement has released, and we see that.
            barrier::heavy();
        }
        true
    }

    /// In the lower half, announcements since nobody slept; in the upper, how often that was found, so
    /// that two announcements are never taken for one.
    #[inline]
    fn sleepers(&self) -> &AtomicUsize {
        &self.node.prev
    }

    /// Takes a lock that nobody owns: a free one, or one whose owner's death the kernel has marked.
    fn take(&self, taker: &Taker, flags: u32) -> Option<Acquired> {
        let word = self.node.word.load(Relaxed);
        if word & TID != 0 {
            return None;
        }
        self.exchange(taker, word, word & WAITERS | flags)?;
        Some(if word & OWNER_DIED == 0 { Acquired::Released } else { Acquired::OwnerDied })
    }

    pub(super) fn word(&self) -> u32 {
        self.node.word.load(Relaxed)
    }

    /// Whether the word is this one, and then everything that was written before it became so is seen.
    #[inline]
    pub(super) fn word_is(&self, word: u32) -> bool {
        self.node.word.load(Acquire) == word
    }

    /// Leaves a free lock to this owner.
    pub(super) fn keep_free_one(&self, kept: u32) -> bool {
        self.node.word.compare_exchange(0, kept, Acquire, Relaxed).is_ok()
    }

    /// Takes a lock that its owner keeps, if the word is still this one.
    pub(super) fn take_kept(&self, kept: u32) -> Result<bool, LockFault> {
        let taker = Taker::new(self)?;
        let taken = self.exchange(&taker, kept, WAITERS).is_some();
        if taken {
            // As one that has slept, which it may have.
            self.sleepers().fetch_add(1, Release);
        }
        Ok(taken)
    }

    /// Makes the calling thread the owner of a word that is still `expected`.
    fn exchange(&self, taker: &Taker, expected: u32, flags: u32) -> Option<()> {
        let Taker { thread, slot } = *taker;
        let new = thread.tid() | flags;
        let Some(slot) = slot else {
            return self.node.word.compare_exchange(expected, new, Acquire, Relaxed).ok().map(drop);
        };
        thread.announce(&self.node);
        if self.node.word.compare_exchange(expected, new, Acquire, Relaxed).is_err() {
            return None;
        }
        thread.push(&self.node);
        self.set_owner(slot);
        Some(())
    }

    /// Takes the lock of an owner whose death the kernel has not marked, if it can be proven.
    ///
    /// This covers what the kernel's list cannot: a program replaced by `exec` from another thread,
    /// the out-of-memory reaper, a C library without a list.
    #[cold]
    fn steal_from_the_dead(&self, taker: &Taker) -> Option<Acquired> {
        self.recover(taker, |held| self.exchange(taker, held, WAITERS))?;
        Some(Acquired::OwnerDied)
    }

    /// Does what the kernel did not: marks the word of a dead owner, so that the next one is told, and
    /// wakes who sleeps.
    #[cold]
    fn mark_the_dead(&self) {
        let Ok(taker) = Taker::new(self) else { return };
        let mark = |held| {
            let marked = held & WAITERS | OWNER_DIED;
            self.node.word.compare_exchange(held, marked, AcqRel, Relaxed).ok()
        };
        if self.recover(&taker, mark).is_some() {
            futex::wake(&self.node.word, futex::ALL);
        }
    }

    /// Changes the word of an owner that is proven dead and that the kernel has not marked.
    fn recover<R>(&self, taker: &Taker, change: impl Fn(u32) -> Option<R>) -> Option<R> {
        taker.slot?;
        let peers = region::peers_of(self.address())?;
        let held = self.node.word.load(Relaxed);
        if !self.owner_is_dead(taker, held, &*peers) {
            return None;
        }
        let mut changed = None;
        peers.recover(&mut || {
            // Only a recoverer changes the word of a dead owner, and this is the only one now.
            if self.node.word.load(Relaxed) == held && self.owner_is_dead(taker, held, &*peers) {
                changed = change(held);
            }
        });
        changed
    }

    fn owner_is_dead(&self, taker: &Taker, held: u32, peers: &dyn Peers) -> bool {
        let tid = held & TID;
        if tid == taker.thread.tid() {
            // Our own id, and we do not hold it: a thread that is gone had the same id.
            return !taker.thread.holds(&self.node);
        }
        tid != 0 && peers.thread_is_dead(self.node.data[OWNER_SLOT].load(Relaxed), tid)
    }

    fn is_own(&self, taker: &Taker) -> bool {
        let mine = self.node.word.load(Relaxed) & TID == taker.thread.tid();
        mine && (taker.slot.is_none() || taker.thread.holds(&self.node))
    }

    /// Releases the lock and wakes one waiter. Does nothing, and says so, if this thread does not
    /// hold it: in a forked child, whose guards are its parent's.
    #[inline]
    pub(crate) fn unlock(&self) -> bool {
        self.unlock_waking(1)
    }

    /// As [`RawMutex::unlock`] for a lock that was acquired last, as nested scopes have it; otherwise
    /// it does nothing and says so.
    #[inline(always)]
    pub(crate) fn unlock_newest(&self) -> bool {
        let thread = Thread::current();
        let newest = thread.is_newest(&self.node);
        if newest {
            thread.announce(&self.node);
            thread.pop();
            self.release(0, 1);
        }
        newest
    }

    /// As [`RawMutex::unlock`], for locks whose waiters may all go on.
    #[inline]
    pub(crate) fn unlock_waking(&self, count: u32) -> bool {
        self.unlock_leaving(0, count)
    }

    /// As [`RawMutex::unlock_waking`], leaving this word instead of a free one.
    #[inline]
    pub(super) fn unlock_leaving(&self, word: u32, count: u32) -> bool {
        let thread = Thread::current();
        if !thread.is_newest(&self.node) {
            return self.unlock_elsewhere(word, count);
        }
        thread.announce(&self.node);
        thread.pop();
        self.release(word, count);
        true
    }

    /// A lock that was not acquired last, that is in no segment, or that is not this thread's.
    #[cold]
    fn unlock_elsewhere(&self, word: u32, count: u32) -> bool {
        let thread = life::ready();
        if thread.slot_of(self.address()).is_none() {
            self.release(word, count);
            return true;
        }
        thread.announce(&self.node);
        let mine = thread.remove(&self.node);
        if mine {
            self.release(word, count);
        }
        mine
    }

    #[inline]
    fn release(&self, word: u32, count: u32) {
        // A plain store and a plain load. The barrier that they need in between is the sleeper's.
        self.node.word.store(word, Release);
        compiler_fence(SeqCst);
        if self.sleepers().load(Relaxed) as u32 != 0 || !barrier::is_registered() {
            self.wake_sleepers(count);
        }
    }

    #[cold]
    #[inline(never)]
    fn wake_sleepers(&self, count: u32) {
        barrier::light();
        let sleepers = self.sleepers().load(Acquire);
        if sleepers as u32 == 0 {
            return;
        }
        // They have marked the word before. If it has no mark now, it is another word, and none of them
        // begins to sleep any more; if it has, one may be about to, and its owner looks after that.
        let may_sleep = self.node.word.load(Relaxed) & WAITERS != 0;
        let woken = futex::wake(&self.node.word, count);
        if woken == 0 && !may_sleep {
            // Nobody sleeps. Who has announced himself since has changed the number.
            let none = (sleepers >> 32).wrapping_add(1) << 32;
            let _ = self.sleepers().compare_exchange(sleepers, none, Relaxed, Relaxed);
        }
    }

    /// Whether somebody owns it; the answer may be old when it arrives.
    pub(crate) fn is_locked(&self) -> bool {
        self.node.word.load(Acquire) & TID != 0
    }

    /// Says of the lock, just taken, that it goes back when this thread ends: its guard lends no
    /// reference to anything that others may get at. See `Thread::set_returning`.
    #[inline]
    pub(crate) fn set_returning(&self, returning: bool) {
        let thread = Thread::current();
        if thread.is_newest(&self.node) {
            thread.set_returning(returning);
        }
    }

    /// Whether nobody owns it and the last owner has released it.
    pub(crate) fn is_free(&self) -> bool {
        self.node.word.load(Acquire) & (TID | OWNER_DIED) == 0
    }

    /// Whether the last owner died, and nobody has taken it since.
    pub(crate) fn is_abandoned(&self) -> bool {
        let word = self.node.word.load(Acquire);
        word & TID == 0 && word & OWNER_DIED != 0
    }

    /// Releases the lock of an owner whose death the kernel has not marked.
    pub(crate) fn release_if_dead(&self) {
        if self.is_locked() {
            self.mark_the_dead();
        }
    }

    /// Whether the calling thread holds it.
    #[inline]
    pub(crate) fn is_mine(&self) -> bool {
        Thread::current().is_newest(&self.node) || self.is_mine_elsewhere()
    }

    #[cold]
    fn is_mine_elsewhere(&self) -> bool {
        let thread = life::ready();
        // A cell that is in no segment is on no list, and its word is not a peer's to write.
        thread.holds(&self.node)
            || self.node.word.load(Relaxed) & TID == thread.tid() && thread.slot_of(self.address()).is_none()
    }

    /// One of three words beside the lock for whoever builds on it. Written by the holder.
    #[inline]
    pub(crate) fn spare(&self, which: usize) -> &AtomicU32 {
        &self.node.data[SPARE[which]]
    }

    /// Whether the protected value was left half-changed. Read and written by the holder.
    #[inline]
    pub(crate) fn is_consistent(&self) -> bool {
        self.node.data[STATE].load(Relaxed) == 0
    }

    pub(crate) fn set_consistent(&self, consistent: bool) {
        self.node.data[STATE].store((!consistent).into(), Relaxed);
    }
}

/// Who is about to take a lock: the thread, and its process's slot in the segment (none: no segment).
#[derive(Clone, Copy)]
struct Taker {
    thread: &'static Thread,
    slot: Option<u32>,
}

impl Taker {
    fn new(lock: &RawMutex) -> Result<Self, LockFault> {
        let thread = life::ready();
        let slot = thread.slot_of(lock.address());
        if slot == Some(NO_SLOT) {
            return Err(LockFault::Detached);
        }
        if thread.is_full() && slot.is_some() { Err(LockFault::TooMany) } else { Ok(Self { thread, slot }) }
    }
}
