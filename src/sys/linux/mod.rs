//! Linux, 64 bit, kernel 5.10 or newer.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("commons runs on 64-bit Linux only for now");

pub(crate) mod fork;
pub(crate) mod per_process;
pub(crate) mod hooks;
pub(crate) mod signals;
pub(crate) mod thread;
pub(crate) mod barrier;
pub(crate) mod futex;
pub(crate) mod robust;
pub(crate) mod identity;
pub(crate) mod random;
pub(crate) mod shm;
pub(crate) mod memfd;
pub(crate) mod descriptor;
pub(crate) mod filelock;
pub(crate) mod cgroup;
pub(crate) mod memory;
pub(crate) mod exhaustion;
pub(crate) mod cpus;
pub(crate) mod map;
pub(crate) mod socket;
pub(crate) mod pidfd;
pub(crate) mod events;
pub(crate) mod interrupt;
pub(crate) mod family;
pub(crate) mod parent;
pub(crate) mod image;
pub(crate) mod spawn;
