//! A process by descriptor: never another one that got the same number later.
//!
//! `int pidfd_open(pid_t pid, unsigned int flags)`,
//! <https://man7.org/linux/man-pages/man2/pidfd_open.2.html> (Linux 5.3; `waitid` on one: 5.4).

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, pidfd_send_signal, waitid,
    },
};

use crate::deadline::Deadline;

/// How a process ended, as the kernel tells its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

/// A descriptor of process `pid`.
pub(crate) fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// A descriptor of child `pid`; `ESRCH` if it was collected, also if its number is another's now.
pub(crate) fn open_child(pid: u32) -> io::Result<OwnedFd> {
    let process = open(pid)?;
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(process.as_fd()), look)) {
        Err(Errno::CHILD) => Err(Errno::SRCH.into()),
        _ => Ok(process),
    }
}

/// Sends SIGTERM.
pub(crate) fn terminate(process: BorrowedFd<'_>) -> io::Result<()> {
    Ok(pidfd_send_signal(process, Signal::TERM)?)
}

/// Sends SIGKILL.
pub(crate) fn kill(process: BorrowedFd<'_>) -> io::Result<()> {
    Ok(pidfd_send_signal(process, Signal::KILL)?)
}

/// Sends SIGSTOP.
pub(crate) fn stop(process: BorrowedFd<'_>) -> io::Result<()> {
    Ok(pidfd_send_signal(process, Signal::STOP)?)
}

/// Collects the child behind `child` if it has ended; `ECHILD` if somebody else did.
pub(crate) fn reap(child: BorrowedFd<'_>) -> io::Result<Option<Status>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let ended = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(child), options))?;
    Ok(ended.and_then(|status| {
        let code = status.exit_status().map(Status::Code);
        code.or_else(|| status.terminating_signal().map(Status::Signal))
    }))
}

/// Whether a signal was refused because the process has ended.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// Kills and collects child `pid`, for which no descriptor could be had.
pub(crate) fn kill_without(pid: u32) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    // Not collected yet, so the number is still this child's. Errors mean that it is gone.
    let _ = kill_process(pid, Signal::KILL);
    let _ = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), WaitIdOptions::EXITED));
}

/// Sleeps until the process behind `process` has ended; false: the deadline passed first. It may
/// still be a zombie.
pub(crate) fn wait_for_end(process: BorrowedFd<'_>, deadline: Deadline) -> io::Result<bool> {
    let mut wanted = [PollFd::new(&process, PollFlags::IN)];
    let ready = rustix::io::retry_on_intr(|| {
        let left = deadline.remaining();
        let left =
            left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
        poll(&mut wanted, left.as_ref())
    })?;
    Ok(ready > 0)
}

/// Whether the process behind `process` has ended. As long as it has not, its number is its own.
pub(crate) fn has_ended(process: BorrowedFd<'_>) -> io::Result<bool> {
    wait_for_end(process, Deadline::NOW)
}
