//! The kernel, as far as the machines use it.

pub(crate) mod barrier;
pub(crate) mod identity;
pub(crate) mod futex;
pub(crate) mod robust;
