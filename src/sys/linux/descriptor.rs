//! Descriptors: another one of the same file, one of another process, more of them.
//!
//! `/proc/PID/fd/N` leads to the file itself, named or not,
//! <https://man7.org/linux/man-pages/man5/proc_pid_fd.5.html>.
//!
//! # Safety
//! Names an open descriptor by its number, to change which file it leads to.

#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags},
    io::{DupFlags, retry_on_intr},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use super::shm::magic_link;

/// The same file behind a new open file description, for reading and writing.
pub(crate) fn reopen(file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| rustix::fs::open(magic_link(file), flags, Mode::empty()))?)
}

/// What descriptor `number` of process `pid` leads to, to look at and to [`reopen`].
pub(crate) fn of_process(pid: u32, number: i32) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| rustix::fs::open(format!("/proc/{pid}/fd/{number}"), flags, Mode::empty()))?)
}

/// Lets the number `target` lead to what `source` leads to, in one step; what it led to is closed.
pub(crate) fn replace(target: BorrowedFd<'_>, source: &OwnedFd) -> io::Result<()> {
    // SAFETY: the number is open as long as `target` lives, and `ManuallyDrop` never closes it.
    let mut target = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(target.as_raw_fd()) });
    Ok(retry_on_intr(|| rustix::io::dup3(source.as_fd(), &mut target, DupFlags::CLOEXEC))?)
}

/// Whether the error says that this process may not open more files.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMFILE)
}

/// Raises the soft limit of open files to the hard one; false if it was there already.
pub(crate) fn raise_limit() -> io::Result<bool> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return Ok(false);
    }
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(true)
}
