//! Locks on single bytes of a file that end with the open file description.
//!
//! `int fcntl(int fd, F_OFD_SETLK, struct flock *)`, `F_OFD_GETLK`,
//! <https://man7.org/linux/man-pages/man2/fcntl.2.html>. The bytes need not exist. The kernel drops
//! the locks when the last descriptor **and** the last mapping of the description are gone.
//!
//! # Safety
//! Calls `fcntl`, which rustix does not offer for these locks.

#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use rustix::io::Errno;

/// Locks the byte for this description alone; false if another description has it in any way.
pub(crate) fn try_exclusive(file: BorrowedFd<'_>, byte: u64) -> io::Result<bool> {
    set(file, byte, libc::F_WRLCK)
}

/// Locks the byte together with others; false if another description has it alone.
pub(crate) fn try_shared(file: BorrowedFd<'_>, byte: u64) -> io::Result<bool> {
    set(file, byte, libc::F_RDLCK)
}

/// Gives the byte back, whatever the lock.
pub(crate) fn unlock(file: BorrowedFd<'_>, byte: u64) -> io::Result<()> {
    set(file, byte, libc::F_UNLCK).map(drop)
}

/// How other descriptions than the one that asks hold a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    HaveNothing,
    Share,
    HaveItAlone,
}

/// How others have the byte just now. Takes nothing.
pub(crate) fn probe(file: BorrowedFd<'_>, byte: u64) -> io::Result<Others> {
    let mut request = request(byte, libc::F_WRLCK)?;
    fcntl(file, libc::F_OFD_GETLK, &mut request)?;
    Ok(match libc::c_int::from(request.l_type) {
        libc::F_UNLCK => Others::HaveNothing,
        libc::F_RDLCK => Others::Share,
        _ => Others::HaveItAlone,
    })
}

fn set(file: BorrowedFd<'_>, byte: u64, kind: libc::c_int) -> io::Result<bool> {
    match fcntl(file, libc::F_OFD_SETLK, &mut request(byte, kind)?) {
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        other => other.map(|()| true).map_err(Into::into),
    }
}

fn request(byte: u64, kind: libc::c_int) -> io::Result<libc::flock> {
    let out_of_range = |_| io::Error::from(io::ErrorKind::InvalidInput);
    Ok(libc::flock {
        l_type: kind.try_into().map_err(out_of_range)?,
        l_whence: libc::SEEK_SET.try_into().map_err(out_of_range)?,
        l_start: byte.try_into().map_err(out_of_range)?,
        l_len: 1,
        l_pid: 0, // must be zero for these locks
    })
}

fn fcntl(file: BorrowedFd<'_>, command: libc::c_int, request: &mut libc::flock) -> Result<(), Errno> {
    loop {
        // SAFETY: the descriptor is open, both commands take a pointer to a `flock`, and that is exclusive.
        let answer = unsafe { libc::fcntl(file.as_raw_fd(), command, std::ptr::from_mut(request)) };
        match Errno::from_io_error(&io::Error::last_os_error()) {
            _ if answer != -1 => return Ok(()),
            Some(Errno::INTR) => {}
            error => return Err(error.unwrap_or(Errno::INVAL)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::{descriptor, memfd};

    #[test]
    fn descriptions_exclude_each_other_and_bytes_do_not() {
        let a = memfd::open("filelock").unwrap();
        let b = descriptor::reopen(a.as_fd()).unwrap();
        let (a, b) = (a.as_fd(), b.as_fd());
        let byte = (1 << 62) + 7;
        assert!(try_shared(a, byte).unwrap() && try_shared(b, byte).unwrap());
        assert!(!try_exclusive(a, byte).unwrap());
        unlock(b, byte).unwrap();
        assert!(try_exclusive(a, byte).unwrap());
        assert_eq!(probe(b, byte).unwrap(), Others::HaveItAlone);
        assert_eq!(probe(a, byte).unwrap(), Others::HaveNothing);
        assert!(try_shared(a, byte).unwrap(), "going down from alone to shared never waits");
        assert_eq!(probe(b, byte).unwrap(), Others::Share);
        assert!(try_exclusive(b, byte + 1).unwrap());
    }
}
