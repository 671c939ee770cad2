//! Where things lie in a queue's payload: ring, settings, ends, leases, and then the rings' words.
//!
//! # Safety
//! Views the payload as a `QueueHead` and as words.

#![allow(unsafe_code)]

use std::{
    alloc::Layout as MemoryLayout,
    slice,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::*},
};

use super::ends::RawEnds;
use crate::{
    error::{Error, ErrorKind, Result},
    raw::{
        leases::RawLeases,
        ring::{Area, RINGS, RawRing, ring_offset, ring_units},
    },
    segment::{Element, Expected, Kind, Layout, QueueSettings, Segment, Settings},
    shareable::short_type_name,
};

/// What stands before the words. All zeroes but the limits is an empty queue.
#[repr(C)]
#[derive(Debug)]
pub(super) struct QueueHead {
    pub(super) ring: RawRing,
    /// Bytes that may wait outside the rings.
    pub(super) bytes: AtomicU64,
    pub(super) max_attempts: AtomicU32,
    /// How many leased messages were returned; a hint that may be too high.
    pub(super) returned: AtomicU32,
    _reserved: [u64; 6],
    pub(super) ends: RawEnds,
    pub(super) leases: RawLeases,
}

/// The words begin on a page of their own.
const WORDS: u64 = (size_of::<QueueHead>() as u64).next_multiple_of(4096);

/// The segment of a queue.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    /// INVARIANT: made or opened by a [`Plan`].
    segment: Segment,
    rings: usize,
}

impl Memory {
    pub(super) fn of(segment: Segment) -> Result<Self> {
        let rings = segment.shape().first().and_then(|&rings| usize::try_from(rings).ok());
        let rings = rings.filter(|rings| (1..=RINGS).contains(rings));
        let rings = rings.ok_or_else(|| Error::new(ErrorKind::Corrupt, "the queue has no rings"))?;
        Ok(Self { segment, rings })
    }

    pub(super) fn segment(&self) -> &Segment {
        &self.segment
    }

    #[inline]
    pub(super) fn head(&self) -> &QueueHead {
        // SAFETY: the payload begins with a `QueueHead`, aligned to a cache line, for as long as the
        // segment is mapped; it is made of atomics, for which any bits are a value.
        unsafe { self.segment.payload().cast::<QueueHead>().as_ref() }
    }

    /// Puts memory behind a ring.
    pub(super) fn reserve(&self, ring: usize) -> Result<()> {
        let from = WORDS + ring_offset(ring) * 8;
        self.segment.reserve(from, from + ring_units(ring) * 8)
    }
}

impl Area for Memory {
    #[inline]
    fn rings(&self) -> usize {
        self.rings
    }

    #[inline]
    fn first(&self) -> &[AtomicU64; ring_units(0) as usize] {
        // SAFETY: there is at least one ring, and its words begin there; see `words`.
        let words = unsafe { self.segment.payload().add(OFFSETS[0]) }.cast();
        // SAFETY: as in `words`.
        unsafe { words.as_ref() }
    }

    fn words(&self, ring: usize) -> &[AtomicU64] {
        assert!(ring < self.rings, "ring {ring} of {}", self.rings);
        let offset = OFFSETS[ring];
        // SAFETY: inside the payload, whose length was checked against the number of rings.
        let words = unsafe { self.segment.payload().add(offset) }.cast::<AtomicU64>();
        // SAFETY: so many words are there, aligned since the offset is a multiple of a page in a
        // mapping; they are atomics, mapped while `self` lives.
        unsafe { slice::from_raw_parts(words.as_ptr(), ring_units(ring) as usize) }
    }
}

/// How many rings it takes for so many bytes.
fn rings_for(bytes: u64) -> usize {
    (1..RINGS).find(|&rings| ring_units(rings - 1) * 8 >= bytes).unwrap_or(RINGS)
}

/// Where the words of each ring begin.
const OFFSETS: [usize; RINGS] = {
    let mut offsets = [0; RINGS];
    let mut ring = 0;
    while ring < RINGS {
        offsets[ring] = (WORDS + ring_offset(ring) * 8) as usize;
        ring += 1;
    }
    offsets
};

fn payload_len(rings: u64) -> Option<u64> {
    let rings = usize::try_from(rings).ok().filter(|rings| (1..=RINGS).contains(rings))?;
    Some(WORDS + ring_offset(rings) * 8)
}

/// A queue that is made or opened: which handles it has, what its messages are, and how much it holds.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    kind: Kind,
    element: Element,
    /// How many messages may wait; 0: as many as its bytes hold.
    limit: u32,
    queue: QueueSettings,
}

impl Plan {
    /// As much as its bytes hold.
    pub(crate) fn of<T>(kind: Kind) -> Self {
        let element = Element::new(MemoryLayout::new::<()>(), short_type_name::<T>(), Vec::new());
        Self { kind, element, limit: 0, queue: QueueSettings::default() }
    }

    pub(crate) fn with(self, queue: QueueSettings) -> Self {
        Self { queue, ..self }
    }

    /// At most so many messages.
    pub(crate) fn bounded(self, messages: usize) -> Result<Self> {
        // Indices wrap at 2^32, so half of that is the most that can be told apart.
        const MOST: u32 = u32::MAX / 2;
        match u32::try_from(messages) {
            Ok(limit @ 1..=MOST) => Ok(Self { limit, ..self }),
            _ => {
                let what = format!("{:?}", self.kind).to_lowercase();
                let message =
                    format!("a {what} of at most {messages} messages is not possible: 1 to {MOST} are");
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
        }
    }

    pub(crate) fn create(&self, name: Option<&str>, settings: &Settings) -> Result<Segment> {
        Segment::create(name, settings, &self.layout(), self.init())
    }

    pub(crate) fn open(&self, name: &str, settings: &Settings) -> Result<Segment> {
        Segment::open(name, settings, &self.expected())
    }

    pub(crate) fn open_or_create(&self, name: &str, settings: &Settings) -> Result<Segment> {
        Segment::open_or_create(name, settings, &self.expected(), &self.layout(), self.init())
    }

    /// What an opener insists on: not how much it holds.
    pub(crate) fn expected(&self) -> Expected {
        let payload_align = align_of::<QueueHead>() as u64;
        Expected { kind: self.kind, element: self.element.clone(), shape: None, payload_len, payload_align }
    }

    fn layout(&self) -> Layout {
        let rings = rings_for(self.queue.bytes);
        Layout {
            kind: self.kind,
            element: self.element.clone(),
            shape: vec![rings as u64],
            payload_len: WORDS + ring_offset(rings) * 8,
            payload_align: align_of::<QueueHead>() as u64,
            reserved: Some(WORDS + ring_units(0) * 8),
        }
    }

    /// What makes a zeroed payload of this layout an empty queue.
    fn init(&self) -> impl FnOnce(*mut u8) + use<> {
        let (limit, QueueSettings { bytes, max_attempts }) = (self.limit, self.queue);
        move |payload: *mut u8| {
            let head = payload.cast::<QueueHead>();
            // SAFETY: a zeroed payload of the layout above, which nobody else knows; all zeroes is a value
            // of every field.
            let head = unsafe { &mut *head };
            head.ring = RawRing::new(limit);
            head.bytes.store(bytes, Relaxed);
            head.max_attempts.store(max_attempts, Relaxed);
        }
    }
}
