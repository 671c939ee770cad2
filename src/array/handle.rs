//! Making, opening and describing an array.

use std::{fmt, marker::PhantomData, ops::Range, ptr::NonNull};

use bytemuck::Zeroable;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::layout;
use crate::{
    error::{Error, ErrorKind, Result},
    placed::plain_element,
    plain::Plain,
    raw::claims::RawClaims,
    segment::{Expected, Kind, Layout, Options, Segment, SegmentInfo, Settings},
    shareable::short_type_name,
};

/// Many values of one [`Plain`] type, shared by processes.
///
/// Single elements and copies go through the array's lock; ranges can be claimed and then be used
/// as slices, in parallel where they are disjoint. A process that is killed leaves every element
/// old or new, never a mixture, and its claims end.
///
/// # Examples
/// ```
/// use commons::Array;
///
/// # fn main() -> commons::Result<()> {
/// let array = Array::<f64>::new(1_000)?;
/// std::thread::scope(|scope| {
///     for range in array.split(4) {
///         let array = &array;
///         scope.spawn(move || array.claim(range).unwrap().fill(0.5));
///     }
/// });
/// assert_eq!(array.share(..)?.iter().sum::<f64>(), 500.0);
/// # Ok(()) }
/// ```
#[doc(alias("RawArray", "SynchronizedArray"))]
pub struct Array<T: Plain + Send> {
    segment: Segment,
    len: usize,
    elements: PhantomData<fn(T) -> T>,
}

impl<T: Plain + Send> Array<T> {
    /// An array without a name of `len` zeroes.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`] if there is not that much memory.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Array::<u16>::new(3)?.to_vec(), [0, 0, 0]);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn new(len: usize) -> Result<Self>
    where
        T: Zeroable,
    {
        Self::with_shape([len])
    }

    /// An array without a name of zeroes in up to eight dimensions, the last one contiguous.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for more dimensions, [`ErrorKind::NoSpace`].
    ///
    /// # Examples
    /// ```
    /// let matrix = commons::Array::<f64>::with_shape([20, 30])?;
    /// assert_eq!((matrix.shape(), matrix.len()), (vec![20, 30], 600));
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn with_shape(shape: impl AsRef<[usize]>) -> Result<Self>
    where
        T: Zeroable,
    {
        Self::zeroed(None, &Settings::default(), shape.as_ref())
    }

    /// An array without a name that begins as a copy of `values`.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`] if there is not that much memory.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Array::from_slice(&[1u64, 2])?.to_vec(), [1, 2]);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn from_slice(values: &[T]) -> Result<Self> {
        Self::copied(None, &Settings::default(), values)
    }

    /// An array of `len` zeroes that any process of this user can open by this name.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the name is in use, [`ErrorKind::InvalidName`],
    /// [`ErrorKind::NoSpace`].
    ///
    /// # Examples
    /// ```
    /// # let name = format!("doc-array-create-{}", std::process::id());
    /// let field = commons::Array::<f64>::create(&name, 1_000)?;
    /// field.set(7, 0.5);
    /// assert_eq!(commons::Array::<f64>::open(&name)?.get(7), Some(0.5));
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn create(name: &str, len: usize) -> Result<Self>
    where
        T: Zeroable,
    {
        Self::options().create(name, len)
    }

    /// An array with a name that begins as a copy of `values`.
    ///
    /// # Errors
    /// As [`Array::create`].
    ///
    /// # Examples
    /// ```
    /// # let name = format!("doc-array-from-{}", std::process::id());
    /// let _primes = commons::Array::create_from(&name, &[2u32, 3, 5])?;
    /// assert_eq!(commons::Array::<u32>::open(&name)?.len(), 3);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn create_from(name: &str, values: &[T]) -> Result<Self> {
        Self::options().create_from(name, values)
    }

    /// The array of this name, of whatever length and shape it is.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if nobody uses one, [`ErrorKind::Mismatch`] if it is of another kind or
    /// type, [`ErrorKind::Corrupt`], [`ErrorKind::OtherNamespace`].
    ///
    /// # Examples
    /// ```
    /// assert!(commons::Array::<u8>::open("doc-no-such-array").is_err());
    /// ```
    pub fn open(name: &str) -> Result<Self> {
        Self::options().open(name)
    }

    /// The array of this name, which must have `len` elements; if nobody uses one, a new one.
    ///
    /// # Errors
    /// As [`Array::open`] and [`Array::create`]; [`ErrorKind::Mismatch`] for another length.
    ///
    /// # Examples
    /// ```
    /// # let name = format!("doc-array-either-{}", std::process::id());
    /// let first = commons::Array::<u8>::open_or_create(&name, 3)?;
    /// assert!(commons::Array::<u8>::open_or_create(&name, 4).is_err());
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn open_or_create(name: &str, len: usize) -> Result<Self>
    where
        T: Zeroable,
    {
        Self::options().open_or_create(name, len)
    }

    /// Access by others and persistence of the name.
    ///
    /// # Examples
    /// ```
    /// # let name = format!("doc-array-options-{}", std::process::id());
    /// let _grid = commons::Array::<f32>::options().mode(0o660).create_with_shape(&name, [4, 5])?;
    /// assert_eq!(commons::Array::<f32>::options().mode(0o660).open(&name)?.shape(), [4, 5]);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn options() -> Options<Self> {
        Options::new()
    }

    /// How many elements there are.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Array::<u8>::with_shape([3, 4])?.len(), 12);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many elements there are in each dimension; they lie in memory with the last one
    /// contiguous.
    pub fn shape(&self) -> Vec<usize> {
        // 64 bits both, which a segment's header says and its opener checks.
        self.segment.shape().iter().map(|&side| side as usize).collect()
    }

    /// `parts` disjoint ranges that cover the array, in order, none longer than another by more than
    /// one: one for each worker. No more ranges than elements, and one empty range for an empty array.
    ///
    /// # Panics
    /// If `parts` is 0.
    ///
    /// # Examples
    /// ```
    /// let array = commons::Array::<u8>::new(10)?;
    /// assert_eq!(array.split(3).collect::<Vec<_>>(), [0..4, 4..7, 7..10]);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[track_caller]
    pub fn split(&self, parts: usize) -> impl ExactSizeIterator<Item = Range<usize>> + use<T> {
        assert!(parts > 0, "an array cannot be split into 0 parts");
        let parts = parts.min(self.len).max(1);
        let (size, longer) = (self.len / parts, self.len % parts);
        let start = move |part: usize| part * size + part.min(longer);
        (0..parts).map(move |part| start(part)..start(part + 1))
    }

    /// The name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.segment.name()
    }

    /// What is in the segment, and who is attached.
    pub fn info(&self) -> SegmentInfo {
        self.segment.info()
    }

    /// Where claims, undo record and elements lie.
    pub(super) fn payload(&self) -> NonNull<u8> {
        self.segment.payload()
    }

    fn zeroed(name: Option<&str>, settings: &Settings, shape: &[usize]) -> Result<Self>
    where
        T: Zeroable,
    {
        // The payload is zeroed, which is a value of a `Zeroable`, and free claims.
        Self::of(Segment::create(name, settings, &layout_of::<T>(shape)?, |_| {})?)
    }

    pub(super) fn of(segment: Segment) -> Result<Self> {
        let count = segment.shape().iter().try_fold(1u64, |count, &n| count.checked_mul(n));
        let len = count.and_then(|count| usize::try_from(count).ok());
        let len =
            len.ok_or_else(|| Error::new(ErrorKind::Corrupt, "the array has more elements than memory"))?;
        Ok(Self { segment, len, elements: PhantomData })
    }
}

impl<T: Plain + Send> Options<Array<T>> {
    /// Makes an array of `len` zeroes with this name.
    ///
    /// # Errors
    /// As [`Array::create`].
    pub fn create(&self, name: &str, len: usize) -> Result<Array<T>>
    where
        T: Zeroable,
    {
        self.create_with_shape(name, [len])
    }

    /// Makes an array of zeroes in up to eight dimensions with this name.
    ///
    /// # Errors
    /// As [`Array::create`] and [`Array::with_shape`].
    pub fn create_with_shape(&self, name: &str, shape: impl AsRef<[usize]>) -> Result<Array<T>>
    where
        T: Zeroable,
    {
        Array::zeroed(Some(name), self.settings(), shape.as_ref())
    }

    /// Makes an array with this name that begins as a copy of `values`.
    ///
    /// # Errors
    /// As [`Array::create`].
    pub fn create_from(&self, name: &str, values: &[T]) -> Result<Array<T>> {
        Array::copied(Some(name), self.settings(), values)
    }

    /// Opens the array of this name.
    ///
    /// # Errors
    /// As [`Array::open`].
    pub fn open(&self, name: &str) -> Result<Array<T>> {
        Array::of(Segment::open(name, self.settings(), &expected::<T>(None))?)
    }

    /// Opens the array of this name, which must have `len` elements, or makes one.
    ///
    /// # Errors
    /// As [`Array::open_or_create`].
    pub fn open_or_create(&self, name: &str, len: usize) -> Result<Array<T>>
    where
        T: Zeroable,
    {
        let expected = expected::<T>(Some(vec![len as u64]));
        Array::of(Segment::open_or_create(
            name,
            self.settings(),
            &expected,
            &layout_of::<T>(&[len])?,
            |_| {},
        )?)
    }
}

const fn payload_align<T>() -> u64 {
    let (claims, element) = (align_of::<RawClaims>() as u64, align_of::<T>() as u64);
    if claims > element { claims } else { element }
}

pub(super) fn layout_of<T>(shape: &[usize]) -> Result<Layout> {
    let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
    let count = shape.iter().try_fold(1u64, |count, &n| count.checked_mul(n));
    let payload_len = count.and_then(layout::payload_len::<T>).ok_or_else(|| {
        let (name, size) = (short_type_name::<T>(), size_of::<T>());
        let message =
            format!("an array of shape {shape:?} of {name} ({size} bytes each) is larger than any memory");
        Error::new(ErrorKind::NoSpace, message)
    })?;
    Ok(Layout {
        kind: Kind::Array,
        element: plain_element::<T>(),
        shape,
        payload_len,
        payload_align: payload_align::<T>(),
        reserved: None,
    })
}

fn expected<T>(shape: Option<Vec<u64>>) -> Expected {
    Expected {
        kind: Kind::Array,
        element: plain_element::<T>(),
        shape,
        payload_len: layout::payload_len::<T>,
        payload_align: payload_align::<T>(),
    }
}

impl<T: Plain + Send> Clone for Array<T> {
    fn clone(&self) -> Self {
        Self { segment: self.segment.clone(), len: self.len, elements: PhantomData }
    }
}

impl<T: Plain + Send> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Array");
        if let Some(name) = self.name() {
            debug.field("name", &name);
        }
        debug.field("type", &short_type_name::<T>()).field("shape", &self.shape()).finish()
    }
}

impl<T: Plain + Send> Serialize for Array<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.segment.serialize(serializer)
    }
}

impl<'de, T: Plain + Send> Deserialize<'de> for Array<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let segment = Segment::deserialize_expecting(deserializer, &expected::<T>(None))?;
        Self::of(segment).map_err(serde::de::Error::custom)
    }
}
