//! Mutual exclusion between processes, with the value inside.
//!
//! # Safety
//! Turns "holds the lock" into `&mut T`.

#![allow(unsafe_code)]

use std::{
    cell::UnsafeCell,
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    thread,
    time::Duration,
};

use bytemuck::Pod;

use crate::{
    deadline::Deadline,
    error::{Error, ErrorKind},
    raw::mutex::{Acquired, LockFault, RawMutex},
    shareable::{Shareable, short_type_name},
};

/// A lock around a value that is changed in place, by any thread of any process.
///
/// As [`std::sync::Mutex`], and it costs what that costs. When the owner dies, or panics, inside,
/// the next locker gets [`OwnerDied`] with the guard in it: the value may be half-changed. Look at
/// it, mend it and call [`MutexGuard::mark_consistent`]; until somebody does, every locker is told.
///
/// The value must be [`Pod`]: whatever bytes a dead or hostile process leaves, they are a value.
/// Outside a segment (on the stack, in a `Box`) it is an ordinary lock within this process.
///
/// ```compile_fail,E0277
/// let text = commons::Shared::new(commons::sync::Mutex::new('a'))?;      // not every number is a `char`
/// # Ok::<(), commons::Error>(())
/// ```
///
/// # Examples
/// ```
/// use commons::{Shared, sync::{Mutex, MutexGuard}};
///
/// # fn main() -> commons::Result<()> {
/// let table = Shared::new(Mutex::new([0u64; 512]))?;
/// match table.lock() {
///     Ok(mut guard) => guard[0] += 1,
///     Err(died) => {
///         let mut guard = died.into_guard();
///         guard.fill(0);
///         MutexGuard::mark_consistent(&mut guard);
///     }
/// }
/// # Ok(()) }
/// ```
#[doc(alias = "Lock")]
#[repr(C)]
pub struct Mutex<T> {
    raw: RawMutex,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by the holder of the lock only, and `T` may move between threads.
unsafe impl<T: Pod + Send> Sync for Mutex<T> {}

// SAFETY: any bytes are a valid `T: Pod`, and words that the lock compares. `repr(C)`, no address that
// is followed, no `Drop` (`T: Copy`).
unsafe impl<T: Pod + Send> Shareable for Mutex<T> {
    fn type_name() -> String {
        format!("Mutex<{}>", short_type_name::<T>())
    }

    fn reset(&mut self) {
        self.raw = RawMutex::new();
    }
}

/// What [`Mutex::lock`] returns: the guard, or the guard with the news that an owner died.
pub type LockResult<G> = Result<G, OwnerDied<G>>;

impl<T: Pod + Send> Mutex<T> {
    /// A free lock around `value`.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(*commons::sync::Mutex::new(5u64).lock().unwrap(), 5);
    /// ```
    pub const fn new(value: T) -> Self {
        Self { raw: RawMutex::new(), value: UnsafeCell::new(value) }
    }

    /// Waits until nobody holds the lock, and takes it.
    ///
    /// # Errors
    /// [`OwnerDied`] if an owner died or panicked inside and nobody has marked the value consistent
    /// since. The lock is held then too.
    ///
    /// # Panics
    /// If the calling thread holds the lock already, or holds 1024 locks.
    ///
    /// # Examples
    /// ```
    /// let mutex = commons::sync::Mutex::new([1u64, 2]);
    /// mutex.lock().unwrap()[1] = 3;
    /// assert_eq!(*mutex.lock().unwrap(), [1, 3]);
    /// ```
    #[doc(alias = "acquire")]
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        match self.raw.lock() {
            Ok(acquired) => self.guard(acquired),
            Err(fault) => panic!("{}", fault.sentence()),
        }
    }

    /// Takes the lock if it is free now.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if anybody holds it, the calling thread too;
    /// [`TryLockError::OwnerDied`] as [`Mutex::lock`].
    ///
    /// # Panics
    /// If the calling thread holds 1024 locks.
    ///
    /// # Examples
    /// ```
    /// use commons::sync::{Mutex, TryLockError};
    ///
    /// let mutex = Mutex::new(0u8);
    /// let guard = mutex.try_lock().unwrap();
    /// assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
    /// ```
    #[track_caller]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError<MutexGuard<'_, T>>> {
        match self.raw.try_lock() {
            Ok(acquired) => Ok(self.guard(acquired)?),
            Err(LockFault::Held | LockFault::OwnLock | LockFault::TimedOut) => Err(TryLockError::WouldBlock),
            Err(fault @ (LockFault::TooMany | LockFault::Detached)) => panic!("{}", fault.sentence()),
        }
    }

    /// Waits for the lock, but no longer than `timeout`.
    ///
    /// # Errors
    /// [`TryLockError::TimedOut`] if it was not free in time; [`TryLockError::OwnerDied`] as
    /// [`Mutex::lock`].
    ///
    /// # Panics
    /// As [`Mutex::lock`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let mutex = commons::sync::Mutex::new(0u8);
    /// assert!(mutex.lock_timeout(Duration::from_millis(5)).is_ok());
    /// ```
    #[track_caller]
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<MutexGuard<'_, T>, TryLockError<MutexGuard<'_, T>>> {
        match self.raw.lock_deadline(Deadline::after(timeout)) {
            Ok(acquired) => Ok(self.guard(acquired)?),
            Err(LockFault::TimedOut | LockFault::Held) => Err(TryLockError::TimedOut),
            Err(fault) => panic!("{}", fault.sentence()),
        }
    }

    /// The value, without locking: `&mut` proves that nobody else has the lock.
    ///
    /// # Examples
    /// ```
    /// let mut mutex = commons::sync::Mutex::new(1u8);
    /// *mutex.get_mut() = 2;
    /// assert_eq!(mutex.into_inner(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Takes the lock apart.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    #[inline]
    fn guard(&self, acquired: Acquired) -> LockResult<MutexGuard<'_, T>> {
        if acquired == Acquired::OwnerDied {
            self.raw.set_consistent(false);
        }
        let guard = MutexGuard { mutex: self, panicking: thread::panicking(), not_send: PhantomData };
        if self.raw.is_consistent() { Ok(guard) } else { Err(OwnerDied { guard }) }
    }
}

impl<T: Pod + Send + Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Pod + Send> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Pod + Send + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => debug.field("value", &*guard),
            Err(TryLockError::OwnerDied(died)) => {
                debug.field("value", &*died.guard).field("owner_died", &true)
            }
            Err(_) => debug.field("value", &format_args!("<locked>")),
        };
        debug.finish()
    }
}

/// The right to use what a [`Mutex`] protects; released on drop.
///
/// It stays on its thread, since it is a thread that the kernel knows as the owner. A guard that is
/// leaked (`mem::forget`) keeps the lock until its process ends; then the next locker is told.
///
/// ```compile_fail,E0277
/// let mutex = commons::sync::Mutex::new(0u64);
/// let guard = mutex.lock().unwrap();
/// std::thread::scope(|scope| scope.spawn(move || drop(guard)).join().unwrap());
/// ```
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct MutexGuard<'a, T: Pod + Send> {
    mutex: &'a Mutex<T>,
    panicking: bool,
    not_send: PhantomData<*const ()>,
}

// SAFETY: `&MutexGuard` gives `&T` and no more.
unsafe impl<T: Pod + Send + Sync> Sync for MutexGuard<'_, T> {}

impl<T: Pod + Send> MutexGuard<'_, T> {
    /// Says that the value is whole again after the death or panic of an owner.
    ///
    /// # Examples
    /// See [`Mutex`].
    pub fn mark_consistent(guard: &mut Self) {
        guard.mutex.raw.set_consistent(true);
    }
}

impl<'a, T: Pod + Send> MutexGuard<'a, T> {
    /// The lock that this is a guard of.
    pub(super) fn mutex(guard: &Self) -> &'a Mutex<T> {
        guard.mutex
    }
}

impl<T: Pod + Send> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard holds the lock, so nobody writes; any bits are a valid `T: Pod`.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: Pod + Send> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard holds the lock and is borrowed exclusively.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: Pod + Send> Drop for MutexGuard<'_, T> {
    // Small enough to be inlined: out of line, the guard would have to lie in memory, which is a tenth
    // of an uncontended pair.
    #[inline(always)]
    fn drop(&mut self) {
        if thread::panicking() || !self.mutex.raw.unlock_newest() {
            end_slowly(&self.mutex.raw, self.panicking);
        }
    }
}

/// Ends a guard in the middle of a panic, or one that was not made last. In a forked child the guard
/// is the parent's, and so is the lock.
#[cold]
#[inline(never)]
fn end_slowly(raw: &RawMutex, panicking_before: bool) {
    if thread::panicking() && !panicking_before && raw.is_mine() {
        raw.set_consistent(false);
    }
    raw.unlock();
}

impl<T: Pod + Send + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// An owner of the lock died, or panicked, inside: the value may be half-changed. Holds the guard.
pub struct OwnerDied<G> {
    guard: G,
}

impl<G> OwnerDied<G> {
    pub(super) fn around(guard: G) -> Self {
        Self { guard }
    }

    /// The guard, to mend the value with.
    pub fn into_guard(self) -> G {
        self.guard
    }

    /// The guard, to look at the value with.
    pub fn get_ref(&self) -> &G {
        &self.guard
    }

    /// The guard, to change the value with.
    pub fn get_mut(&mut self) -> &mut G {
        &mut self.guard
    }
}

const OWNER_DIED: &str = "an owner of the lock died or panicked while it changed the value: mend the value and call \
                          mark_consistent";

impl<G> fmt::Display for OwnerDied<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(OWNER_DIED)
    }
}

impl<G> fmt::Debug for OwnerDied<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(OWNER_DIED)
    }
}

impl<G> std::error::Error for OwnerDied<G> {}

impl<G> From<OwnerDied<G>> for Error {
    fn from(died: OwnerDied<G>) -> Self {
        Self::new(ErrorKind::OwnerDied, died.to_string())
    }
}

/// Why [`Mutex::try_lock`] or [`Mutex::lock_timeout`] gave no clean guard.
pub enum TryLockError<G> {
    /// Somebody holds the lock.
    WouldBlock,
    /// The lock was not free in the time given.
    TimedOut,
    /// The lock is held now, and an owner before died inside.
    OwnerDied(OwnerDied<G>),
}

impl<G> From<OwnerDied<G>> for TryLockError<G> {
    fn from(died: OwnerDied<G>) -> Self {
        Self::OwnerDied(died)
    }
}

impl<G> fmt::Display for TryLockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WouldBlock => "the lock is held by another thread or process",
            Self::TimedOut => "the lock was not released in the time given",
            Self::OwnerDied(_) => OWNER_DIED,
        })
    }
}

impl<G> fmt::Debug for TryLockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<G> std::error::Error for TryLockError<G> {}

impl<G> From<TryLockError<G>> for Error {
    fn from(error: TryLockError<G>) -> Self {
        let kind = match error {
            TryLockError::WouldBlock => ErrorKind::WouldBlock,
            TryLockError::TimedOut => ErrorKind::TimedOut,
            TryLockError::OwnerDied(_) => ErrorKind::OwnerDied,
        };
        Self::new(kind, error.to_string())
    }
}
