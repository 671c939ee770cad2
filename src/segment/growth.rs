//! Memory that a segment takes later than at its birth, and bytes behind its payload.
//!
//! A payload that may become large gets its memory step by step, always before it is touched, so a
//! full file system is an error and never a SIGBUS. Behind the payload the file can hold bytes that
//! are written and read by calls and never mapped: what is there costs no address space.

use std::{io, os::fd::BorrowedFd};

use super::{birth, name, table::Segment};
use crate::{
    error::{Error, ErrorKind, Result},
    raw::ring::Sink,
    sys::shm,
};

/// Bytes behind a payload begin on a page of their own.
const PAGE: u64 = 4096;

impl Segment {
    fn file(&self) -> BorrowedFd<'_> {
        let _ = self.attachment().slot(); // in a forked child, the descriptor becomes its own first
        self.attachment().hold().file()
    }

    fn behind(&self, offset: u64) -> u64 {
        let header = self.attachment().header();
        (header.payload_offset + header.payload_len).next_multiple_of(PAGE).saturating_add(offset)
    }

    fn os(&self, what: &str, error: io::Error) -> Error {
        Error::os(format_args!("cannot {what} {}", name::label(self.name())), error)
    }

    /// Puts memory behind these bytes of the payload. A second time it changes nothing.
    pub(crate) fn reserve(&self, from: u64, to: u64) -> Result<()> {
        let offset = self.attachment().header().payload_offset;
        birth::reserve(self.file(), offset + from, offset + to, &name::label(self.name()))
    }

    /// Writes bytes behind the payload.
    pub(crate) fn write_behind(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let written = shm::write_exact(self.file(), self.behind(at), bytes);
        written.map_err(|error| self.os("write a large message to", error))
    }

    /// Reads so many bytes from behind the payload. What was never written is an error, before memory
    /// is taken for it: the length may be a scribbling peer's.
    pub(crate) fn read_behind(&self, at: u64, len: usize, into: &mut impl Sink) -> Result<()> {
        let start = self.behind(at);
        if !shm::is_written(self.file(), start, len as u64) {
            let message = format!(
                "expected a large message of {len} bytes in {} and found none: another process has overwritten it",
                name::label(self.name())
            );
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let read = shm::read_exact(self.file(), start, &mut into.room(len)[..len]);
        read.map_err(|error| self.os("read a large message of", error))
    }

    /// Gives the memory of bytes behind the payload back.
    pub(crate) fn discard_behind(&self, at: u64, len: u64) {
        // Where it cannot be given back, it stays until the object goes.
        let _ = shm::punch(self.file(), self.behind(at), len);
    }
}
