//! A lock that its owner can take again.
//!
//! # Safety
//! Copies between private values and the shared one, which the lock protects.

#![allow(unsafe_code)]

use std::{
    cell::UnsafeCell,
    fmt,
    marker::PhantomData,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use bytemuck::Pod;

use super::mutex::{LockResult, OwnerDied, TryLockError};
use crate::{
    deadline::Deadline,
    raw::{
        copy,
        mutex::{Acquired, LockFault, RawMutex},
    },
    shareable::{Shareable, short_type_name},
};

/// A lock that the thread that holds it can take again; it is free when every guard is gone.
///
/// Two guards of one thread are good for the same value, so they lend no `&mut T` but copy it out
/// and in, like a [`Cell`](std::cell::Cell). As with [`Mutex`](super::Mutex), the next locker hears
/// when an owner died or panicked inside.
///
/// # Examples
/// ```
/// use commons::{Shared, sync::ReentrantLock};
///
/// fn deposit(account: &ReentrantLock<u64>, n: u64) {
///     account.lock().unwrap().update(|sum| *sum += n);
/// }
///
/// # fn main() -> commons::Result<()> {
/// let account = Shared::new(ReentrantLock::new(0u64))?;
/// let outer = account.lock().unwrap();
/// deposit(&account, 5);                             // no deadlock
/// assert_eq!(outer.get(), 5);
/// # Ok(()) }
/// ```
#[doc(alias("RLock", "ReentrantMutex"))]
#[repr(C)]
pub struct ReentrantLock<T> {
    raw: RawMutex,
    /// How many guards the owner has. Written by the owner, and anew when it acquires.
    depth: AtomicU32,
    _reserved: u32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is copied in and out by the holder of the lock only, and may move between threads.
unsafe impl<T: Pod + Send> Sync for ReentrantLock<T> {}

// SAFETY: any bits are a valid `T: Pod`, and words that the lock compares. `repr(C)`, no address that
// is followed, no `Drop` (`T: Copy`).
unsafe impl<T: Pod + Send> Shareable for ReentrantLock<T> {
    fn type_name() -> String {
        format!("ReentrantLock<{}>", short_type_name::<T>())
    }

    fn reset(&mut self) {
        self.raw = RawMutex::new();
    }
}

impl<T: Pod + Send> ReentrantLock<T> {
    /// A free lock around `value`.
    pub const fn new(value: T) -> Self {
        Self { raw: RawMutex::new(), depth: AtomicU32::new(0), _reserved: 0, value: UnsafeCell::new(value) }
    }

    /// Waits until no other thread holds the lock, and takes it.
    ///
    /// # Errors
    /// [`OwnerDied`] if an owner died or panicked inside and nobody has marked the value consistent
    /// since. The lock is held then too.
    ///
    /// # Panics
    /// If the calling thread holds 1024 other locks, or this one four billion times.
    ///
    /// # Examples
    /// See [`ReentrantLock`].
    #[doc(alias = "acquire")]
    #[track_caller]
    pub fn lock(&self) -> LockResult<ReentrantLockGuard<'_, T>> {
        match self.lock_deadline(Deadline::NEVER) {
            Ok(guard) => Ok(guard),
            Err(TryLockError::OwnerDied(died)) => Err(died),
            Err(_) => unreachable!("never has passed"),
        }
    }

    /// Takes the lock if no other thread holds it now.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if one does; [`TryLockError::OwnerDied`] as
    /// [`ReentrantLock::lock`].
    ///
    /// # Panics
    /// As [`ReentrantLock::lock`].
    #[track_caller]
    pub fn try_lock(&self) -> Result<ReentrantLockGuard<'_, T>, TryLockError<ReentrantLockGuard<'_, T>>> {
        match self.raw.try_lock() {
            Err(LockFault::Held) => Err(TryLockError::WouldBlock),
            other => self.guard(other),
        }
    }

    /// Waits for the lock, but no longer than `timeout`.
    ///
    /// # Errors
    /// [`TryLockError::TimedOut`] if it was not free in time; [`TryLockError::OwnerDied`] as
    /// [`ReentrantLock::lock`].
    ///
    /// # Panics
    /// As [`ReentrantLock::lock`].
    #[track_caller]
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<ReentrantLockGuard<'_, T>, TryLockError<ReentrantLockGuard<'_, T>>> {
        self.lock_deadline(Deadline::after(timeout))
    }

    #[track_caller]
    fn lock_deadline(
        &self,
        deadline: Deadline,
    ) -> Result<ReentrantLockGuard<'_, T>, TryLockError<ReentrantLockGuard<'_, T>>> {
        if self.raw.is_mine() {
            return self.guard(Err(LockFault::OwnLock));
        }
        self.guard(self.raw.lock_deadline(deadline))
    }

    #[track_caller]
    fn guard(
        &self,
        acquired: Result<Acquired, LockFault>,
    ) -> Result<ReentrantLockGuard<'_, T>, TryLockError<ReentrantLockGuard<'_, T>>> {
        match acquired {
            Ok(acquired) => {
                if acquired == Acquired::OwnerDied {
                    self.raw.set_consistent(false);
                }
                self.raw.set_returning(true);
                self.depth.store(1, Relaxed);
            }
            Err(LockFault::OwnLock) => {
                let deeper = self.depth.load(Relaxed).checked_add(1);
                self.depth.store(deeper.expect("a lock is not taken four billion times"), Relaxed);
            }
            Err(LockFault::TimedOut | LockFault::Held) => return Err(TryLockError::TimedOut),
            Err(fault @ (LockFault::TooMany | LockFault::Detached)) => panic!("{}", fault.sentence()),
        }
        let guard =
            ReentrantLockGuard { lock: self, panicking: std::thread::panicking(), not_send: PhantomData };
        if self.raw.is_consistent() { Ok(guard) } else { Err(OwnerDied::around(guard).into()) }
    }
}

impl<T: Pod + Send + Default> Default for ReentrantLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Pod + Send> fmt::Debug for ReentrantLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReentrantLock").field("is_locked", &self.raw.is_locked()).finish()
    }
}

/// One of the guards of a [`ReentrantLock`]; the lock is free when the last one is gone.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct ReentrantLockGuard<'a, T: Pod + Send> {
    lock: &'a ReentrantLock<T>,
    panicking: bool,
    not_send: PhantomData<*const ()>,
}

impl<T: Pod + Send> ReentrantLockGuard<'_, T> {
    /// A copy of the value.
    pub fn get(&self) -> T {
        // SAFETY: an aligned `T` that this thread has locked.
        let bits = unsafe { copy::load(self.lock.value.get()) };
        // SAFETY: any bits are a valid `T: Pod`.
        unsafe { bits.assume_init() }
    }

    /// Replaces the value.
    pub fn set(&self, value: T) {
        // In a forked child the guard is the parent's, and so is the value.
        if self.lock.raw.is_mine() {
            // SAFETY: a local; an aligned `T` that this thread has locked.
            unsafe { copy::store(self.lock.value.get(), &raw const value) };
        }
    }

    /// Changes a copy of the value and writes it back.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.get();
        let answer = change(&mut value);
        self.set(value);
        answer
    }

    /// Says that the value is whole again after the death or panic of an owner.
    pub fn mark_consistent(guard: &mut Self) {
        guard.lock.raw.set_consistent(true);
    }
}

impl<T: Pod + Send> Drop for ReentrantLockGuard<'_, T> {
    fn drop(&mut self) {
        if !self.lock.raw.is_mine() {
            return;
        }
        if std::thread::panicking() && !self.panicking {
            self.lock.raw.set_consistent(false);
        }
        let depth = self.lock.depth.load(Relaxed);
        self.lock.depth.store(depth.saturating_sub(1), Relaxed);
        if depth <= 1 {
            self.lock.raw.set_returning(false);
            self.lock.raw.unlock();
        }
    }
}

impl<T: Pod + Send + fmt::Debug> fmt::Debug for ReentrantLockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
