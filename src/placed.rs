//! One structure in one segment: what `Shared`, `Value` and `Atomic` have in common.
//!
//! # Safety
//! Places a `T` into a segment and hands out `&T` to it, which is what [`Shareable`] promises to be
//! sound.

#![allow(unsafe_code)]

use std::{alloc::Layout as MemoryLayout, fmt, marker::PhantomData, ops::Deref};

use serde::{Deserializer, Serialize, Serializer};

use crate::{
    error::Result,
    segment::{Element, Expected, Kind, Layout, Segment, SegmentInfo, Settings},
    shareable::Shareable,
};

/// A `T` in a segment of its own.
pub(crate) struct Placed<T: Shareable> {
    /// INVARIANT: made with `layout::<T>` or checked against `expected::<T>`.
    segment: Segment,
    payload: PhantomData<T>,
}

impl<T: Shareable> Placed<T> {
    /// A new segment of this kind, which tells the world that it holds `element`.
    pub(crate) fn create(
        name: Option<&str>,
        settings: &Settings,
        kind: Kind,
        element: Element,
        value: T,
    ) -> Result<Self> {
        Segment::create(name, settings, &layout::<T>(kind, element), |payload| write(payload, value))
            .map(Self::of)
    }

    /// The segment of this name.
    pub(crate) fn open(name: &str, settings: &Settings, kind: Kind, element: Element) -> Result<Self> {
        Segment::open(name, settings, &expected::<T>(kind, element)).map(Self::of)
    }

    /// The segment of this name; a new one if there is none.
    pub(crate) fn open_or_create(
        name: &str,
        settings: &Settings,
        kind: Kind,
        element: Element,
        value: T,
    ) -> Result<Self> {
        let (layout, expected) = (layout::<T>(kind, element.clone()), expected::<T>(kind, element));
        Segment::open_or_create(name, settings, &expected, &layout, |payload| write(payload, value))
            .map(Self::of)
    }

    /// What [`Serialize`] wrote.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
        kind: Kind,
        element: Element,
    ) -> Result<Self, D::Error> {
        Segment::deserialize_expecting(deserializer, &expected::<T>(kind, element)).map(Self::of)
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.segment.name()
    }

    pub(crate) fn info(&self) -> SegmentInfo {
        self.segment.info()
    }

    fn of(segment: Segment) -> Self {
        Self { segment, payload: PhantomData }
    }
}

fn layout<T>(kind: Kind, element: Element) -> Layout {
    let (payload_len, payload_align) = (size_of::<T>() as u64, align_of::<T>() as u64);
    Layout { kind, element, shape: Vec::new(), payload_len, payload_align, reserved: None }
}

fn expected<T>(kind: Kind, element: Element) -> Expected {
    Expected {
        kind,
        element,
        shape: Some(Vec::new()),
        payload_len: |_| Some(size_of::<T>() as u64),
        payload_align: align_of::<T>() as u64,
    }
}

/// The `init` of a segment made with `layout::<T>`.
fn write<T: Shareable>(payload: *mut u8, value: T) {
    let place = payload.cast::<T>();
    // SAFETY: `init` gets the payload of a segment with the layout of `T`: writable for its size,
    // aligned for it, and not yet known to anybody else.
    unsafe { place.write(value) };
    // SAFETY: written just now, and nobody else knows it.
    unsafe { &mut *place }.reset();
}

/// An element that is told by its type alone.
pub(crate) fn plain_element<T>() -> Element {
    Element::new(MemoryLayout::new::<T>(), crate::shareable::short_type_name::<T>(), Vec::new())
}

impl<T: Shareable> Deref for Placed<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: by the invariant of `segment` the payload has the size and alignment of `T`; it is mapped
        // as long as `self` lives. `Shareable` promises that any bytes are a valid `T` and that all of it
        // may change behind a shared reference.
        unsafe { self.segment.payload().cast().as_ref() }
    }
}

impl<T: Shareable> Clone for Placed<T> {
    fn clone(&self) -> Self {
        Self::of(self.segment.clone())
    }
}

impl<T: Shareable> fmt::Debug for Placed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segment.fmt(f)
    }
}

impl<T: Shareable> Serialize for Placed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.segment.serialize(serializer)
    }
}
