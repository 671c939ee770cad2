//! Where things lie in a queue's payload: ring, settings, ends, leases, and then the rings' words.
//!
//! # Safety
//! Views the payload as a `QueueHead` and as words.

#![allow(unsafe_code)]

use std::{
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
    /// INVARIANT: made with `layout`, or checked against `expected`.
    segment: Segment,
    rings: usize,
}

impl Memory {
    pub(super) fn create(
        name: Option<&str>,
        settings: &Settings,
        queue: &QueueSettings,
        kind: Kind,
        element: Element,
        limit: u32,
    ) -> Result<Self> {
        let (layout, init) = birth(queue, kind, element, limit);
        Self::of(Segment::create(name, settings, &layout, init)?)
    }

    pub(super) fn open(name: &str, settings: &Settings, kind: Kind, element: Element) -> Result<Self> {
        Self::of(Segment::open(name, settings, &expected(kind, element))?)
    }

    pub(super) fn open_or_create(
        name: &str,
        settings: &Settings,
        queue: &QueueSettings,
        kind: Kind,
        element: Element,
        limit: u32,
    ) -> Result<Self> {
        let (layout, init) = birth(queue, kind, element.clone(), limit);
        Self::of(Segment::open_or_create(name, settings, &expected(kind, element), &layout, init)?)
    }

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

pub(crate) fn expected(kind: Kind, element: Element) -> Expected {
    let payload_align = align_of::<QueueHead>() as u64;
    Expected { kind, element, shape: None, payload_len, payload_align }
}

/// What a new queue is, and what makes it one.
fn birth(
    queue: &QueueSettings,
    kind: Kind,
    element: Element,
    limit: u32,
) -> (Layout, impl FnOnce(*mut u8) + use<>) {
    let rings = rings_for(queue.bytes);
    let layout = Layout {
        kind,
        element,
        shape: vec![rings as u64],
        payload_len: WORDS + ring_offset(rings) * 8,
        payload_align: align_of::<QueueHead>() as u64,
        reserved: Some(WORDS + ring_units(0) * 8),
    };
    let QueueSettings { bytes, max_attempts } = *queue;
    let init = move |payload: *mut u8| {
        let head = payload.cast::<QueueHead>();
        // SAFETY: a zeroed payload of the layout above, which nobody else knows; all zeroes is a value of
        // every field.
        let head = unsafe { &mut *head };
        head.ring = RawRing::new(limit);
        head.bytes.store(bytes, Relaxed);
        head.max_attempts.store(max_attempts, Relaxed);
    };
    (layout, init)
}
