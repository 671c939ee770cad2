//! Floor 2: state machines in memory. No names, no types, no allocation; see `README.md` beside it.

pub(crate) mod backoff;
pub(crate) mod copy;
pub(crate) mod region;
mod held;
mod life;
pub(crate) mod mutex;
pub(crate) mod versioned;
pub(crate) mod claims;
