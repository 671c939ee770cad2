//! Permits, each of them a robust cell: held means taken, and the kernel gives a dead holder's back.
//!
//! How many are free is never stored, so it cannot be wrong: it is the number of cells that are in
//! circulation and held by nobody. `circulates` changes under `admin`, or by the permit's holder.

use super::{
    bell::Bell,
    mutex::{LockFault, RawMutex},
};
use crate::{
    deadline::Deadline,
    primitive::{AtomicU32, Ordering::*},
    sys::futex,
};

#[repr(C)]
#[derive(Debug)]
struct Permit {
    holder: RawMutex,
    /// 1 if this permit exists, 0 if it may still be added.
    circulates: AtomicU32,
    _reserved: u32,
}

/// Room for `N` permits. All zeroes: there are none.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct RawSemaphore<const N: usize> {
    bell: Bell,
    admin: RawMutex,
    permits: [Permit; N],
}

impl<const N: usize> RawSemaphore<N> {
    pub(crate) fn new(permits: usize) -> Self {
        debug_assert!(permits <= N);
        let permit = |index| Permit {
            holder: RawMutex::new(),
            circulates: AtomicU32::new((index < permits).into()),
            _reserved: 0,
        };
        Self { bell: Bell::new(), admin: RawMutex::new(), permits: std::array::from_fn(permit) }
    }

    /// Nobody holds a permit and nobody waits; how many there are stays.
    pub(crate) fn empty(&mut self) {
        (self.bell, self.admin) = (Bell::new(), RawMutex::new());
        self.permits.iter_mut().for_each(|permit| permit.holder = RawMutex::new());
    }

    /// Takes a free permit; its index.
    pub(crate) fn try_acquire(&self) -> Result<usize, LockFault> {
        for (index, permit) in self.permits.iter().enumerate() {
            if permit.circulates.load(Relaxed) == 0 || permit.holder.is_locked() {
                continue;
            }
            match permit.holder.try_lock() {
                Ok(_) if permit.circulates.load(Relaxed) != 0 => {
                    permit.holder.set_returning(true);
                    return Ok(index);
                }
                // Forgotten between the look and the lock.
                Ok(_) => _ = permit.holder.unlock(),
                Err(fault @ (LockFault::TooMany | LockFault::Detached)) => return Err(fault),
                Err(_) => {}
            }
        }
        Err(LockFault::Held)
    }

    /// Waits for a free permit; its index.
    pub(crate) fn acquire(&self, deadline: Deadline) -> Result<usize, LockFault> {
        let look = || match self.try_acquire() {
            Err(LockFault::Held) => None,
            other => Some(other),
        };
        self.bell.wait(deadline, look, || self.release_dead()).unwrap_or(Err(LockFault::TimedOut))
    }

    /// Frees permits of holders whose death the kernel has not marked.
    fn release_dead(&self) {
        self.permits.iter().for_each(|permit| permit.holder.release_if_dead());
    }

    /// Gives a permit back. Does nothing in a forked child.
    pub(crate) fn release(&self, index: usize) {
        let holder = &self.permits[index].holder;
        holder.set_returning(false);
        if holder.unlock() {
            self.bell.ring(1);
        }
    }

    /// Takes a held permit out of circulation.
    pub(crate) fn forget(&self, index: usize) {
        let permit = &self.permits[index];
        if permit.holder.is_mine() {
            permit.circulates.store(0, Relaxed);
        }
        permit.holder.set_returning(false);
        permit.holder.unlock();
    }

    /// Brings `count` permits into circulation, all or none; how many more there is room for if none.
    pub(crate) fn add(&self, count: usize) -> Result<Result<(), usize>, LockFault> {
        let _ = self.admin.lock()?;
        let room = || self.permits.iter().filter(|permit| permit.circulates.load(Relaxed) == 0);
        let free = room().count();
        let fits = count <= free;
        if fits {
            room().take(count).for_each(|permit| permit.circulates.store(1, Release));
        }
        self.admin.unlock();
        if !fits {
            return Ok(Err(free));
        }
        self.bell.ring(u32::try_from(count).unwrap_or(futex::ALL));
        Ok(Ok(()))
    }

    /// How many permits are free now.
    pub(crate) fn available(&self) -> usize {
        let free = |permit: &&Permit| permit.circulates.load(Relaxed) != 0 && !permit.holder.is_locked();
        self.permits.iter().filter(free).count()
    }
}
