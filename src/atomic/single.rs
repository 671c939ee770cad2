//! One number that all processes change without a lock.
//!
//! # Safety
//! This file places the word into a segment and hands out `&` to its atomic.

#![allow(unsafe_code)]

use std::{alloc::Layout as TypeLayout, fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::word::{self, Bits, Number, Word};
use crate::{
    error::Result as CommonsResult,
    segment::{Element, Expected, Kind, Layout, Options, Segment, SegmentInfo, Settings},
    shareable::short_type_name,
};

/// One number, flag or float that all processes change without a lock, sequentially consistent.
///
/// It holds `u8` to `u64`, `i8` to `i64`, `usize`, `isize`, `f32`, `f64` or `bool`. For anything
/// wider there is [`Value`](crate::Value).
///
/// A handle: cloning it, or sending it inside a message, reaches the same number. When the last
/// handle of a named object goes, by return, panic or exit, the name goes. A process that was forked
/// without `exec` and only calls the functions below counts as one with its parent until it uses a
/// lock, opens or makes an object, or sends a handle.
///
/// # Examples
/// ```
/// use commons::Atomic;
///
/// # fn main() -> commons::Result<()> {
/// let hits = Atomic::new(0u64)?;
/// hits.fetch_add(1);
/// assert_eq!(hits.clone().load(), 1);
/// # Ok(()) }
/// ```
pub struct Atomic<T: Word> {
    // INVARIANT: made with `layout::<T>()` or checked against `expected::<T>()`.
    segment: Segment,
    word: PhantomData<T>,
}

impl<T: Word> Atomic<T> {
    /// An anonymous object: those have it who are handed a handle.
    ///
    /// # Errors
    /// `NoSpace` if there is no memory for it.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Atomic::new(0.5f32)?.load(), 0.5);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn new(value: T) -> CommonsResult<Self> {
        place(None, &Settings::default(), value)
    }

    /// A new object with this name.
    ///
    /// # Errors
    /// `AlreadyExists` if something has the name, `InvalidName`, `NoSpace`.
    ///
    /// # Examples
    /// ```
    /// use commons::{Atomic, ErrorKind};
    ///
    /// # fn main() -> commons::Result<()> {
    /// let name = format!("atomic-create-{}", std::process::id());
    /// let first = Atomic::create(&name, 1u64)?;
    /// assert_eq!(Atomic::create(&name, 2u64).unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # Ok(()) }
    /// ```
    pub fn create(name: &str, value: T) -> CommonsResult<Self> {
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
    /// use commons::{Atomic, ErrorKind};
    ///
    /// # fn main() -> commons::Result<()> {
    /// let name = format!("atomic-open-{}", std::process::id());
    /// let made = Atomic::create(&name, 1u64)?;
    /// assert_eq!(Atomic::<u64>::open(&name)?.load(), 1);
    /// assert_eq!(Atomic::<f64>::open(&name).unwrap_err().kind(), ErrorKind::Mismatch);
    /// # Ok(()) }
    /// ```
    pub fn open(name: &str) -> CommonsResult<Self> {
        Self::options().open(name)
    }

    /// The object of this name, a new one if there is none.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create), without `NotFound` and `AlreadyExists`.
    ///
    /// # Examples
    /// ```
    /// use commons::Atomic;
    ///
    /// # fn main() -> commons::Result<()> {
    /// let name = format!("atomic-both-{}", std::process::id());
    /// let first = Atomic::open_or_create(&name, 1u64)?;
    /// assert_eq!(Atomic::open_or_create(&name, 2u64)?.load(), 1);
    /// # Ok(()) }
    /// ```
    pub fn open_or_create(name: &str, value: T) -> CommonsResult<Self> {
        Self::options().open_or_create(name, value)
    }

    /// How to make or open a named object otherwise than by default.
    ///
    /// # Examples
    /// ```
    /// let wrong = commons::Atomic::<u64>::options().mode(0o444).open("x").unwrap_err();
    /// assert_eq!(wrong.kind(), commons::ErrorKind::InvalidInput);
    /// ```
    pub fn options() -> Options<Self> {
        Options::new()
    }

    /// The name, `None` for an anonymous object.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Atomic::new(1u8)?.name(), None);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.segment.name()
    }

    /// What it is, how large, and who has it.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Atomic::new(1u8)?.info().element_size, 1);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn info(&self) -> SegmentInfo {
        self.segment.info()
    }

    #[inline]
    fn cell(&self) -> &T::Cell {
        let cell: *const T::Cell = self.segment.payload().as_ptr().cast_const().cast();
        // SAFETY: by the invariant the payload has the size and alignment of `T`, which are those of its
        // atomic; it is mapped as long as `self` lives; any bytes are a valid integer atomic.
        unsafe { &*cell }
    }
}

impl<T: Word> Atomic<T> {
    /// What it holds.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Atomic::new(7u8)?.load(), 7);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    pub fn load(&self) -> T {
        T::load(self.cell())
    }

    /// Puts `value` there.
    ///
    /// # Examples
    /// ```
    /// let flag = commons::Atomic::new(false)?;
    /// flag.store(true);
    /// assert!(flag.load());
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    pub fn store(&self, value: T) {
        T::store(self.cell(), value);
    }

    /// Puts `value` there; what was there before.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Atomic::new(1.5f64)?.swap(2.5), 1.5);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    pub fn swap(&self, value: T) -> T {
        T::swap(self.cell(), value)
    }

    /// Puts `new` there if `current` is there; what was there, as `Ok` if it was `current`.
    ///
    /// Floats are compared by their bits, so `-0.0` is not `0.0` and a NaN can be expected.
    ///
    /// # Errors
    /// The other value that was there.
    ///
    /// # Examples
    /// ```
    /// let owner = commons::Atomic::new(0u32)?;
    /// assert_eq!(owner.compare_exchange(0, 7), Ok(0));
    /// assert_eq!(owner.compare_exchange(0, 8), Err(7));
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    pub fn compare_exchange(&self, current: T, new: T) -> Result<T, T> {
        T::compare_exchange(self.cell(), current, new)
    }

    /// Puts what `change` makes of it there; what was there before.
    ///
    /// `change` runs again whenever another process was faster.
    ///
    /// # Errors
    /// What is there, if `change` returned `None`; nothing is changed then.
    ///
    /// # Examples
    /// ```
    /// let seats = commons::Atomic::new(1u32)?;
    /// assert_eq!(seats.fetch_update(|n| n.checked_sub(1)), Ok(1));
    /// assert_eq!(seats.fetch_update(|n| n.checked_sub(1)), Err(0));
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    pub fn fetch_update(&self, change: impl FnMut(T) -> Option<T>) -> Result<T, T> {
        word::update(self.cell(), change)
    }
}

impl<T: Number> Atomic<T> {
    /// Adds `value`, wrapping around as integers do; what was there before.
    ///
    /// # Examples
    /// ```
    /// let hits = commons::Atomic::new(5u64)?;
    /// assert_eq!(hits.fetch_add(2), 5);
    /// assert_eq!(hits.load(), 7);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    pub fn fetch_add(&self, value: T) -> T {
        T::fetch_add(self.cell(), value)
    }

    /// Subtracts `value`, wrapping around as integers do; what was there before.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Atomic::new(5i32)?.fetch_sub(7), 5);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    pub fn fetch_sub(&self, value: T) -> T {
        T::fetch_sub(self.cell(), value)
    }

    /// Puts the larger of the two there; what was there before.
    ///
    /// # Examples
    /// ```
    /// let best = commons::Atomic::new(1.0f64)?;
    /// best.fetch_max(2.5);
    /// assert_eq!(best.load(), 2.5);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    pub fn fetch_max(&self, value: T) -> T {
        T::fetch_max(self.cell(), value)
    }

    /// Puts the smaller of the two there; what was there before.
    ///
    /// # Examples
    /// ```
    /// let least = commons::Atomic::new(9u8)?;
    /// least.fetch_min(4);
    /// assert_eq!(least.load(), 4);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    pub fn fetch_min(&self, value: T) -> T {
        T::fetch_min(self.cell(), value)
    }
}

impl<T: Bits> Atomic<T> {
    /// Keeps the bits that `value` has too; what was there before.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Atomic::new(0b110u8)?.fetch_and(0b011), 0b110);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    pub fn fetch_and(&self, value: T) -> T {
        T::fetch_and(self.cell(), value)
    }

    /// Adds the bits of `value`; what was there before.
    ///
    /// # Examples
    /// ```
    /// let stop = commons::Atomic::new(false)?;
    /// assert!(!stop.fetch_or(true));                  // we are the one who stopped it
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    pub fn fetch_or(&self, value: T) -> T {
        T::fetch_or(self.cell(), value)
    }

    /// Turns the bits of `value` around; what was there before.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Atomic::new(0b110u8)?.fetch_xor(0b011), 0b110);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    pub fn fetch_xor(&self, value: T) -> T {
        T::fetch_xor(self.cell(), value)
    }
}

impl<T: Word> Options<Atomic<T>> {
    /// [`Atomic::create`] with these options.
    ///
    /// # Errors
    /// As there, and `InvalidInput` for a mode that is not possible.
    ///
    /// # Examples
    /// ```
    /// let name = format!("atomic-options-{}", std::process::id());
    /// let group = commons::Atomic::options().mode(0o660).create(&name, 0u64)?;
    /// assert_eq!(group.info().mode, 0o660);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn create(&self, name: &str, value: T) -> CommonsResult<Atomic<T>> {
        place(Some(name), self.settings(), value)
    }

    /// [`Atomic::open`] with these options.
    ///
    /// # Errors
    /// As there, and `InvalidInput` for a mode that is not possible.
    ///
    /// # Examples
    /// ```
    /// let name = format!("atomic-oopen-{}", std::process::id());
    /// let options = commons::Atomic::options().mode(0o660);
    /// let made = options.create(&name, 0u64)?;
    /// assert_eq!(options.open(&name)?.load(), 0);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn open(&self, name: &str) -> CommonsResult<Atomic<T>> {
        Segment::open(name, self.settings(), &expected::<T>()).map(handle)
    }

    /// [`Atomic::open_or_create`] with these options.
    ///
    /// # Errors
    /// As there, and `InvalidInput` for a mode that is not possible.
    ///
    /// # Examples
    /// ```
    /// let name = format!("atomic-oopen_or_create-{}", std::process::id());
    /// let options = commons::Atomic::options().mode(0o660);
    /// let first = options.open_or_create(&name, 0u64)?;
    /// assert_eq!(options.open_or_create(&name, 1u64)?.load(), 0);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn open_or_create(&self, name: &str, value: T) -> CommonsResult<Atomic<T>> {
        let init = |payload: *mut u8| write(payload, value);
        Segment::open_or_create(name, self.settings(), &expected::<T>(), &layout::<T>(), init).map(handle)
    }
}

fn element<T: Word>() -> Element {
    Element::new(TypeLayout::new::<T>(), short_type_name::<T>(), vec![])
}

fn layout<T: Word>() -> Layout {
    let (payload_len, payload_align) = (size_of::<T>() as u64, align_of::<T>() as u64);
    Layout {
        kind: Kind::Atomic,
        element: element::<T>(),
        shape: vec![],
        payload_len,
        payload_align,
        reserved: None,
    }
}

fn expected<T: Word>() -> Expected {
    Expected {
        kind: Kind::Atomic,
        element: element::<T>(),
        shape: Some(vec![]),
        payload_len: |count| count.checked_mul(size_of::<T>() as u64),
        payload_align: align_of::<T>() as u64,
    }
}

fn place<T: Word>(name: Option<&str>, settings: &Settings, value: T) -> CommonsResult<Atomic<T>> {
    Segment::create(name, settings, &layout::<T>(), |payload| write(payload, value)).map(handle)
}

/// The `init` of a segment made with `layout::<T>()`.
fn write<T: Word>(payload: *mut u8, value: T) {
    // SAFETY: `init` gets the payload of a segment with the layout of `T` and so of its atomic: writable,
    // aligned, and not yet known to anybody else.
    unsafe { payload.cast::<T::Cell>().write(value.cell()) };
}

fn handle<T: Word>(segment: Segment) -> Atomic<T> {
    Atomic { segment, word: PhantomData }
}

impl<T: Word> Clone for Atomic<T> {
    fn clone(&self) -> Self {
        handle(self.segment.clone())
    }
}

impl<T: Word> fmt::Debug for Atomic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} = {:?}", self.segment, self.load())
    }
}

impl<T: Word> Serialize for Atomic<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.segment.serialize(serializer)
    }
}

impl<'de, T: Word> Deserialize<'de> for Atomic<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Segment::deserialize_expecting(deserializer, &expected::<T>()).map(handle)
    }
}
