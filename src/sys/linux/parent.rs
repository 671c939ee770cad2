//! What the kernel does to this process when its parent ends, and ending at once.
//!
//! `int prctl(PR_SET_PDEATHSIG, unsigned long sig)`,
//! <https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html>. The signal comes when the
//! *thread* that started this process ends, and it belongs to the thread that asked for it.
//!
//! # Safety
//! Calls `_exit`, which `rustix` does not offer to programs with a C library.

#![allow(unsafe_code)]

use std::{ffi::c_int, io};

use rustix::process::{Signal, set_parent_process_death_signal};

/// The end of the parent, and of the thread there that started this process, makes this process go on if
/// it is stopped, and nothing else.
pub(crate) fn death_continues() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::CONT))?)
}

/// Ends this process without running anything more of it.
pub(crate) fn exit_now(code: c_int) -> ! {
    // SAFETY: `_exit` runs no destructors and no exit handlers; it has no other condition.
    unsafe { libc::_exit(code) }
}
