//! What others offer, each as its users would call it.

pub(crate) mod command;
pub(crate) mod copies;
pub(crate) mod crossbeam;
pub(crate) mod iceoryx2;
pub(crate) mod ipc_channel;
pub(crate) mod mapping;
pub(crate) mod pthread;
pub(crate) mod python;
pub(crate) mod raw_sync;
pub(crate) mod served;
pub(crate) mod socket;
pub(crate) mod standard;
