//! The machines of the product, among neighbours that a model can have.

pub(crate) mod backoff;
mod copy;
mod prefetch;
pub(crate) mod region;
pub(crate) mod held;
pub(crate) mod habit;
mod life;
pub(crate) mod ring;

#[path = "../../../src/raw/barrier.rs"]
pub(crate) mod barrier;
#[path = "../../../src/raw/bell.rs"]
pub(crate) mod bell;
#[path = "../../../src/raw/biased.rs"]
pub(crate) mod biased;
#[path = "../../../src/raw/claims.rs"]
pub(crate) mod claims;
#[path = "../../../src/raw/condvar.rs"]
pub(crate) mod condvar;
#[path = "../../../src/raw/event.rs"]
pub(crate) mod event;
#[path = "../../../src/raw/fault.rs"]
mod fault;
#[path = "../../../src/raw/leases.rs"]
pub(crate) mod leases;
#[path = "../../../src/raw/mutex.rs"]
pub(crate) mod mutex;
#[path = "../../../src/raw/once.rs"]
pub(crate) mod once;
#[path = "../../../src/raw/rwlock.rs"]
pub(crate) mod rwlock;
#[path = "../../../src/raw/semaphore.rs"]
pub(crate) mod semaphore;
#[path = "../../../src/raw/versioned.rs"]
pub(crate) mod versioned;
