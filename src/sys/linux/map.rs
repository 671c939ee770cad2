//! A file in memory, shared with everybody who maps it.
//!
//! # Safety
//! Puts a file in the place of its own mapping (`MAP_FIXED`), which only the owner of the range may.

#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::NonNull,
};

use memmap2::{MmapOptions, MmapRaw};
use rustix::mm::{MapFlags, ProtFlags, mmap};

/// The first bytes of a file, readable and writable at a fixed address until this is dropped.
#[derive(Debug)]
pub(crate) struct Mapping(MmapRaw);

impl Mapping {
    /// Maps `len` bytes of `file`, which must have them.
    pub(crate) fn new(file: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        MmapOptions::new().len(len).map_raw(file.as_raw_fd()).map(Self)
    }

    /// Where the file's first byte is.
    pub(crate) fn base(&self) -> NonNull<u8> {
        NonNull::new(self.0.as_mut_ptr()).expect("no mapping begins at address zero")
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Maps the same file anew at the same address, through another descriptor.
    ///
    /// A mapping keeps alive the open file description that made it, with all its locks. A forked
    /// child lets go of its parent's this way, and no address changes.
    pub(crate) fn replace(&self, same_file: BorrowedFd<'_>) -> io::Result<()> {
        let (start, protection) = (self.0.as_mut_ptr().cast(), ProtFlags::READ | ProtFlags::WRITE);
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: the range is exactly the mapping that `self` owns, so nobody else's memory is replaced,
        // and it stays mapped, readable and writable with the same bytes: the caller passes the same file.
        unsafe { mmap(start, self.0.len(), protection, flags, same_file, 0)? };
        Ok(())
    }
}
