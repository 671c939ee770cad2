//! Many numbers that all processes change without a lock.
//!
//! # Safety
//! This file hands out `&` to the atomics in a segment, after a look at the index.

#![allow(unsafe_code)]

use std::{alloc::Layout as TypeLayout, fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::word::{self, Bits, Number, Word};
use crate::{
    error::Result as CommonsResult,
    segment::{Element, Expected, Kind, Layout, Options, Segment, SegmentInfo, Settings},
    shareable::short_type_name,
};

/// Many numbers, each of which all processes change without a lock, sequentially consistent.
///
/// The elements are those of [`Atomic`](crate::Atomic). There are no slices of them: for
/// `&mut [T]` there is [`Array`](crate::Array). A handle, as `Atomic` is.
///
/// # Panics
/// Every function that takes an index panics when that is not below [`len`](Self::len).
///
/// # Examples
/// ```
/// use commons::AtomicArray;
///
/// # fn main() -> commons::Result<()> {
/// let lanes = AtomicArray::<u64>::new(8)?;
/// lanes.fetch_add(3, 1);
/// assert_eq!(lanes.to_vec(), [0, 0, 0, 1, 0, 0, 0, 0]);
/// # Ok(()) }
/// ```
pub struct AtomicArray<T: Word> {
    // INVARIANT: the payload has `len` elements with the size and alignment of `T`.
    segment: Segment,
    len: usize,
    word: PhantomData<T>,
}

impl<T: Word> AtomicArray<T> {
    /// An anonymous object of `len` zeros: those have it who are handed a handle.
    ///
    /// # Errors
    /// `NoSpace` if there is no memory for it.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::AtomicArray::<f64>::new(3)?.to_vec(), [0.0; 3]);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn new(len: usize) -> CommonsResult<Self> {
        Segment::create(None, &Settings::default(), &layout::<T>(len), |_| {}).map(handle)
    }

    /// A new object of `len` zeros with this name.
    ///
    /// # Errors
    /// `AlreadyExists` if something has the name, `InvalidName`, `NoSpace`.
    ///
    /// # Examples
    /// ```
    /// use commons::AtomicArray;
    ///
    /// # fn main() -> commons::Result<()> {
    /// let name = format!("atomics-create-{}", std::process::id());
    /// let lanes = AtomicArray::<u32>::create(&name, 4)?;
    /// assert_eq!(lanes.name(), Some(name.as_str()));
    /// # Ok(()) }
    /// ```
    pub fn create(name: &str, len: usize) -> CommonsResult<Self> {
        Self::options().create(name, len)
    }

    /// The object of this name, of whatever length.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Mismatch` if it holds something else than `T`s, `InvalidName`,
    /// `Corrupt`, `Denied`, `OtherNamespace`.
    ///
    /// # Examples
    /// ```
    /// use commons::AtomicArray;
    ///
    /// # fn main() -> commons::Result<()> {
    /// let name = format!("atomics-open-{}", std::process::id());
    /// let lanes = AtomicArray::<u32>::create(&name, 4)?;
    /// assert_eq!(AtomicArray::<u32>::open(&name)?.len(), 4);
    /// # Ok(()) }
    /// ```
    pub fn open(name: &str) -> CommonsResult<Self> {
        Self::options().open(name)
    }

    /// The object of this name and length, a new one of zeros if there is none.
    ///
    /// # Errors
    /// `Mismatch` if it has another length; otherwise as [`open`](Self::open) and
    /// [`create`](Self::create), without `NotFound` and `AlreadyExists`.
    ///
    /// # Examples
    /// ```
    /// use commons::{AtomicArray, ErrorKind};
    ///
    /// # fn main() -> commons::Result<()> {
    /// let name = format!("atomics-both-{}", std::process::id());
    /// let lanes = AtomicArray::<u32>::open_or_create(&name, 4)?;
    /// let wrong = AtomicArray::<u32>::open_or_create(&name, 5).unwrap_err();
    /// assert_eq!(wrong.kind(), ErrorKind::Mismatch);
    /// # Ok(()) }
    /// ```
    pub fn open_or_create(name: &str, len: usize) -> CommonsResult<Self> {
        Self::options().open_or_create(name, len)
    }

    /// How to make or open a named object otherwise than by default.
    ///
    /// # Examples
    /// ```
    /// let wrong = commons::AtomicArray::<u64>::options().mode(0o777).open("x").unwrap_err();
    /// assert_eq!(wrong.kind(), commons::ErrorKind::InvalidInput);
    /// ```
    pub fn options() -> Options<Self> {
        Options::new()
    }

    /// The name, `None` for an anonymous object.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::AtomicArray::<u8>::new(2)?.name(), None);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.segment.name()
    }

    /// What it is, how large, and who has it.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::AtomicArray::<u8>::new(2)?.info().shape, [2]);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn info(&self) -> SegmentInfo {
        self.segment.info()
    }

    /// How many elements there are.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::AtomicArray::<u8>::new(2)?.len(), 2);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no element.
    ///
    /// # Examples
    /// ```
    /// assert!(commons::AtomicArray::<u8>::new(0)?.is_empty());
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All elements, each as it was when it was looked at.
    ///
    /// # Examples
    /// ```
    /// let lanes = commons::AtomicArray::<bool>::new(2)?;
    /// lanes.store(1, true);
    /// assert_eq!(lanes.to_vec(), [false, true]);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn to_vec(&self) -> Vec<T> {
        (0..self.len).map(|index| self.load(index)).collect()
    }

    #[inline]
    #[track_caller]
    fn cell(&self, index: usize) -> &T::Cell {
        assert!(index < self.len, "element {index} of an AtomicArray of {} elements", self.len);
        let first: *const T::Cell = self.segment.payload().as_ptr().cast_const().cast();
        // SAFETY: the payload has `len` elements of this size, and the index is below that.
        let cell = unsafe { first.add(index) };
        // SAFETY: inside the payload, aligned, mapped as long as `self` lives; any bytes are a valid
        // integer atomic.
        unsafe { &*cell }
    }
}

impl<T: Word> AtomicArray<T> {
    /// What element `index` holds.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::AtomicArray::<u8>::new(2)?.load(1), 0);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn load(&self, index: usize) -> T {
        T::load(self.cell(index))
    }

    /// Puts `value` into element `index`.
    ///
    /// # Examples
    /// ```
    /// let flags = commons::AtomicArray::<bool>::new(2)?;
    /// flags.store(1, true);
    /// assert!(flags.load(1));
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn store(&self, index: usize, value: T) {
        T::store(self.cell(index), value);
    }

    /// Puts `value` there; what was there before.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::AtomicArray::<f64>::new(2)?.swap(1, 2.5), 0.0);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn swap(&self, index: usize, value: T) -> T {
        T::swap(self.cell(index), value)
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
    /// let owners = commons::AtomicArray::<u32>::new(2)?;
    /// assert_eq!(owners.compare_exchange(1, 0, 7), Ok(0));
    /// assert_eq!(owners.compare_exchange(1, 0, 8), Err(7));
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn compare_exchange(&self, index: usize, current: T, new: T) -> Result<T, T> {
        T::compare_exchange(self.cell(index), current, new)
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
    /// let seats = commons::AtomicArray::<u32>::new(2)?;
    /// assert_eq!(seats.fetch_update(1, |n| n.checked_sub(1)), Err(0));
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn fetch_update(&self, index: usize, change: impl FnMut(T) -> Option<T>) -> Result<T, T> {
        word::update(self.cell(index), change)
    }
}

impl<T: Number> AtomicArray<T> {
    /// Adds `value`, wrapping around as integers do; what was there before.
    ///
    /// # Examples
    /// ```
    /// let lanes = commons::AtomicArray::<u64>::new(2)?;
    /// lanes.fetch_add(1, 2);
    /// assert_eq!(lanes.fetch_add(1, 2), 2);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn fetch_add(&self, index: usize, value: T) -> T {
        T::fetch_add(self.cell(index), value)
    }

    /// Subtracts `value`, wrapping around as integers do; what was there before.
    ///
    /// # Examples
    /// ```
    /// let lanes = commons::AtomicArray::<i32>::new(2)?;
    /// lanes.fetch_sub(1, 2);
    /// assert_eq!(lanes.load(1), -2);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn fetch_sub(&self, index: usize, value: T) -> T {
        T::fetch_sub(self.cell(index), value)
    }

    /// Puts the larger of the two there; what was there before.
    ///
    /// # Examples
    /// ```
    /// let best = commons::AtomicArray::<f64>::new(2)?;
    /// best.fetch_max(1, 2.5);
    /// assert_eq!(best.load(1), 2.5);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn fetch_max(&self, index: usize, value: T) -> T {
        T::fetch_max(self.cell(index), value)
    }

    /// Puts the smaller of the two there; what was there before.
    ///
    /// # Examples
    /// ```
    /// let least = commons::AtomicArray::<i8>::new(2)?;
    /// least.fetch_min(1, -4);
    /// assert_eq!(least.load(1), -4);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn fetch_min(&self, index: usize, value: T) -> T {
        T::fetch_min(self.cell(index), value)
    }
}

impl<T: Bits> AtomicArray<T> {
    /// Keeps the bits that `value` has too; what was there before.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::AtomicArray::<u8>::new(2)?.fetch_and(1, 0b11), 0);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn fetch_and(&self, index: usize, value: T) -> T {
        T::fetch_and(self.cell(index), value)
    }

    /// Adds the bits of `value`; what was there before.
    ///
    /// # Examples
    /// ```
    /// let stops = commons::AtomicArray::<bool>::new(2)?;
    /// assert!(!stops.fetch_or(1, true));
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn fetch_or(&self, index: usize, value: T) -> T {
        T::fetch_or(self.cell(index), value)
    }

    /// Turns the bits of `value` around; what was there before.
    ///
    /// # Examples
    /// ```
    /// let flags = commons::AtomicArray::<u8>::new(2)?;
    /// flags.fetch_xor(1, 0b11);
    /// assert_eq!(flags.load(1), 0b11);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn fetch_xor(&self, index: usize, value: T) -> T {
        T::fetch_xor(self.cell(index), value)
    }
}

impl<T: Word> Options<AtomicArray<T>> {
    /// [`AtomicArray::create`] with these options.
    ///
    /// # Errors
    /// As there, and `InvalidInput` for a mode that is not possible.
    ///
    /// # Examples
    /// ```
    /// let name = format!("atomics-options-{}", std::process::id());
    /// let group = commons::AtomicArray::<u64>::options().mode(0o660).create(&name, 3)?;
    /// assert_eq!(group.info().mode, 0o660);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn create(&self, name: &str, len: usize) -> CommonsResult<AtomicArray<T>> {
        Segment::create(Some(name), self.settings(), &layout::<T>(len), |_| {}).map(handle)
    }

    /// [`AtomicArray::open`] with these options.
    ///
    /// # Errors
    /// As there, and `InvalidInput` for a mode that is not possible.
    ///
    /// # Examples
    /// ```
    /// let name = format!("atomics-oopen-{}", std::process::id());
    /// let options = commons::AtomicArray::<u64>::options().mode(0o660);
    /// let made = options.create(&name, 4)?;
    /// assert_eq!(options.open(&name)?.len(), 4);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn open(&self, name: &str) -> CommonsResult<AtomicArray<T>> {
        Segment::open(name, self.settings(), &expected::<T>(None)).map(handle)
    }

    /// [`AtomicArray::open_or_create`] with these options.
    ///
    /// # Errors
    /// As there, and `InvalidInput` for a mode that is not possible.
    ///
    /// # Examples
    /// ```
    /// let name = format!("atomics-oopen_or_create-{}", std::process::id());
    /// let options = commons::AtomicArray::<u64>::options().mode(0o660);
    /// let first = options.open_or_create(&name, 4)?;
    /// assert_eq!(options.open_or_create(&name, 4)?.len(), 4);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn open_or_create(&self, name: &str, len: usize) -> CommonsResult<AtomicArray<T>> {
        let (expected, layout) = (expected::<T>(Some(len)), layout::<T>(len));
        Segment::open_or_create(name, self.settings(), &expected, &layout, |_| {}).map(handle)
    }
}

fn element<T: Word>() -> Element {
    Element::new(TypeLayout::new::<T>(), short_type_name::<T>(), vec![])
}

fn payload_len<T: Word>(count: u64) -> Option<u64> {
    count.checked_mul(size_of::<T>() as u64)
}

fn layout<T: Word>(len: usize) -> Layout {
    Layout {
        kind: Kind::AtomicArray,
        element: element::<T>(),
        shape: vec![len as u64],
        // Longer than any file, where even a number cannot say it: refused with the same sentence.
        payload_len: payload_len::<T>(len as u64).unwrap_or(u64::MAX),
        payload_align: align_of::<T>() as u64,
        reserved: None,
    }
}

fn expected<T: Word>(len: Option<usize>) -> Expected {
    Expected {
        kind: Kind::AtomicArray,
        element: element::<T>(),
        shape: len.map(|len| vec![len as u64]),
        payload_len: payload_len::<T>,
        payload_align: align_of::<T>() as u64,
    }
}

/// The segment was made with `layout` or checked against `expected`, so its length is whole elements.
fn handle<T: Word>(segment: Segment) -> AtomicArray<T> {
    let len = segment.payload_len() / size_of::<T>();
    AtomicArray { segment, len, word: PhantomData }
}

impl<T: Word> Clone for AtomicArray<T> {
    fn clone(&self) -> Self {
        handle(self.segment.clone())
    }
}

impl<T: Word> fmt::Debug for AtomicArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {} elements", self.segment, self.len)
    }
}

impl<T: Word> Serialize for AtomicArray<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.segment.serialize(serializer)
    }
}

impl<'de, T: Word> Deserialize<'de> for AtomicArray<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Segment::deserialize_expecting(deserializer, &expected::<T>(None)).map(handle)
    }
}
