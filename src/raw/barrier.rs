//! A meeting of a fixed number of parties, which all go on together or all hear that it is broken.
//!
//! Each party has a seat from its first wait until a reset: who it is (slot and thread, one word), and
//! in which generation it has arrived last. How many have arrived is never stored: it is the number
//! of seats that say so. The last to arrive counts `generation` up, one store, and everybody goes.
//! Seats change under `lock`; waiting happens without it.
//!
//! | who dies | where | what happens |
//! |---|---|---|
//! | anybody | inside `lock` | the kernel hands it on; every change under it is one store |
//! | a party | waiting, or between two waits | whoever waits asks after each slice whether all parties live: broken |
//! | the last to arrive | after `generation + 1`, before the wake-up | sleepers look again by themselves |
//!
//! `broken` is set by a party that is late, by `abort` and after a death, and cleared by `reset`, which
//! counts `epoch` up: who waited through a reset hears that it was broken.

use super::{
    bell::Bell,
    mutex::{LockFault, RawMutex},
    region,
};
use crate::{
    deadline::Deadline,
    primitive::{AtomicU32, AtomicU64, Ordering::*},
    sys::{futex, identity::current_tid},
};

/// A place at the table. All zeroes: nobody's.
#[repr(C)]
#[derive(Debug)]
struct Seat {
    /// Attachment slot + 1 in the upper half (0: no segment), thread id in the lower.
    party: AtomicU64,
    /// The generation + 1 in which the party has arrived last.
    arrived: AtomicU64,
}

/// Room for `N` parties.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct RawBarrier<const N: usize> {
    lock: RawMutex,
    bell: Bell,
    generation: AtomicU64,
    epoch: AtomicU64,
    parties: AtomicU32,
    broken: AtomicU32,
    seats: [Seat; N],
}

/// How a wait can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BarrierFault {
    /// A party died, was late, or called it off; or it was reset.
    Broken,
    /// More threads came than there are parties.
    TooManyParties,
    /// The lock inside could not be taken.
    Lock(LockFault),
}

/// What a waiter finds when it looks.
enum Seen {
    Passed,
    Broken,
}

impl<const N: usize> RawBarrier<N> {
    pub(crate) fn new(parties: u32) -> Self {
        debug_assert!(parties as usize <= N);
        Self {
            lock: RawMutex::new(),
            bell: Bell::new(),
            generation: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            parties: AtomicU32::new(parties),
            broken: AtomicU32::new(0),
            seats: [const { Seat { party: AtomicU64::new(0), arrived: AtomicU64::new(0) } }; N],
        }
    }

    /// A whole barrier for the same number of parties.
    pub(crate) fn empty(&mut self) {
        *self = Self::new(self.parties());
    }

    pub(crate) fn parties(&self) -> u32 {
        self.parties.load(Relaxed)
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Acquire) != 0
    }

    /// How many have arrived and wait for the rest.
    pub(crate) fn waiting(&self) -> usize {
        self.arrived(self.generation.load(Acquire))
    }

    fn arrived(&self, generation: u64) -> usize {
        let here = |seat: &&Seat| {
            seat.party.load(Relaxed) != 0 && seat.arrived.load(Acquire) == generation.wrapping_add(1)
        };
        self.seats.iter().filter(here).count()
    }

    /// Arrives and waits for the others; in which place it came, 0 for the first, and whether it was
    /// the last.
    pub(crate) fn wait(&self, deadline: Deadline) -> Result<(usize, bool), BarrierFault> {
        let _ = self.lock.lock_deadline(deadline).map_err(|fault| self.late(fault))?;
        self.lock.set_returning(true);
        let (generation, epoch) = (self.generation.load(Relaxed), self.epoch.load(Relaxed));
        let place = self.arrive(generation);
        let all = place.is_ok_and(|place| place + 1 >= self.parties() as usize);
        if all {
            self.generation.store(generation.wrapping_add(1), Release);
        }
        self.leave();
        let place = place?;
        if all {
            self.bell.ring(futex::ALL);
            return Ok((place, true));
        }
        let look = || {
            if self.generation.load(Acquire) != generation && self.epoch.load(Acquire) == epoch {
                return Some(Seen::Passed);
            }
            (self.is_broken() || self.epoch.load(Acquire) != epoch).then_some(Seen::Broken)
        };
        match self.bell.wait(deadline, look, || self.look_for_dead()) {
            Some(Seen::Passed) => Ok((place, false)),
            Some(Seen::Broken) => Err(BarrierFault::Broken),
            None => {
                // Too late by the clock; but if the others went meanwhile, so does this one.
                self.break_unless(|| matches!(look(), Some(Seen::Passed)));
                if matches!(look(), Some(Seen::Passed)) {
                    Ok((place, false))
                } else {
                    Err(BarrierFault::Broken)
                }
            }
        }
    }

    /// Takes the caller's seat; how many were there before. The caller holds `lock`.
    fn arrive(&self, generation: u64) -> Result<usize, BarrierFault> {
        if self.is_broken() {
            return Err(BarrierFault::Broken);
        }
        let before = self.arrived(generation);
        let me = self.me();
        let mine = self.seats.iter().find(|seat| seat.party.load(Relaxed) == me);
        let taken = self.seats.iter().filter(|seat| seat.party.load(Relaxed) != 0).count();
        let room = taken < self.parties() as usize;
        let free = || self.seats.iter().find(|seat| seat.party.load(Relaxed) == 0).filter(|_| room);
        let seat = mine.or_else(free).ok_or(BarrierFault::TooManyParties)?;
        seat.arrived.store(generation.wrapping_add(1), Release);
        seat.party.store(me, Release);
        Ok(before)
    }

    /// The calling thread, as others can ask about it.
    fn me(&self) -> u64 {
        let slot = region::slot_of((&raw const *self) as usize);
        u64::from(slot.map_or(0, |slot| slot + 1)) << 32 | u64::from(current_tid().get())
    }

    fn leave(&self) {
        self.lock.set_returning(false);
        self.lock.unlock();
    }

    fn late(&self, fault: LockFault) -> BarrierFault {
        if fault == LockFault::TimedOut {
            self.break_it();
            return BarrierFault::Broken;
        }
        BarrierFault::Lock(fault)
    }

    /// Breaks the barrier if a party has died.
    fn look_for_dead(&self) {
        let Some(peers) = region::peers_of((&raw const *self) as usize) else { return };
        let dead = |seat: &Seat| {
            let party = seat.party.load(Acquire);
            let (slot, tid) = ((party >> 32) as u32, party as u32);
            slot != 0 && peers.thread_is_dead(slot - 1, tid)
        };
        if self.seats.iter().any(dead) {
            self.break_it();
        }
    }

    /// Nobody goes on until the next reset.
    pub(crate) fn break_it(&self) {
        self.break_unless(|| false);
    }

    fn break_unless(&self, passed: impl Fn() -> bool) {
        if self.lock.lock().is_err() {
            // This thread holds as many locks as it can; without the lock somebody may still go on.
            self.broken.store(1, Release);
        } else {
            if !passed() {
                self.broken.store(1, Release);
            }
            self.lock.unlock();
        }
        self.bell.ring(futex::ALL);
    }

    /// Empty seats and a whole barrier; who waits now hears that it was broken.
    pub(crate) fn reset(&self) -> Result<(), LockFault> {
        let _ = self.lock.lock()?;
        self.epoch.store(self.epoch.load(Relaxed).wrapping_add(1), Release);
        self.seats.iter().for_each(|seat| seat.party.store(0, Relaxed));
        self.generation.store(self.generation.load(Relaxed).wrapping_add(1), Release);
        self.broken.store(0, Release);
        self.lock.unlock();
        self.bell.ring(futex::ALL);
        Ok(())
    }
}

#[cfg(all(test, not(loom)))] // whose atomics exist in its models only
mod tests {
    use super::*;

    #[test]
    fn numbers_that_somebody_scribbled_go_round() {
        let barrier = RawBarrier::<1>::new(1);
        barrier.generation.store(u64::MAX, Relaxed);
        barrier.epoch.store(u64::MAX, Relaxed);
        assert_eq!(barrier.waiting(), 0);
        assert_eq!(barrier.wait(Deadline::NEVER), Ok((0, true)));
        assert_eq!(barrier.generation.swap(u64::MAX, Relaxed), 0);
        barrier.reset().unwrap();
        assert_eq!((barrier.generation.load(Relaxed), barrier.epoch.load(Relaxed)), (0, 0));
    }
}
