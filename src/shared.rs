//! A structure of the user's own, in shared memory and used in place.
//!
//! # Safety
//! This file places a `T` into a segment and hands out `&T` to it, which is what [`Shareable`]
//! promises to be sound.

#![allow(unsafe_code)]

use std::{alloc::Layout as TypeLayout, fmt, marker::PhantomData, ops::Deref};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    error::Result,
    segment::{Element, Expected, Kind, Layout, Options, Segment, SegmentInfo, Settings},
    shareable::Shareable,
};

/// One `T` that all processes with a handle use in place, through `&T`.
///
/// A handle: cloning it, or sending it inside a message, reaches the same object. It derefs to `T`,
/// so its own functions are called as `Shared::name(&s)`. When the last handle of a named object
/// goes, by return, panic or exit, the name goes.
///
/// # Examples
/// ```
/// use commons::Shared;
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// # fn main() -> commons::Result<()> {
/// let lanes = Shared::new([const { AtomicU64::new(0) }; 4])?;
/// lanes[2].fetch_add(7, Relaxed);
/// assert_eq!(lanes.clone()[2].load(Relaxed), 7);
/// # Ok(()) }
/// ```
pub struct Shared<T: Shareable> {
    segment: Segment,
    payload: PhantomData<T>,
}

impl<T: Shareable> Shared<T> {
    /// An anonymous object: those have it who are handed a handle.
    ///
    /// # Errors
    /// `NoSpace` if there is no memory for it.
    ///
    /// # Examples
    /// ```
    /// use commons::Shared;
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    ///
    /// let shared = Shared::new(AtomicU32::new(5))?;
    /// assert_eq!(shared.load(Relaxed), 5);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn new(value: T) -> Result<Self> {
        place(None, &Settings::default(), value)
    }

    /// A new object with this name.
    ///
    /// # Errors
    /// `AlreadyExists` if something has the name, `InvalidName`, `NoSpace`.
    ///
    /// # Examples
    /// ```
    /// use commons::{ErrorKind, Shared};
    /// use std::sync::atomic::AtomicU32;
    ///
    /// # fn main() -> commons::Result<()> {
    /// let name = format!("shared-create-{}", std::process::id());
    /// let first = Shared::create(&name, AtomicU32::new(5))?;
    /// let second = Shared::create(&name, AtomicU32::new(6));
    /// assert_eq!(second.unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # Ok(()) }
    /// ```
    pub fn create(name: &str, value: T) -> Result<Self> {
        Self::options().create(name, value)
    }

    /// The object of this name.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Mismatch` if it holds something else than a `T`, `InvalidName`,
    /// `Corrupt`, `Denied`, `OtherNamespace`.
    ///
    /// # Examples
    /// ```
    /// use commons::{ErrorKind, Shared};
    /// use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
    ///
    /// # fn main() -> commons::Result<()> {
    /// let name = format!("shared-open-{}", std::process::id());
    /// let made = Shared::create(&name, AtomicU32::new(5))?;
    /// assert_eq!(Shared::<AtomicU32>::open(&name)?.load(Relaxed), 5);
    /// let wrong = Shared::<AtomicU64>::open(&name).unwrap_err();
    /// assert_eq!(wrong.kind(), ErrorKind::Mismatch);
    /// # Ok(()) }
    /// ```
    pub fn open(name: &str) -> Result<Self> {
        Self::options().open(name)
    }

    /// The object of this name, a new one if there is none.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create), without `NotFound` and `AlreadyExists`.
    ///
    /// # Examples
    /// ```
    /// use commons::Shared;
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    ///
    /// # fn main() -> commons::Result<()> {
    /// let name = format!("shared-both-{}", std::process::id());
    /// let first = Shared::open_or_create(&name, AtomicU32::new(5))?;
    /// let second = Shared::open_or_create(&name, AtomicU32::new(6))?;
    /// assert_eq!(second.load(Relaxed), 5);
    /// # Ok(()) }
    /// ```
    pub fn open_or_create(name: &str, value: T) -> Result<Self> {
        Self::options().open_or_create(name, value)
    }

    /// How to make or open a named object otherwise than by default.
    ///
    /// # Examples
    /// ```
    /// use commons::Shared;
    /// use std::sync::atomic::AtomicU32;
    ///
    /// let wrong = Shared::<AtomicU32>::options().mode(0o400).open("x").unwrap_err();
    /// assert_eq!(wrong.kind(), commons::ErrorKind::InvalidInput);
    /// ```
    pub fn options() -> Options<Self> {
        Options::new()
    }

    /// The name, `None` for an anonymous object.
    ///
    /// # Examples
    /// ```
    /// use commons::Shared;
    /// use std::sync::atomic::AtomicU32;
    ///
    /// let anonymous = Shared::new(AtomicU32::new(0))?;
    /// assert_eq!(Shared::name(&anonymous), None);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn name(this: &Self) -> Option<&str> {
        this.segment.name()
    }

    /// What it is, how large, and who has it.
    ///
    /// # Examples
    /// ```
    /// use commons::Shared;
    /// use std::sync::atomic::AtomicU32;
    ///
    /// let shared = Shared::new([const { AtomicU32::new(0) }; 3])?;
    /// assert_eq!(Shared::info(&shared).type_name, "[AtomicU32; 3]");
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn info(this: &Self) -> SegmentInfo {
        this.segment.info()
    }
}

impl<T: Shareable> Options<Shared<T>> {
    /// [`Shared::create`] with these options.
    ///
    /// # Errors
    /// As there, and `InvalidInput` for a mode that is not possible.
    ///
    /// # Examples
    /// ```
    /// use commons::Shared;
    /// use std::sync::atomic::AtomicU32;
    ///
    /// let name = format!("shared-ocreate-{}", std::process::id());
    /// let group = Shared::options().mode(0o660).create(&name, AtomicU32::new(5))?;
    /// assert_eq!(Shared::info(&group).mode, 0o660);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn create(&self, name: &str, value: T) -> Result<Shared<T>> {
        place(Some(name), self.settings(), value)
    }

    /// [`Shared::open`] with these options.
    ///
    /// # Errors
    /// As there, and `InvalidInput` for a mode that is not possible.
    ///
    /// # Examples
    /// ```
    /// use commons::Shared;
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    ///
    /// let name = format!("shared-oopen-{}", std::process::id());
    /// let options = Shared::options().mode(0o660);
    /// let made = options.create(&name, AtomicU32::new(5))?;
    /// assert_eq!(options.open(&name)?.load(Relaxed), 5);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn open(&self, name: &str) -> Result<Shared<T>> {
        Segment::open(name, self.settings(), &expected::<T>()).map(handle)
    }

    /// [`Shared::open_or_create`] with these options.
    ///
    /// # Errors
    /// As there, and `InvalidInput` for a mode that is not possible.
    ///
    /// # Examples
    /// ```
    /// use commons::Shared;
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    ///
    /// let name = format!("shared-oopen_or_create-{}", std::process::id());
    /// let options = Shared::options().mode(0o660);
    /// let first = options.open_or_create(&name, AtomicU32::new(5))?;
    /// assert_eq!(options.open_or_create(&name, AtomicU32::new(6))?.load(Relaxed), 5);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn open_or_create(&self, name: &str, value: T) -> Result<Shared<T>> {
        let init = |payload: *mut u8| write(payload, value);
        Segment::open_or_create(name, self.settings(), &expected::<T>(), &layout::<T>(), init).map(handle)
    }
}

fn element<T: Shareable>() -> Element {
    Element::new(TypeLayout::new::<T>(), T::type_name(), T::fields())
}

fn layout<T: Shareable>() -> Layout {
    let (payload_len, payload_align) = (size_of::<T>() as u64, align_of::<T>() as u64);
    Layout { kind: Kind::Shared, element: element::<T>(), shape: vec![], payload_len, payload_align }
}

fn expected<T: Shareable>() -> Expected {
    Expected {
        kind: Kind::Shared,
        element: element::<T>(),
        shape: Some(vec![]),
        payload_len: |count| count.checked_mul(size_of::<T>() as u64),
        payload_align: align_of::<T>() as u64,
    }
}

fn place<T: Shareable>(name: Option<&str>, settings: &Settings, value: T) -> Result<Shared<T>> {
    Segment::create(name, settings, &layout::<T>(), |payload| write(payload, value)).map(handle)
}

/// The `init` of a segment made with `layout::<T>()`.
fn write<T: Shareable>(payload: *mut u8, mut value: T) {
    value.reset();
    // SAFETY: `init` gets the payload of a segment with the layout of `T`: writable for its size,
    // aligned for it, and not yet known to anybody else.
    unsafe { payload.cast::<T>().write(value) };
}

/// INVARIANT: the segment was made with `layout::<T>()` or checked against `expected::<T>()`.
fn handle<T: Shareable>(segment: Segment) -> Shared<T> {
    Shared { segment, payload: PhantomData }
}

impl<T: Shareable> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let value: *const T = self.segment.payload().as_ptr().cast_const().cast();
        // SAFETY: by the invariant of `handle` the payload has the size and alignment of `T`; it is mapped
        // as long as `self` lives. `Shareable` promises that any bytes are a valid `T` and that all of it
        // may change behind a shared reference.
        unsafe { &*value }
    }
}

impl<T: Shareable> Clone for Shared<T> {
    fn clone(&self) -> Self {
        handle(self.segment.clone())
    }
}

impl<T: Shareable> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segment.fmt(f)
    }
}

impl<T: Shareable> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.segment.serialize(serializer)
    }
}

impl<'de, T: Shareable> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Segment::deserialize_expecting(deserializer, &expected::<T>()).map(handle)
    }
}
