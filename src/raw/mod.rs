//! Floor 2: state machines in memory. No names, no types, no allocation; see `README.md` beside it.

pub(crate) mod region;
