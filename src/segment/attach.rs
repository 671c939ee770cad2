//! One file mapped into this process, with a slot and a row of its own.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*},
    time::Duration,
};

use super::{
    file::{self, with_descriptors},
    header::{Header, MOVES},
    info::{self, SegmentInfo},
    layout,
    lifecycle::{Hold, Patience},
    locks, name, rows,
};
use crate::{
    error::{Error, ErrorKind, Result},
    raw::region::NO_SLOT,
    sys::{descriptor, filelock, fork, identity::ProcessId, map::Mapping},
};

/// This process's use of one segment.
#[derive(Debug)]
pub(crate) struct Attachment {
    hold: Hold,
    mapping: Mapping,
    header: Header,
    name: Option<String>,
    slot: AtomicU32,
    /// The mark of the process that `slot` is for, or that failed to get one.
    settled: AtomicU64,
    /// The mark of the process in which some thread attaches anew after a fork.
    settling: AtomicU64,
    /// The mark of the process in which some thread takes a lock from a dead owner.
    recovering: AtomicU64,
    /// Handles in this process. Goes up from zero only while the table is locked.
    handles: AtomicUsize,
}

impl Attachment {
    /// Takes a slot of a file that is held and mapped.
    pub(crate) fn new(hold: Hold, mapping: Mapping, header: Header, name: Option<String>) -> Result<Self> {
        let slot = take_slot(hold.file(), &mapping, name.as_deref())?;
        Ok(Self {
            hold,
            mapping,
            header,
            name,
            slot: AtomicU32::new(slot),
            settled: AtomicU64::new(fork::mark()),
            settling: AtomicU64::new(0),
            recovering: AtomicU64::new(0),
            handles: AtomicUsize::new(0),
        })
    }

    pub(crate) fn hold(&self) -> &Hold {
        &self.hold
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(crate) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    pub(crate) fn handles(&self) -> &AtomicUsize {
        &self.handles
    }

    pub(crate) fn recovering(&self) -> &AtomicU64 {
        &self.recovering
    }

    /// How many handles this process has sent and nobody has received yet; 0 if it could not get a slot
    /// after a fork.
    pub(crate) fn own_pins(&self) -> u32 {
        rows::pins(&self.mapping, self.slot())
    }

    /// Counts up whenever an end of a channel has come, or a handle in a message has come or gone, after that was
    /// counted.
    pub(crate) fn moves(&self) -> &AtomicU32 {
        self.mapping.word32(MOVES)
    }

    /// Tells that an end or a handle has come or gone, which was counted before.
    pub(crate) fn tell_move(&self) {
        self.moves().fetch_add(1, AcqRel);
    }

    /// Where the payload is. INVARIANT of a checked header: it lies inside the mapping.
    pub(crate) fn payload(&self) -> NonNull<u8> {
        payload_of(&self.mapping, &self.header)
    }

    /// The slot of this process, [`NO_SLOT`] if it could not get one after a fork.
    pub(crate) fn slot(&self) -> u32 {
        if self.settled.load(Acquire) != fork::mark() {
            self.settle();
        }
        self.slot.load(Acquire)
    }

    /// What people may know of it.
    pub(crate) fn info(&self) -> SegmentInfo {
        info::of_file(&self.header, self.name(), self.hold.file(), Some(self.slot()))
    }

    /// Gives slot and hold back; the memory stays mapped until this is dropped.
    pub(crate) fn leave(&self) {
        if self.hold.is_ours() {
            let slot = self.slot.load(Acquire);
            rows::clear(&self.mapping, slot);
            // Fails for an invalid descriptor only, whose locks are gone.
            let _ = filelock::unlock(self.hold.file(), locks::slot(slot));
            self.hold.leave();
        }
    }

    /// In a forked child: a description, a slot and a row of its own, in the place of the parent's.
    ///
    /// The parent's locks live as long as a descriptor or a mapping of its description does, so both
    /// are replaced, and only after the child's own lock stands: the object is never without user.
    #[cold]
    fn settle(&self) {
        let mark = fork::mark();
        let seen = self.settling.load(Acquire);
        if seen == mark || self.settling.compare_exchange(seen, mark, AcqRel, Acquire).is_err() {
            while self.settled.load(Acquire) != mark {
                std::thread::yield_now(); // another thread does it just now, and never waits for us
            }
            return;
        }
        let slot = self.attach_anew().unwrap_or(NO_SLOT);
        self.slot.store(slot, Release);
        self.settled.store(mark, Release);
    }

    fn attach_anew(&self) -> Result<u32> {
        let label = name::label(self.name());
        let os = |error| Error::os(format_args!("cannot attach {label} in a forked process"), error);
        // In another pid namespace than its parent, its thread ids would mean somebody else.
        layout::check_home(&file::home()?, &self.header.home, &label)?;
        let own: OwnedFd = with_descriptors(|| descriptor::reopen(self.hold.file())).map_err(os)?;
        let mut patience = Patience::new(Duration::from_secs(1));
        while !filelock::try_shared(own.as_fd(), locks::IN_USE).map_err(os)? {
            if !patience.wait() {
                return Err(Error::new(ErrorKind::Gone, format!("{label} is being removed")));
            }
        }
        let slot = take_slot(own.as_fd(), &self.mapping, self.name())?;
        self.mapping.replace(own.as_fd()).map_err(os)?;
        self.hold.adopt(&own).map_err(os)?;
        Ok(slot)
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Where the payload of a segment with this checked header is.
pub(crate) fn payload_of(mapping: &Mapping, header: &Header) -> NonNull<u8> {
    let offset = usize::try_from(header.payload_offset).expect("a checked offset fits into memory");
    NonNull::new(mapping.base().as_ptr().wrapping_add(offset)).expect("a mapping does not wrap around")
}

/// Bytes that a segment with this checked header takes in memory.
pub(crate) fn mapped_len(header: &Header) -> usize {
    usize::try_from(header.payload_offset + header.payload_len).expect("a checked length fits into memory")
}

/// Locks a free slot and writes into its row who we are.
fn take_slot(file: BorrowedFd<'_>, mapping: &Mapping, name: Option<&str>) -> Result<u32> {
    let label = name::label(name);
    let os = |error| Error::os(format_args!("cannot take a slot of {label}"), error);
    let me = ProcessId::current().map_err(os)?;
    // Empty rows first: their slots are free. The others are free if their process was killed.
    let rows_by_emptiness = [true, false]
        .into_iter()
        .flat_map(|empty| (0..rows::ROWS).filter(move |&row| rows::read(mapping, row).is_none() == empty));
    for row in rows_by_emptiness {
        if filelock::try_exclusive(file, locks::slot(row)).map_err(os)? {
            rows::fill(mapping, row, me);
            return Ok(row);
        }
    }
    let why =
        format!("{label} is used by {} processes, the most it can have; wait until one leaves", rows::ROWS);
    Err(Error::new(ErrorKind::NoSpace, why))
}
