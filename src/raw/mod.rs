//! Floor 2: state machines in memory. No names, no types, no allocation; see `README.md` beside it.

pub(crate) mod backoff;
pub(crate) mod copy;
mod prefetch;
pub(crate) mod region;
mod held;
mod life;
mod fault;
pub(crate) mod mutex;
pub(crate) mod habit;
pub(crate) mod biased;
pub(crate) mod bell;
pub(crate) mod versioned;
pub(crate) mod claims;
pub(crate) mod rwlock;
pub(crate) mod condvar;
pub(crate) mod semaphore;
pub(crate) mod event;
pub(crate) mod barrier;
pub(crate) mod once;
pub(crate) mod ring;
pub(crate) mod leases;
