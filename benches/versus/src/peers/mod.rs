//! What others offer, each as its users would call it.

pub(crate) mod mapping;
pub(crate) mod pthread;
pub(crate) mod python;
pub(crate) mod raw_sync;
pub(crate) mod standard;
