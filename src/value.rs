//! One value in a segment of its own.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    deadline::Deadline,
    error::{Error, ErrorKind, Result},
    placed::{Placed, plain_element},
    plain::Plain,
    segment::{Kind, Options, SegmentInfo, Settings},
    sync::{Versioned, VersionedGuard},
};

/// A value of any [`Plain`] type, shared by processes, that changes whole or not at all.
///
/// Reading takes no lock. Changing is one step, however long it takes: one writer at a time, and a
/// writer that panics or is killed leaves the value as it was. Cloning makes another handle on the
/// same value; so does sending the handle to another process.
///
/// # Examples
/// ```
/// use commons::Value;
///
/// # fn main() -> commons::Result<()> {
/// let best = Value::new(0.0f64)?;
/// best.set(1.5);
/// best.update(|b| *b = b.max(3.0));
/// {
///     let mut guard = best.lock();
///     *guard += 1.0;                  // a private copy, committed when the guard goes
/// }
/// assert_eq!(best.get(), 4.0);
/// # Ok(()) }
/// ```
///
/// An address means nothing in another process, so what holds one does not compile: a reference,
///
/// ```compile_fail,E0277
/// let text = commons::Value::new("abc")?;
/// # Ok::<(), commons::Error>(())
/// ```
///
/// or what has its bytes on the heap.
///
/// ```compile_fail,E0277
/// let text = commons::Value::new(String::from("abc"))?;
/// # Ok::<(), commons::Error>(())
/// ```
#[doc(alias("RawValue", "Synchronized"))]
pub struct Value<T: Plain + Send> {
    cell: Placed<Versioned<T>>,
}

impl<T: Plain + Send> Value<T> {
    /// A value without a name, for those who are handed this handle.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`] if there is no memory or no descriptor left.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Value::new(7u64)?.get(), 7);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn new(value: T) -> Result<Self> {
        Self::make(None, &Settings::default(), value)
    }

    /// A value that any process of this user can open by this name.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the name is in use, [`ErrorKind::InvalidName`],
    /// [`ErrorKind::NoSpace`].
    ///
    /// # Examples
    /// ```
    /// # let name = format!("doc-value-create-{}", std::process::id());
    /// let best = commons::Value::create(&name, 1.5f64)?;
    /// assert_eq!(commons::Value::<f64>::open(&name)?.get(), 1.5);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn create(name: &str, value: T) -> Result<Self> {
        Self::options().create(name, value)
    }

    /// The value of this name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if nobody uses one, [`ErrorKind::Mismatch`] if it is of another kind or
    /// type, [`ErrorKind::Corrupt`], [`ErrorKind::OtherNamespace`].
    ///
    /// # Examples
    /// ```
    /// assert!(commons::Value::<u8>::open("doc-no-such-value").is_err());
    /// ```
    pub fn open(name: &str) -> Result<Self> {
        Self::options().open(name)
    }

    /// The value of this name; if nobody uses one, a new one that holds `value`.
    ///
    /// # Errors
    /// As [`Value::open`] and [`Value::create`].
    ///
    /// # Examples
    /// ```
    /// # let name = format!("doc-value-either-{}", std::process::id());
    /// let first = commons::Value::open_or_create(&name, 1u8)?;
    /// assert_eq!(commons::Value::open_or_create(&name, 2u8)?.get(), 1);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn open_or_create(name: &str, value: T) -> Result<Self> {
        Self::options().open_or_create(name, value)
    }

    /// Access by others and persistence of the name.
    ///
    /// # Examples
    /// ```
    /// # let name = format!("doc-value-options-{}", std::process::id());
    /// let value = commons::Value::options().mode(0o660).create(&name, 1u8)?;
    /// assert!(commons::Value::<u8>::options().mode(0o660).open(&name).is_ok());
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn options() -> Options<Self> {
        Options::new()
    }

    /// A copy of the value, taken without a lock.
    ///
    /// # Panics
    /// If another process wrote bytes that are no value of `T`; [`Value::try_get`] tells instead.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Value::new('x')?.get(), 'x');
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[doc(alias = "value")]
    #[inline]
    #[track_caller]
    pub fn get(&self) -> T {
        self.cell.get()
    }

    /// A copy of the value, taken without a lock.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if another process wrote bytes that are no value of `T`.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Value::new(true)?.try_get()?, true);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn try_get(&self) -> Result<T> {
        self.cell.try_get()
    }

    /// Replaces the value.
    ///
    /// # Panics
    /// If the calling thread holds a guard of this value.
    ///
    /// # Examples
    /// ```
    /// let value = commons::Value::new([0u64; 8])?;
    /// value.set([1; 8]);
    /// assert_eq!(value.get(), [1; 8]);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn set(&self, value: T) {
        self.cell.set(value);
    }

    /// Reads, changes and writes back as one step, in all processes; returns what `change` returns.
    ///
    /// `change` works on a private copy. If it panics, nothing has changed.
    ///
    /// # Panics
    /// If the calling thread holds a guard of this value, or the value is corrupt.
    ///
    /// # Examples
    /// ```
    /// let hits = commons::Value::new(0u64)?;
    /// let ticket = hits.update(|h| { *h += 1; *h });
    /// assert_eq!(ticket, 1);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[doc(alias = "get_lock")]
    #[inline]
    #[track_caller]
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        self.cell.update(change)
    }

    /// Waits until nobody else changes the value, and returns a private copy that is written back
    /// when the guard goes.
    ///
    /// A panic or a kill before that writes nothing.
    ///
    /// # Panics
    /// If the calling thread holds a guard of this value already, or the value is corrupt.
    ///
    /// # Examples
    /// ```
    /// let value = commons::Value::new(1u8)?;
    /// *value.lock() += 1;
    /// assert_eq!(value.get(), 2);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[doc(alias = "acquire")]
    #[track_caller]
    pub fn lock(&self) -> ValueGuard<'_, T> {
        ValueGuard { guard: self.cell.lock() }
    }

    /// As [`Value::lock`], if nobody changes the value now.
    ///
    /// # Panics
    /// If the value is corrupt, or the calling thread holds 1024 locks.
    ///
    /// # Examples
    /// ```
    /// let value = commons::Value::new(1u8)?;
    /// let guard = value.try_lock().unwrap();
    /// assert!(value.try_lock().is_none());
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn try_lock(&self) -> Option<ValueGuard<'_, T>> {
        self.cell.try_lock().map(|guard| ValueGuard { guard })
    }

    /// As [`Value::lock`], unless the others take longer than `timeout`.
    ///
    /// # Panics
    /// As [`Value::lock`].
    ///
    /// # Examples
    /// ```
    /// let value = commons::Value::new(1u8)?;
    /// assert!(value.lock_timeout(std::time::Duration::from_millis(5)).is_some());
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[track_caller]
    pub fn lock_timeout(&self, timeout: Duration) -> Option<ValueGuard<'_, T>> {
        self.cell.lock_deadline(Deadline::after(timeout)).map(|guard| ValueGuard { guard })
    }

    /// Sleeps until some process makes `wanted` true of the value; returns the value that was.
    ///
    /// `wanted` is asked of a copy, at least once, and again after changes.
    ///
    /// # Panics
    /// If the value is corrupt.
    ///
    /// # Examples
    /// ```
    /// let stage = commons::Value::new(0u32)?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| stage.set(3));
    ///     assert_eq!(stage.wait_until(|&s| s > 2), 3);
    /// });
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[track_caller]
    pub fn wait_until(&self, wanted: impl FnMut(&T) -> bool) -> T {
        match self.cell.wait_until(wanted, Deadline::NEVER) {
            Some(value) => value,
            None => unreachable!("never has passed"),
        }
    }

    /// As [`Value::wait_until`], but no longer than `timeout`.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if nobody made it true in time.
    ///
    /// # Panics
    /// If the value is corrupt.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let stage = commons::Value::new(0u32)?;
    /// assert!(stage.wait_until_timeout(|&s| s > 2, Duration::from_millis(5)).is_err());
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[track_caller]
    pub fn wait_until_timeout(&self, wanted: impl FnMut(&T) -> bool, timeout: Duration) -> Result<T> {
        self.cell.wait_until(wanted, Deadline::after(timeout)).ok_or_else(|| {
            let message = format!("no process made the value as wanted within {timeout:?}");
            Error::new(ErrorKind::TimedOut, message)
        })
    }

    /// The name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.cell.name()
    }

    /// What is in the segment, and who is attached.
    pub fn info(&self) -> SegmentInfo {
        self.cell.info()
    }

    fn make(name: Option<&str>, settings: &Settings, value: T) -> Result<Self> {
        let element = plain_element::<T>();
        Placed::create(name, settings, Kind::Value, element, Versioned::new(value)).map(|cell| Self { cell })
    }
}

impl<T: Plain + Send> Options<Value<T>> {
    /// Makes a value with this name.
    ///
    /// # Errors
    /// As [`Value::create`].
    pub fn create(&self, name: &str, value: T) -> Result<Value<T>> {
        Value::make(Some(name), self.settings(), value)
    }

    /// Opens the value of this name.
    ///
    /// # Errors
    /// As [`Value::open`].
    pub fn open(&self, name: &str) -> Result<Value<T>> {
        Placed::open(name, self.settings(), Kind::Value, plain_element::<T>()).map(|cell| Value { cell })
    }

    /// Opens the value of this name, or makes one.
    ///
    /// # Errors
    /// As [`Value::open_or_create`].
    pub fn open_or_create(&self, name: &str, value: T) -> Result<Value<T>> {
        let cell = Versioned::new(value);
        Placed::open_or_create(name, self.settings(), Kind::Value, plain_element::<T>(), cell)
            .map(|cell| Value { cell })
    }
}

impl<T: Plain + Send> Clone for Value<T> {
    fn clone(&self) -> Self {
        Self { cell: self.cell.clone() }
    }
}

impl<T: Plain + Send + fmt::Debug> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Value");
        if let Some(name) = self.name() {
            debug.field("name", &name);
        }
        match self.try_get() {
            Ok(value) => debug.field("value", &value),
            Err(_) => debug.field("value", &format_args!("<corrupt>")),
        };
        debug.finish()
    }
}

impl<T: Plain + Send> Serialize for Value<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.cell.serialize(serializer)
    }
}

impl<'de, T: Plain + Send> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Placed::deserialize(deserializer, Kind::Value, plain_element::<T>()).map(|cell| Self { cell })
    }
}

/// The private copy of a [`Value`] that its owner changes; written back when this is dropped, unless
/// the thread panics.
///
/// It stays on its thread, since it is a thread that the kernel knows as the owner. A guard that is
/// leaked (`mem::forget`) writes nothing and keeps others from changing the value until its
/// thread ends.
///
/// ```compile_fail,E0277
/// let value = commons::Value::new(1u8)?;
/// let guard = value.lock();
/// std::thread::scope(|scope| scope.spawn(move || drop(guard)).join().unwrap());
/// # Ok::<(), commons::Error>(())
/// ```
#[must_use = "the value is written back at once if the guard is not kept"]
pub struct ValueGuard<'a, T: Plain + Send> {
    guard: VersionedGuard<'a, T>,
}

impl<T: Plain + Send> Deref for ValueGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard.value
    }
}

impl<T: Plain + Send> DerefMut for ValueGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard.value
    }
}

impl<T: Plain + Send + fmt::Debug> fmt::Debug for ValueGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.guard.value.fmt(f)
    }
}
