//! Many readers or one writer, between processes, with the value inside.
//!
//! # Safety
//! Turns "reads" into `&T` and "writes" into `&mut T`.

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

use super::mutex::{LockResult, OwnerDied, TryLockError};
use crate::{
    deadline::Deadline,
    raw::{mutex::LockFault, rwlock::RawRwLock},
    shareable::{Shareable, short_type_name},
};

/// A lock around a value that many threads of any processes read at a time, or one writes in place.
///
/// As [`std::sync::RwLock`]. When a writer dies, or panics, inside, the next reader or writer gets
/// [`OwnerDied`] with the guard in it, until a writer calls
/// [`mark_consistent`](RwLockWriteGuard::mark_consistent). The death of a reader is told to nobody.
/// A waiting writer keeps new readers away. At most `READERS` read at a time; a further one waits.
///
/// # Examples
/// ```
/// use commons::{Shared, sync::RwLock};
///
/// # fn main() -> commons::Result<()> {
/// let table = Shared::new(RwLock::new([0u64; 16]))?;
/// table.write().unwrap()[3] = 7;
/// let (one, two) = (table.read().unwrap(), table.try_read().unwrap());
/// assert_eq!(one[3] + two[3], 14);
/// # Ok(()) }
/// ```
#[repr(C)]
pub struct RwLock<T, const READERS: usize = 32> {
    raw: RawRwLock<READERS>,
    value: UnsafeCell<T>,
}

// SAFETY: readers share `&T` and a writer has `&mut T` alone, on any thread.
unsafe impl<T: Pod + Send + Sync, const READERS: usize> Sync for RwLock<T, READERS> {}

// SAFETY: any bits are a valid `T: Pod`, and words that the lock compares. `repr(C)`, no address that
// is followed, no `Drop` (`T: Copy`).
unsafe impl<T: Pod + Send + Sync, const READERS: usize> Shareable for RwLock<T, READERS> {
    fn type_name() -> String {
        format!("RwLock<{}, {READERS}>", short_type_name::<T>())
    }

    fn reset(&mut self) {
        self.raw = RawRwLock::new();
    }
}

impl<T: Pod + Send + Sync> RwLock<T> {
    /// A free lock around `value` for at most 32 readers; for more, see [`RwLock::with_capacity`].
    pub const fn new(value: T) -> Self {
        Self::with_capacity(value)
    }
}

type ReadResult<'a, T, const N: usize> =
    Result<RwLockReadGuard<'a, T, N>, TryLockError<RwLockReadGuard<'a, T, N>>>;
type WriteResult<'a, T, const N: usize> =
    Result<RwLockWriteGuard<'a, T, N>, TryLockError<RwLockWriteGuard<'a, T, N>>>;

impl<T: Pod + Send + Sync, const READERS: usize> RwLock<T, READERS> {
    /// A free lock around `value` for at most `READERS` readers.
    ///
    /// # Examples
    /// ```
    /// use commons::sync::RwLock;
    ///
    /// let lock = RwLock::<u64, 2>::with_capacity(5);
    /// let both = (lock.read().unwrap(), lock.read().unwrap());
    /// assert!(lock.try_read().is_err());
    /// ```
    pub const fn with_capacity(value: T) -> Self {
        Self { raw: RawRwLock::new(), value: UnsafeCell::new(value) }
    }

    /// Waits until nobody writes, and reads.
    ///
    /// # Errors
    /// [`OwnerDied`] if a writer died or panicked inside and nobody has marked the value consistent.
    ///
    /// # Panics
    /// If the calling thread writes; or reads already, and a writer waits for it or tries to write at this
    /// moment, or as many read as can; or holds 1024 locks.
    #[track_caller]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T, READERS>> {
        must(self.read_result(self.raw.read(Deadline::NEVER)))
    }

    /// Reads if nobody writes now.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if somebody writes or wants to, or as many read as can;
    /// [`TryLockError::OwnerDied`] as [`RwLock::read`].
    ///
    /// # Panics
    /// If the calling thread holds 1024 locks.
    #[track_caller]
    pub fn try_read(
        &self,
    ) -> Result<RwLockReadGuard<'_, T, READERS>, TryLockError<RwLockReadGuard<'_, T, READERS>>> {
        match self.raw.try_read() {
            Err(LockFault::Held | LockFault::OwnLock) => Err(TryLockError::WouldBlock),
            other => self.read_result(other),
        }
    }

    /// Waits to read, but no longer than `timeout`.
    ///
    /// # Errors
    /// [`TryLockError::TimedOut`] if somebody still writes then; [`TryLockError::OwnerDied`] as
    /// [`RwLock::read`].
    ///
    /// # Panics
    /// As [`RwLock::read`].
    #[track_caller]
    pub fn read_timeout(
        &self,
        timeout: Duration,
    ) -> Result<RwLockReadGuard<'_, T, READERS>, TryLockError<RwLockReadGuard<'_, T, READERS>>> {
        self.read_result(self.raw.read(Deadline::after(timeout)))
    }

    /// Waits until nobody reads or writes, and writes.
    ///
    /// # Errors
    /// [`OwnerDied`] as [`RwLock::read`].
    ///
    /// # Panics
    /// If the calling thread reads or writes already, or holds 1024 locks.
    #[track_caller]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T, READERS>> {
        must(self.write_result(self.raw.write(Deadline::NEVER)))
    }

    /// Writes if nobody reads or writes now.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if somebody does; [`TryLockError::OwnerDied`] as
    /// [`RwLock::read`].
    ///
    /// # Panics
    /// If the calling thread holds 1024 locks.
    #[track_caller]
    pub fn try_write(
        &self,
    ) -> Result<RwLockWriteGuard<'_, T, READERS>, TryLockError<RwLockWriteGuard<'_, T, READERS>>> {
        match self.raw.try_write() {
            Err(LockFault::Held | LockFault::OwnLock) => Err(TryLockError::WouldBlock),
            other => self.write_result(other),
        }
    }

    /// Waits to write, but no longer than `timeout`.
    ///
    /// # Errors
    /// [`TryLockError::TimedOut`] if somebody still reads or writes then;
    /// [`TryLockError::OwnerDied`] as [`RwLock::read`].
    ///
    /// # Panics
    /// As [`RwLock::write`].
    #[track_caller]
    pub fn write_timeout(
        &self,
        timeout: Duration,
    ) -> Result<RwLockWriteGuard<'_, T, READERS>, TryLockError<RwLockWriteGuard<'_, T, READERS>>> {
        self.write_result(self.raw.write(Deadline::after(timeout)))
    }

    #[track_caller]
    fn read_result(&self, cell: Result<usize, LockFault>) -> ReadResult<'_, T, READERS> {
        let cell = cell.map_err(refuse)?;
        let guard = RwLockReadGuard { lock: self, cell, not_send: PhantomData };
        if self.raw.is_consistent() { Ok(guard) } else { Err(OwnerDied::around(guard).into()) }
    }

    #[track_caller]
    fn write_result(&self, written: Result<(), LockFault>) -> WriteResult<'_, T, READERS> {
        written.map_err(refuse)?;
        let guard = RwLockWriteGuard { lock: self, panicking: thread::panicking(), not_send: PhantomData };
        if self.raw.is_consistent() { Ok(guard) } else { Err(OwnerDied::around(guard).into()) }
    }

    /// The value, without locking: `&mut` proves that nobody else has the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

/// A fault that a caller can meet; the others panic with a sentence.
#[track_caller]
fn refuse<G>(fault: LockFault) -> TryLockError<G> {
    match fault {
        LockFault::Held | LockFault::TimedOut => TryLockError::TimedOut,
        LockFault::OwnLock | LockFault::TooMany | LockFault::Detached => panic!("{}", fault.sentence()),
    }
}

#[track_caller]
fn must<G>(result: Result<G, TryLockError<G>>) -> LockResult<G> {
    match result {
        Ok(guard) => Ok(guard),
        Err(TryLockError::OwnerDied(died)) => Err(died),
        Err(_) => unreachable!("never has passed"),
    }
}

impl<T: Pod + Send + Sync + Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Pod + Send + Sync + fmt::Debug, const READERS: usize> fmt::Debug for RwLock<T, READERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => debug.field("value", &*guard),
            Err(TryLockError::OwnerDied(died)) => {
                debug.field("value", &**died.get_ref()).field("owner_died", &true)
            }
            Err(_) => debug.field("value", &format_args!("<locked>")),
        };
        debug.finish()
    }
}

/// The right to read what an [`RwLock`] protects; given back on drop. It stays on its thread.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct RwLockReadGuard<'a, T: Pod + Send + Sync, const READERS: usize = 32> {
    lock: &'a RwLock<T, READERS>,
    cell: usize,
    not_send: PhantomData<*const ()>,
}

/// The right to write what an [`RwLock`] protects; given back on drop. It stays on its thread.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct RwLockWriteGuard<'a, T: Pod + Send + Sync, const READERS: usize = 32> {
    lock: &'a RwLock<T, READERS>,
    panicking: bool,
    not_send: PhantomData<*const ()>,
}

// SAFETY: `&` of either guard gives `&T` and no more.
unsafe impl<T: Pod + Send + Sync, const N: usize> Sync for RwLockReadGuard<'_, T, N> {}

// SAFETY: as above.
unsafe impl<T: Pod + Send + Sync, const N: usize> Sync for RwLockWriteGuard<'_, T, N> {}

impl<T: Pod + Send + Sync, const N: usize> RwLockWriteGuard<'_, T, N> {
    /// Says that the value is whole again after the death or panic of a writer.
    pub fn mark_consistent(guard: &mut Self) {
        guard.lock.raw.set_consistent(true);
    }
}

impl<T: Pod + Send + Sync, const N: usize> Deref for RwLockReadGuard<'_, T, N> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard keeps writers away; any bits are a valid `T: Pod`.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: Pod + Send + Sync, const N: usize> Deref for RwLockWriteGuard<'_, T, N> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard keeps everybody else away; any bits are a valid `T: Pod`.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: Pod + Send + Sync, const N: usize> DerefMut for RwLockWriteGuard<'_, T, N> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard keeps everybody else away and is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: Pod + Send + Sync, const N: usize> Drop for RwLockReadGuard<'_, T, N> {
    fn drop(&mut self) {
        self.lock.raw.release_reader(self.cell);
    }
}

impl<T: Pod + Send + Sync, const N: usize> Drop for RwLockWriteGuard<'_, T, N> {
    fn drop(&mut self) {
        // In a forked child the guard is the parent's, and so is the lock.
        if thread::panicking() && !self.panicking && self.lock.raw.is_writer() {
            self.lock.raw.set_consistent(false);
        }
        self.lock.raw.release_writer();
    }
}

impl<T: Pod + Send + Sync + fmt::Debug, const N: usize> fmt::Debug for RwLockReadGuard<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Pod + Send + Sync + fmt::Debug, const N: usize> fmt::Debug for RwLockWriteGuard<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
