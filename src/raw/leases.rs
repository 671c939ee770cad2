//! Messages that were handed out and are not done: who has which, and how often it was.
//!
//! A lease is a robust cell with the place of a copy of its message. A message leaves its ring only
//! after its copy and its slot are complete, so at every instant it is in the ring or in a slot.
//!
//! | `state` | `owner` | means | who goes on, and how |
//! |---|---|---|---|
//! | FREE | any | nothing | taken under the consumers' lock |
//! | LEASED | held | somebody works on it | its holder: FREE (done), RETURNED (dropped) |
//! | LEASED | nobody's, the ring has passed `position` | its worker died | whoever receives next takes it |
//! | LEASED | nobody's, the ring has not | it died before it took the message | FREE: whoever takes the consumers' lock next, before anything else |
//! | RETURNED | nobody's | dropped without being done | whoever receives next takes it |
//! | DEAD | nobody's | delivered too often | kept until somebody collects it |

use super::{
    mutex::{LockFault, RawMutex},
    ring::{Position, RawRing},
};
use crate::primitive::{AtomicU32, AtomicU64, Ordering::*};

/// How many messages can be leased, or dead, at a time.
pub(crate) const LEASES: usize = if cfg!(loom) { 2 } else { 256 };

const FREE: u32 = 0;
const LEASED: u32 = 1;
const RETURNED: u32 = 2;
const DEAD: u32 = 3;

#[repr(C)]
#[derive(Debug)]
struct Lease {
    owner: RawMutex,
    position: AtomicU64,
    len: AtomicU64,
    attempts: AtomicU32,
    state: AtomicU32,
}

/// All zeroes: nothing is leased.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct RawLeases {
    leases: [Lease; LEASES],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<RawLeases>() == 64 * LEASES);

/// A slot that the calling thread holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) slot: usize,
    pub(crate) len: u64,
    pub(crate) attempts: u32,
}

impl Lease {
    /// Whether its message is nobody's: returned, or its worker died.
    fn is_returned(&self, ring: &RawRing) -> bool {
        match self.state.load(Acquire) {
            RETURNED => true,
            LEASED => ring.has_passed(Position(self.position.load(Relaxed))),
            _ => false,
        }
    }
}

impl RawLeases {
    /// Takes a message whose last worker did not finish it.
    pub(crate) fn take_returned(&self, ring: &RawRing) -> Result<Option<Held>, LockFault> {
        for (slot, lease) in self.leases.iter().enumerate() {
            if lease.state.load(Relaxed) == FREE || lease.owner.is_locked() || !lease.is_returned(ring) {
                continue;
            }
            match lease.owner.try_lock() {
                Ok(_) if lease.is_returned(ring) => {
                    lease.owner.set_returning(true);
                    let attempts = lease.attempts.load(Relaxed).saturating_add(1);
                    lease.attempts.store(attempts, Relaxed);
                    lease.state.store(LEASED, Release);
                    return Ok(Some(Held { slot, len: lease.len.load(Relaxed), attempts }));
                }
                Ok(_) => _ = lease.owner.unlock(),
                Err(fault @ (LockFault::TooMany | LockFault::Detached)) => return Err(fault),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Takes a free slot, in which nothing stands yet. The caller holds the consumers' lock. `returned`
    /// hears of messages on the way that their workers did not finish: where receivers never wait,
    /// nobody else looks for them.
    pub(crate) fn take_free(
        &self,
        ring: &RawRing,
        mut returned: impl FnMut(),
    ) -> Result<Option<usize>, LockFault> {
        for (slot, lease) in self.leases.iter().enumerate() {
            let free = || lease.state.load(Relaxed) == FREE;
            if !free() && !lease.owner.is_locked() && lease.is_returned(ring) {
                returned();
            }
            if !free() || lease.owner.is_locked() {
                continue;
            }
            match lease.owner.try_lock() {
                Ok(_) if free() => {
                    lease.owner.set_returning(true);
                    return Ok(Some(slot));
                }
                Ok(_) => _ = lease.owner.unlock(),
                Err(fault @ (LockFault::TooMany | LockFault::Detached)) => return Err(fault),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Frees slots whose messages are in the ring still, after the death of a consumer. Left as they
    /// are, they would count as leased when somebody else has taken the message. Such a slot may seem to
    /// be held still: the kernel marks one cell of the dead after the other. The caller holds the
    /// consumers' lock.
    #[cold]
    pub(crate) fn void_untaken(&self, ring: &RawRing) {
        let untaken = |lease: &&Lease| {
            lease.state.load(Relaxed) == LEASED && !ring.has_passed(Position(lease.position.load(Relaxed)))
        };
        self.leases.iter().filter(untaken).for_each(|lease| lease.state.store(FREE, Release));
    }

    /// Says what the slot has, before the ring passes the message.
    pub(crate) fn fill(&self, slot: usize, position: Position, len: u64) -> Held {
        let lease = &self.leases[slot];
        lease.position.store(position.0, Relaxed);
        lease.len.store(len, Relaxed);
        lease.attempts.store(1, Relaxed);
        lease.state.store(LEASED, Release);
        Held { slot, len, attempts: 1 }
    }

    /// Its message is done. `give_back` runs when that stands, and before somebody else has the slot: a
    /// message whose bytes are gone must not come again.
    pub(crate) fn finish(&self, slot: usize, give_back: impl FnOnce()) -> bool {
        self.end(slot, FREE, give_back)
    }

    /// Its message is for somebody else.
    pub(crate) fn give_back(&self, slot: usize) -> bool {
        self.end(slot, RETURNED, || {})
    }

    /// Its message was delivered too often.
    pub(crate) fn bury(&self, slot: usize) -> bool {
        self.end(slot, DEAD, || {})
    }

    /// False in a forked child, whose leases are its parent's.
    fn end(&self, slot: usize, state: u32, before_release: impl FnOnce()) -> bool {
        let lease = &self.leases[slot];
        if !lease.owner.is_mine() {
            return false;
        }
        lease.state.store(state, Release);
        before_release();
        lease.owner.set_returning(false);
        lease.owner.unlock()
    }

    /// How many messages are in slots and not done; the dead count as done.
    pub(crate) fn unfinished(&self, ring: &RawRing) -> usize {
        let unfinished = |lease: &&Lease| match lease.state.load(Acquire) {
            RETURNED => true,
            LEASED => lease.owner.is_locked() || ring.has_passed(Position(lease.position.load(Relaxed))),
            _ => false,
        };
        self.leases.iter().filter(unfinished).count()
    }

    /// As [`RawLeases::unfinished`], without those of the calling thread.
    pub(crate) fn unfinished_by_others(&self, ring: &RawRing) -> usize {
        let mine = |lease: &&Lease| lease.state.load(Relaxed) == LEASED && lease.owner.is_mine();
        self.unfinished(ring).saturating_sub(self.leases.iter().filter(mine).count())
    }

    /// Whether a message waits that somebody did not finish.
    pub(crate) fn has_returned(&self, ring: &RawRing) -> bool {
        self.leases.iter().any(|lease| {
            lease.state.load(Relaxed) != FREE && !lease.owner.is_locked() && lease.is_returned(ring)
        })
    }

    /// Takes a dead message, which [`RawLeases::finish`] then forgets.
    pub(crate) fn take_dead(&self) -> Result<Option<Held>, LockFault> {
        for (slot, lease) in self.leases.iter().enumerate() {
            let dead = || lease.state.load(Acquire) == DEAD;
            if !dead() || lease.owner.is_locked() {
                continue;
            }
            match lease.owner.try_lock() {
                Ok(_) if dead() => {
                    lease.owner.set_returning(true);
                    let (len, attempts) = (lease.len.load(Relaxed), lease.attempts.load(Relaxed));
                    return Ok(Some(Held { slot, len, attempts }));
                }
                Ok(_) => _ = lease.owner.unlock(),
                Err(fault @ (LockFault::TooMany | LockFault::Detached)) => return Err(fault),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Frees slots of owners whose death the kernel has not marked.
    pub(crate) fn release_dead(&self) {
        self.leases.iter().for_each(|lease| lease.owner.release_if_dead());
    }
}

/// In a segment it comes out of new memory.
#[cfg(loom)]
impl RawLeases {
    pub(crate) fn free() -> Self {
        let lease = |_| Lease {
            owner: RawMutex::new(),
            position: AtomicU64::new(0),
            len: AtomicU64::new(0),
            attempts: AtomicU32::new(0),
            state: AtomicU32::new(FREE),
        };
        Self { leases: std::array::from_fn(lease) }
    }
}
