//! Locks and cells that live in shared memory, in place: fields of your structure, or alone in a
//! segment of their own.
//!
//! Each is [`Shareable`](crate::Shareable) and looks like its namesake in [`std::sync`]. What is
//! different: they work between processes, and the death of whoever holds one, at any
//! instruction, hands it on.
//!
//! Locking what the calling thread holds already panics with a sentence. A thread can hold 1024 of
//! these locks at a time, as many as the kernel is sure to hand on when it dies.

mod mutex;
mod rwlock;
mod reentrant;
mod condvar;
mod semaphore;
mod event;
mod barrier;
mod once;
mod place;
mod versioned;

pub use barrier::{Barrier, BarrierError, BarrierTurn};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub use mutex::{LockResult, Mutex, MutexGuard, OwnerDied, TryLockError};
pub use once::Once;
pub use reentrant::{ReentrantLock, ReentrantLockGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{Permit, Semaphore};
pub use versioned::Versioned;
pub(crate) use versioned::VersionedGuard;
