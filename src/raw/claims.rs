//! Ranges of an array that somebody has to itself, or shares with other readers.
//!
//! One lock and a table of 64 claims, each a robust cell with a range and a mode. A claim is made
//! under the lock: no claim that overlaps, a free cell taken, its range written. Then the lock is
//! released, and whoever has disjoint ranges works in parallel. To end a claim is to release its
//! cell, and if its owner dies the kernel does that; a cell that nobody owns claims nothing,
//! whatever its range says. `used` is a hint that spares looking at 64 cells: a bit is set under
//! the lock when a cell is taken, and cleared under the lock when its owner is seen to be gone.
//!
//! **Orderings.** Ranges and `used` are read and written under the lock. A claim's cell is released
//! with `Release` by its owner and looked at with `Acquire` here, so what was written in the range
//! is seen by the next to claim it; and the lock orders claims that never met.

use std::{ops::Range, time::Duration};

use super::{
    backoff::Backoff,
    mutex::{Acquired, LockFault, RawMutex},
};
use crate::{
    deadline::Deadline,
    primitive::{AtomicU32, AtomicU64, Ordering::*},
};

/// How many claims there can be at a time; a further one waits.
pub(crate) const CLAIMS: usize = if cfg!(loom) { 2 } else { 64 };

/// What a claim lets others do with its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Others may share it too; nobody writes.
    Shared,
    /// Nobody else touches it.
    Exclusive,
}

#[repr(C)]
#[derive(Debug)]
struct Claim {
    owner: RawMutex,
    start: AtomicU64,
    end: AtomicU64,
    exclusive: AtomicU32,
    _reserved: u32,
}

/// The lock of an array and its claims. All zeroes is a free one.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct RawClaims {
    lock: RawMutex,
    used: AtomicU64,
    /// Index + 1 of the element whose old value stands in the undo record; 0: none.
    pub(crate) undo: AtomicU64,
    _reserved: u64,
    claims: [Claim; CLAIMS],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Claim>() == 64 && size_of::<RawClaims>() == 64 * (CLAIMS + 1));

/// What stands in the way of a claim or an access.
enum Obstacle {
    /// A claim of the calling thread.
    Own,
    /// The claim with this index, held by another thread.
    Other(usize),
}

impl RawClaims {
    /// Claims `range`; the index for [`RawClaims::release`]. `repair` runs if the last owner of the
    /// lock died.
    pub(crate) fn claim(
        &self,
        range: Range<u64>,
        mode: Mode,
        deadline: Deadline,
        repair: impl Fn(),
    ) -> Result<usize, LockFault> {
        let (mut slice, mut attempt) = (Duration::ZERO, 0);
        loop {
            self.enter(range.clone(), mode, deadline, &repair)?;
            let taken = self.take_cell();
            if let Ok(Some(index)) = taken {
                let claim = &self.claims[index];
                claim.start.store(range.start, Relaxed);
                claim.end.store(range.end, Relaxed);
                claim.exclusive.store((mode == Mode::Exclusive).into(), Relaxed);
                self.used.fetch_or(1 << index, Relaxed);
            }
            self.leave();
            match taken? {
                Some(index) => return Ok(index),
                // All 64 are held: any that ends makes room, if it is not for the caller to end it.
                None if self.claims.iter().all(|claim| claim.owner.is_mine()) => {
                    return Err(LockFault::OwnLock);
                }
                None => {
                    self.wait_for(attempt % CLAIMS, &mut slice, deadline)?;
                    self.claims.iter().for_each(|claim| claim.owner.release_if_dead());
                    attempt += 1;
                }
            }
        }
    }

    /// Takes a cell that nobody owns. The caller holds the lock.
    fn take_cell(&self) -> Result<Option<usize>, LockFault> {
        let used = self.used.load(Relaxed);
        for index in (0..CLAIMS).filter(|index| used & (1 << index) == 0) {
            match self.claims[index].owner.try_lock() {
                Ok(Acquired::Released | Acquired::OwnerDied) => return Ok(Some(index)),
                Err(fault @ (LockFault::TooMany | LockFault::Detached)) => return Err(fault),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Ends a claim. Does nothing in a forked child, whose claims are its parent's.
    pub(crate) fn release(&self, index: usize) {
        self.claims[index].owner.unlock_waking(crate::sys::futex::ALL);
    }

    /// Takes the lock at a moment when no claim stands against using `range` in this mode.
    ///
    /// The caller may touch the elements of `range` until [`RawClaims::leave`].
    #[inline]
    pub(crate) fn enter(
        &self,
        range: Range<u64>,
        mode: Mode,
        deadline: Deadline,
        repair: impl Fn(),
    ) -> Result<(), LockFault> {
        if self.lock.lock_deadline(deadline)? == Acquired::OwnerDied {
            repair();
        }
        if self.used.load(Relaxed) == 0 {
            return Ok(());
        }
        self.enter_past_claims(range, mode, deadline, repair)
    }

    /// The caller holds the lock, and there are claims to look at.
    #[cold]
    fn enter_past_claims(
        &self,
        range: Range<u64>,
        mode: Mode,
        deadline: Deadline,
        repair: impl Fn(),
    ) -> Result<(), LockFault> {
        let mut backoff = Backoff::new();
        let mut slice = Duration::ZERO;
        loop {
            let Some(obstacle) = self.obstacle(&range, mode) else { return Ok(()) };
            self.leave();
            match obstacle {
                Obstacle::Own => return Err(LockFault::OwnLock),
                Obstacle::Other(_) if deadline.has_passed() => return Err(LockFault::TimedOut),
                Obstacle::Other(_) if backoff.look_again() => {}
                Obstacle::Other(index) => self.wait_for(index, &mut slice, deadline)?,
            }
            if self.lock.lock_deadline(deadline)? == Acquired::OwnerDied {
                repair();
            }
        }
    }

    /// Releases the lock that [`RawClaims::enter`] took.
    #[inline]
    pub(crate) fn leave(&self) {
        self.lock.unlock();
    }

    /// The first claim in the way. The caller holds the lock; bits of claims that ended are cleared.
    fn obstacle(&self, range: &Range<u64>, mode: Mode) -> Option<Obstacle> {
        let mut used = self.used.load(Relaxed);
        while used != 0 {
            let index = used.trailing_zeros() as usize;
            used &= used - 1;
            let claim = &self.claims[index];
            if !claim.owner.is_locked() {
                self.used.fetch_and(!(1 << index), Relaxed);
                continue;
            }
            // An empty range has no element that anybody could want.
            let start = range.start.max(claim.start.load(Relaxed));
            let overlaps = start < range.end.min(claim.end.load(Relaxed));
            if overlaps && (mode == Mode::Exclusive || claim.exclusive.load(Relaxed) != 0) {
                let own = claim.owner.is_mine();
                return Some(if own { Obstacle::Own } else { Obstacle::Other(index) });
            }
        }
        None
    }

    /// Sleeps until the claim may have ended. The caller does not hold the lock.
    fn wait_for(&self, index: usize, slice: &mut Duration, deadline: Deadline) -> Result<(), LockFault> {
        if deadline.has_passed() {
            return Err(LockFault::TimedOut);
        }
        self.claims[index].owner.sleep_until_released(slice, deadline);
        Ok(())
    }
}

/// In a segment it comes out of new memory.
#[cfg(loom)]
impl RawClaims {
    pub(crate) fn free() -> Self {
        let claim = |_| Claim {
            owner: RawMutex::new(),
            start: AtomicU64::new(0),
            end: AtomicU64::new(0),
            exclusive: AtomicU32::new(0),
            _reserved: 0,
        };
        Self {
            lock: RawMutex::new(),
            used: AtomicU64::new(0),
            undo: AtomicU64::new(0),
            _reserved: 0,
            claims: std::array::from_fn(claim),
        }
    }
}
