//! A structure of the user's own, in shared memory and used in place.

use std::{alloc::Layout as MemoryLayout, fmt, ops::Deref};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    error::Result,
    placed::Placed,
    segment::{Element, Kind, Options, SegmentInfo, Settings},
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
///
/// A plain number does not compile, since `&T` is handed out while others write:
///
/// ```compile_fail,E0277
/// let hits = commons::Shared::new(0u64)?;
/// # Ok::<(), commons::Error>(())
/// ```
pub struct Shared<T: Shareable> {
    placed: Placed<T>,
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
        Self::make(None, &Settings::default(), value)
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
        this.placed.name()
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
        this.placed.info()
    }

    fn make(name: Option<&str>, settings: &Settings, value: T) -> Result<Self> {
        Placed::create(name, settings, Kind::Shared, element::<T>(), value).map(|placed| Self { placed })
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
        Shared::make(Some(name), self.settings(), value)
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
        Placed::open(name, self.settings(), Kind::Shared, element::<T>()).map(|placed| Shared { placed })
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
        Placed::open_or_create(name, self.settings(), Kind::Shared, element::<T>(), value)
            .map(|placed| Shared { placed })
    }
}

fn element<T: Shareable>() -> Element {
    Element::new(MemoryLayout::new::<T>(), T::type_name(), T::fields())
}

impl<T: Shareable> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.placed
    }
}

impl<T: Shareable> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self { placed: self.placed.clone() }
    }
}

impl<T: Shareable> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.placed.fmt(f)
    }
}

impl<T: Shareable> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.placed.serialize(serializer)
    }
}

impl<'de, T: Shareable> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Placed::deserialize(deserializer, Kind::Shared, element::<T>()).map(|placed| Self { placed })
    }
}
