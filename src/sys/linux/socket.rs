//! Local sockets: waiting for one with a deadline, and who is on the other side.
//!
//! `int poll(struct pollfd *fds, nfds_t nfds, int timeout)`,
//! <https://man7.org/linux/man-pages/man2/poll.2.html>; `SO_PEERCRED`,
//! <https://man7.org/linux/man-pages/man7/unix.7.html>.

use std::{io, os::fd::AsFd};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::sockopt::socket_peercred,
    time::Timespec,
};

use crate::deadline::Deadline;

/// Waits until something can be read or accepted; false when the deadline passes first.
pub(crate) fn wait_readable(socket: impl AsFd, deadline: Deadline) -> io::Result<bool> {
    loop {
        let left = deadline.remaining();
        let timeout =
            left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
        let mut fds = [PollFd::new(&socket, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            // Of the time that was left, less is left now.
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        if deadline.has_passed() {
            return Ok(false);
        }
    }
}

/// The user who runs the process at the other end, as the kernel noted it when they connected.
pub(crate) fn peer_user(socket: impl AsFd) -> io::Result<u32> {
    Ok(socket_peercred(socket)?.uid.as_raw())
}
