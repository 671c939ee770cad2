//! A file in memory, shared with everybody who maps it.
//!
//! # Safety
//! Puts a file in the place of its own mapping (`MAP_FIXED`), which only the owner of the range may,
//! and hands out words of the mapping as atomics, after a look at bounds and alignment.

#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64},
};

use memmap2::{MmapOptions, MmapRaw};
use rustix::mm::{MapFlags, ProtFlags, mmap};

/// Where something in shared memory is. As good in one thread as in another; following it is not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address(pub(crate) NonNull<u8>);

// SAFETY: an address is a number; only code that dereferences it has anything to promise.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

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

    /// The 32-bit word at `offset`, which everybody may change at any time.
    pub(crate) fn word32(&self, offset: usize) -> &AtomicU32 {
        let word = self.inside::<AtomicU32>(offset);
        // SAFETY: aligned and inside the mapping, which lives as long as `self`; any bits are valid, and
        // whoever else has the file is told by `docs/format.md` to treat the word as an atomic too.
        unsafe { &*word }
    }

    /// The 64-bit word at `offset`, which everybody may change at any time.
    pub(crate) fn word64(&self, offset: usize) -> &AtomicU64 {
        let word = self.inside::<AtomicU64>(offset);
        // SAFETY: as in `word32`.
        unsafe { &*word }
    }

    fn inside<T>(&self, offset: usize) -> *const T {
        let end = offset.checked_add(size_of::<T>());
        assert!(end.is_some_and(|end| end <= self.len()), "a word at {offset} is outside the mapping");
        assert!(offset.is_multiple_of(align_of::<T>()), "a word at {offset} is not aligned");
        self.0.as_mut_ptr().wrapping_add(offset).cast_const().cast()
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
