//! Processes without `exec`, as a library may make them.
//!
//! # Safety
//! Forks. The children of these tests use shared objects, memory and time, and end by `_exit`.

#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::{Pid, WaitOptions, waitpid};

/// How to fork.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub enum How {
    Fork,
    /// The system call alone, of which the C library learns nothing.
    Clone,
}

pub const BOTH: [How; 2] = [How::Fork, How::Clone];

/// The child, in the parent; nothing in the child.
pub fn fork(how: How) -> Option<Pid> {
    let pid = match how {
        // SAFETY: no other thread of these workers holds anything that the child uses.
        How::Fork => unsafe { libc::fork() },
        How::Clone => {
            // SAFETY: as `fork`: without a new stack or shared memory; the kernel writes to no address.
            let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
            pid.try_into().unwrap()
        }
    };
    assert!(pid >= 0, "cannot fork");
    Pid::from_raw(pid)
}

/// Runs `child` in the child, which then ends without destructors, well unless it panics.
pub fn in_child(child: impl FnOnce()) -> ! {
    let ended = catch_unwind(AssertUnwindSafe(child));
    // SAFETY: ends the process.
    unsafe { libc::_exit(i32::from(ended.is_err())) }
}

/// Waits until a child ends; its exit code, or the signal that ended it.
pub fn end_of(child: Pid) -> Result<i32, i32> {
    let mut status = None;
    super::eventually("the forked child ends", || {
        status = waitpid(Some(child), WaitOptions::NOHANG).unwrap();
        status.is_some()
    });
    let status = status.unwrap().1;
    status.exit_status().ok_or_else(|| status.terminating_signal().unwrap())
}
