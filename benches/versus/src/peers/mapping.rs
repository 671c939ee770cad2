//! Memory that a peer shares with another process.

use std::{fs::File, os::fd::AsRawFd, process};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

/// A file in memory, mapped shared.
#[derive(Debug)]
pub(crate) struct Mapping {
    file: File,
    map: MmapRaw,
}

impl Mapping {
    /// Zeroed memory.
    pub(crate) fn create(len: usize) -> Result<Self, String> {
        let file = memfd_create("versus", MemfdFlags::CLOEXEC).map_err(|error| error.to_string())?;
        ftruncate(&file, len as u64).map_err(|error| error.to_string())?;
        Self::of(file.into())
    }

    /// What another process has created and still holds.
    pub(crate) fn open(path: &str) -> Result<Self, String> {
        let file = File::options().read(true).write(true).open(path);
        Self::of(file.map_err(|error| format!("{path}: {error}"))?)
    }

    fn of(file: File) -> Result<Self, String> {
        let map = MmapOptions::new().map_raw(&file).map_err(|error| error.to_string())?;
        Ok(Self { file, map })
    }

    /// Where another process finds it, as long as this one holds it.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.file.as_raw_fd())
    }

    /// The start of the memory, at the start of a page.
    pub(crate) fn start(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }
}
