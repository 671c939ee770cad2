//! Anonymous files that nobody can shrink under a mapping.
//!
//! `int memfd_create(const char *name, unsigned flags)`,
//! <https://man7.org/linux/man-pages/man2/memfd_create.2.html>.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    io::retry_on_intr,
};

/// A new anonymous file; `label` is what `/proc/PID/maps` shows.
pub(crate) fn open(label: &str) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(retry_on_intr(|| memfd_create(label, flags))?)
}

/// Forbids for ever to make it shorter, and to change what is forbidden.
pub(crate) fn seal(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(retry_on_intr(|| fcntl_add_seals(file, SealFlags::SHRINK | SealFlags::SEAL))?)
}
