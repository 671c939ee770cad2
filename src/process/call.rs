//! One call of a function in another process: a memfd with facts, arguments, state and outcome.
//!
//! | at | what | written by |
//! |---|---|---|
//! | 0 | [`Facts`] | parent, before the worker exists |
//! | 512 | [`Words`], mapped by both sides | see the fields |
//! | 4096 | the arguments | parent, before the worker exists |
//! | behind them, at a multiple of 8 | the outcome | worker, before READY |
//!
//! Everything but the words is read and written by system calls, so no reference to bytes that the
//! other side may change exists. The file is sealed against shrinking: the mapped page stays.
//!
//! Who sees what: the outcome is written, then its length and kind are stored (Relaxed), then
//! READY is set in `state` with Release; whoever loads READY with Acquire sees them all. A worker
//! that lies about them is caught by the length check and the decoder.
//!
//! # Safety
//! Views the mapped page as [`Words`]: atomics only, so any bytes and any writer are allowed.

#![allow(unsafe_code)]

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt,
    },
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::*},
    },
};

use memmap2::{MmapOptions, MmapRaw};
use rustix::{
    fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_get_seals, memfd_create},
    io::Errno,
};

use crate::{
    process::{
        facts::{self, Facts, Nonce},
        outcome::{Kind, Outcome},
    },
    segment::{self, Unreceived},
};

/// Where the words begin.
const WORDS: usize = 512;
/// Where the arguments begin.
const ARGUMENTS: u64 = 4096;
/// From this size on the memory of arguments is worth a system call.
const LARGE: u64 = 1 << 20;

/// The worker has taken over.
pub(super) const STARTED: u32 = 1;
/// The outcome is there.
pub(super) const READY: u32 = 2;
/// The process has ended and was collected.
pub(super) const ENDED: u32 = 4;
/// The worker has its arguments, and what they refer to.
pub(super) const RECEIVED: u32 = 8;

#[repr(C)]
struct Words {
    /// STARTED, RECEIVED and READY are set by the worker, ENDED by the parent; none is ever taken back.
    /// Sleepers are woken at ENDED, and at READY if the outcome refers to something that the worker
    /// keeps. If the worker dies, the parent sets ENDED.
    state: AtomicU32,
    /// A [`Kind`]; valid with READY.
    kind: AtomicU32,
    /// Bytes of the outcome; valid with READY.
    len: AtomicU64,
}

const _: () = assert!(facts::LEN <= WORDS && WORDS.is_multiple_of(align_of::<Words>()));
const _: () = assert!(WORDS + size_of::<Words>() <= ARGUMENTS as usize);

/// INVARIANT: `page` maps the first 4096 bytes of `file`, readable and writable, and the file is
/// sealed against shrinking.
pub(super) struct Call {
    file: File,
    page: MmapRaw,
    facts: Facts,
    /// What the arguments refer to, in the parent until the worker has ended.
    unreceived: Mutex<Option<Unreceived>>,
}

impl Call {
    /// The parent's side.
    pub(super) fn create(mut facts: Facts, arguments: &[u8], unreceived: Unreceived) -> io::Result<Self> {
        facts.arguments_len = arguments.len() as u64;
        let file = File::from(segment::with_descriptors(anonymous_file)?);
        file.set_len(ARGUMENTS)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::SEAL)?;
        file.write_all_at(&facts.to_bytes(), 0)?;
        file.write_all_at(arguments, ARGUMENTS)?;
        Self::over(file, facts, Some(unreceived))
    }

    /// The worker's side: the call in an inherited descriptor, if it is one and carries this nonce.
    pub(super) fn inherited(descriptor: OwnedFd, nonce: Nonce) -> io::Result<Self> {
        let invalid = |_| io::Error::from(io::ErrorKind::InvalidData);
        // Only a memfd has seals, and only on one sealed like this the mapped page cannot go.
        let seals = fcntl_get_seals(&descriptor).map_err(invalid)?;
        let file = File::from(descriptor);
        let mut bytes = [0; facts::LEN];
        file.read_exact_at(&mut bytes, 0)?;
        let facts = Facts::from_bytes(&bytes, nonce).ok_or(io::ErrorKind::InvalidData)?;
        let end = ARGUMENTS.checked_add(facts.arguments_len);
        if !seals.contains(SealFlags::SHRINK) || end.is_none_or(|end| end > size(&file)) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Self::over(file, facts, None)
    }

    fn over(file: File, facts: Facts, unreceived: Option<Unreceived>) -> io::Result<Self> {
        let page = MmapOptions::new().len(ARGUMENTS as usize).map_raw(&file)?;
        Ok(Self { file, page, facts, unreceived: Mutex::new(unreceived) })
    }

    fn words(&self) -> &Words {
        let words = self.page.as_ptr().wrapping_add(WORDS).cast::<Words>();
        // SAFETY: within the mapped page (asserted above), which is aligned to more than `Words`
        // needs, lives as long as `self` and cannot be truncated; atomics take any bytes.
        unsafe { &*words }
    }

    /// The private copy of the facts.
    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The word to sleep on.
    pub(super) fn state(&self) -> &AtomicU32 {
        &self.words().state
    }

    /// The bytes of the arguments. What large ones took in the file is given back.
    pub(super) fn take_arguments(&self) -> io::Result<Vec<u8>> {
        let len = self.facts.arguments_len;
        let arguments = self.read(ARGUMENTS, len)?;
        if len >= LARGE {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // Where it cannot be, the memory stays until the end of the call.
            let _ = fallocate(&self.file, hole, ARGUMENTS, len);
        }
        Ok(arguments)
    }

    /// Takes back what the arguments refer to, unless the worker has it. The worker is not, or not any more.
    pub(super) fn settle(&self) {
        let unreceived = self.unreceived.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(unreceived) = unreceived
            && self.state().load(Acquire) & RECEIVED != 0
        {
            unreceived.received();
        }
    }

    /// Writes the outcome and sets READY. The caller wakes.
    pub(super) fn publish(&self, outcome: &Outcome) -> io::Result<()> {
        self.file.write_all_at(&outcome.bytes, self.outcome_offset())?;
        let words = self.words();
        words.len.store(outcome.bytes.len() as u64, Relaxed);
        words.kind.store(outcome.kind as u32, Relaxed);
        words.state.fetch_or(READY, Release);
        Ok(())
    }

    /// What kind of outcome there is, once there is one.
    pub(super) fn kind(&self) -> Option<Kind> {
        let words = self.words();
        if words.state.load(Acquire) & READY == 0 {
            return None;
        }
        Kind::from_number(words.kind.load(Relaxed))
    }

    /// The outcome's bytes, once there is one.
    pub(super) fn outcome(&self) -> io::Result<Vec<u8>> {
        self.read(self.outcome_offset(), self.words().len.load(Relaxed))
    }

    fn outcome_offset(&self) -> u64 {
        // Cannot overflow: the file is at least this long, and files end far below 2^63.
        ARGUMENTS + self.facts.arguments_len.next_multiple_of(8)
    }

    /// Copies bytes out of the file, after a look at how many there can be.
    fn read(&self, from: u64, len: u64) -> io::Result<Vec<u8>> {
        if len == 0 {
            // Nothing was written, so the file may end before `from`.
            return Ok(Vec::new());
        }
        if from.checked_add(len).is_none_or(|end| end > size(&self.file)) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.resize(len, 0);
        self.file.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    }
}

/// Where no worker could be started, or watched.
impl Drop for Call {
    fn drop(&mut self) {
        self.settle();
    }
}

impl AsFd for Call {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The length of the file as the kernel knows it; 0 where it does not.
fn size(file: &File) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}

fn anonymous_file() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create("commons-call", flags | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3 does not know the last flag.
        Err(Errno::INVAL) => Ok(memfd_create("commons-call", flags)?),
        made => Ok(made?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::identity::ProcessId;

    const NONCE: [u8; 16] = [3; 16];

    fn call(arguments: &[u8]) -> Call {
        let parent = ProcessId { pid: 1, start: 2 };
        Call::create(Facts::new(Nonce::new(NONCE), parent, [4; 32], 5, 6), arguments, Unreceived::default())
            .unwrap()
    }

    fn other_side(call: &Call) -> io::Result<Call> {
        Call::inherited(call.file.try_clone().unwrap().into(), Nonce::new(NONCE))
    }

    #[test]
    fn an_empty_outcome_needs_no_byte_of_the_file() {
        let parent = call(b"odd");
        other_side(&parent).unwrap().publish(&Outcome::sentence(Kind::Returned, "")).unwrap();
        assert_eq!(parent.outcome().unwrap(), b"");
    }

    #[test]
    fn arguments_go_there_and_the_outcome_comes_back() {
        let parent = call(b"arguments");
        let worker = other_side(&parent).unwrap();
        assert_eq!(worker.take_arguments().unwrap(), b"arguments");
        assert_eq!(worker.facts(), parent.facts());
        assert_eq!(parent.kind(), None);
        worker.publish(&Outcome::sentence(Kind::Refused, "no")).unwrap();
        assert_eq!((parent.kind(), parent.outcome().unwrap()), (Some(Kind::Refused), b"no".to_vec()));
    }

    #[test]
    fn what_is_no_call_is_refused() {
        let good = call(b"arguments");
        let copy = good.file.try_clone().unwrap();
        assert!(Call::inherited(copy.into(), Nonce::new([9; 16])).is_err());
        // More arguments than the file holds.
        let mut lie = *good.facts();
        lie.arguments_len = 1 << 40;
        good.file.write_all_at(&lie.to_bytes(), 0).unwrap();
        assert!(other_side(&good).is_err());
        lie.arguments_len = u64::MAX;
        good.file.write_all_at(&lie.to_bytes(), 0).unwrap();
        assert!(other_side(&good).is_err());
        // Not sealed; no memfd.
        let open = memfd_create("open", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        let open = File::from(open);
        open.write_all_at(&call(b"").facts().to_bytes(), 0).unwrap();
        open.set_len(ARGUMENTS).unwrap();
        assert!(Call::inherited(open.into(), Nonce::new(NONCE)).is_err());
        let file = File::open("/proc/self/exe").unwrap();
        assert!(Call::inherited(file.into(), Nonce::new(NONCE)).is_err());
    }

    #[test]
    fn an_outcome_that_cannot_be_is_an_error() {
        let call = call(b"");
        call.publish(&Outcome::sentence(Kind::Returned, "x")).unwrap();
        call.words().len.store(u64::MAX, Relaxed);
        assert!(call.outcome().is_err());
        call.file.set_len(1 << 62).unwrap();
        call.words().len.store(1 << 61, Relaxed);
        assert!(call.outcome().is_err());
        call.words().kind.store(77, Relaxed);
        assert_eq!(call.kind(), None);
    }
}
