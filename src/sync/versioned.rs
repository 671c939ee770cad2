//! A value of any width that changes whole or not at all.
//!
//! # Safety
//! Copies between private values and the two shared slots of `raw::versioned`.

#![allow(unsafe_code)]

use std::{
    cell::UnsafeCell,
    fmt,
    marker::PhantomData,
    mem::{self, MaybeUninit},
    thread,
};

use crate::{
    deadline::Deadline,
    error::{Error, ErrorKind, Result},
    plain::{self, Plain},
    raw::{
        copy,
        mutex::{Acquired, LockFault},
        versioned::RawVersioned,
    },
    shareable::{Shareable, short_type_name},
};

/// A cell whose value is replaced atomically, whatever its width: readers take no lock, and a
/// writer that is killed at any instruction leaves the old value or the new one.
///
/// [`Value`](crate::Value) is this in a segment of its own, with waiting and guards.
///
/// # Examples
/// ```
/// use commons::sync::Versioned;
///
/// let range = Versioned::new([0.0f64, 1.0]);
/// range.update(|range| range[1] = 2.0);
/// assert_eq!(range.get(), [0.0, 2.0]);
/// ```
#[repr(C)]
pub struct Versioned<T: Plain> {
    raw: RawVersioned,
    /// INVARIANT: every byte but padding is initialised: `new` fills both, and copies keep it so.
    slots: [UnsafeCell<MaybeUninit<T>>; 2],
}

// SAFETY: the slots are copied word by word with atomics; which of them is whole, `raw` tells. `T` is
// `Copy` data that moves between threads by value.
unsafe impl<T: Plain + Send> Sync for Versioned<T> {}

// SAFETY: any bytes are initialised slots and counters that are only compared; the bits of a `T` are
// checked at each read. `repr(C)`, no address, no `Drop` (`T: Copy`).
unsafe impl<T: Plain + Send> Shareable for Versioned<T> {
    fn type_name() -> String {
        format!("Versioned<{}>", short_type_name::<T>())
    }

    fn reset(&mut self) {
        let active = self.raw.active();
        let value = *self.slots[active].get_mut();
        self.raw = RawVersioned::new();
        for slot in &mut self.slots {
            let slot = slot.get_mut();
            *slot = value;
            // SAFETY: an aligned value of `T` that nobody else touches, valid as in `value`.
            unsafe { T::clear_padding(slot.as_mut_ptr()) };
        }
    }
}

impl<T: Plain + Send> Versioned<T> {
    /// A cell that holds `value`.
    ///
    /// # Examples
    /// ```
    /// # use commons::sync::Versioned;
    /// assert_eq!(Versioned::new(7u64).get(), 7);
    /// ```
    pub fn new(value: T) -> Self {
        let slot = || UnsafeCell::new(MaybeUninit::new(value));
        Self { raw: RawVersioned::new(), slots: [slot(), slot()] }
    }

    /// A copy of the value, taken without a lock.
    ///
    /// # Panics
    /// If another process wrote bytes that are no value of `T`; [`Versioned::try_get`] tells instead.
    ///
    /// # Examples
    /// ```
    /// # use commons::sync::Versioned;
    /// assert_eq!(Versioned::new('a').get(), 'a');
    /// ```
    #[inline]
    #[track_caller]
    pub fn get(&self) -> T {
        self.copy().unwrap_or_else(|| panic!("{}", corrupt::<T>()))
    }

    /// A copy of the value, taken without a lock.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if another process wrote bytes that are no value of `T`.
    ///
    /// # Examples
    /// ```
    /// # use commons::sync::Versioned;
    /// assert_eq!(Versioned::new(true).try_get()?, true);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn try_get(&self) -> Result<T> {
        self.copy().ok_or_else(|| Error::new(ErrorKind::Corrupt, corrupt::<T>()))
    }

    /// Replaces the value.
    ///
    /// # Panics
    /// If the calling thread is inside an update of the same cell.
    ///
    /// # Examples
    /// ```
    /// # use commons::sync::Versioned;
    /// let cell = Versioned::new([1u32, 2]);
    /// cell.set([3, 4]);
    /// assert_eq!(cell.get(), [3, 4]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn set(&self, value: T) {
        self.acquire(Deadline::NEVER);
        self.commit(value);
        self.raw.unlock();
    }

    /// Reads, changes and writes back as one step: one writer at a time, in all processes.
    ///
    /// `change` works on a private copy. If it panics, nothing has changed.
    ///
    /// # Panics
    /// If the calling thread is inside an update of the same cell, or the value is corrupt.
    ///
    /// # Examples
    /// ```
    /// # use commons::sync::Versioned;
    /// let cell = Versioned::new(1u64);
    /// assert_eq!(cell.update(|n| { *n += 1; *n * 10 }), 20);
    /// ```
    #[inline]
    #[track_caller]
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        self.acquire(Deadline::NEVER);
        let locked = Locked(self);
        let mut value = locked.value();
        let answer = change(&mut value);
        // In a child that `change` has forked, the lock is the parent's.
        if self.raw.writers.is_mine() {
            self.commit(value);
        }
        answer
    }

    #[track_caller]
    pub(crate) fn lock(&self) -> VersionedGuard<'_, T> {
        self.acquire(Deadline::NEVER);
        self.guard()
    }

    #[track_caller]
    pub(crate) fn lock_deadline(&self, deadline: Deadline) -> Option<VersionedGuard<'_, T>> {
        self.acquire(deadline).then(|| self.guard())
    }

    pub(crate) fn try_lock(&self) -> Option<VersionedGuard<'_, T>> {
        match self.raw.writers.try_lock() {
            Ok(_) => Some(self.guard()),
            Err(fault @ (LockFault::TooMany | LockFault::Detached)) => panic!("{}", fault.sentence()),
            Err(_) => None,
        }
    }

    /// Waits until `wanted` says yes of the value, or the deadline; then the value that it saw.
    pub(crate) fn wait_until(&self, mut wanted: impl FnMut(&T) -> bool, deadline: Deadline) -> Option<T> {
        loop {
            let seen = self.raw.version();
            let value = self.get();
            if wanted(&value) {
                return Some(value);
            }
            if deadline.has_passed() {
                return None;
            }
            self.raw.wait_for_another(seen, deadline);
        }
    }

    /// Takes the writers' lock; false when the deadline passes.
    #[inline]
    #[track_caller]
    fn acquire(&self, deadline: Deadline) -> bool {
        match self.raw.writers.lock_deadline(deadline) {
            // A writer that died left a whole value.
            Ok(Acquired::Released | Acquired::OwnerDied) => true,
            Err(LockFault::TimedOut | LockFault::Held) => false,
            Err(fault) => panic!("{}", fault.sentence()),
        }
    }

    /// The caller holds the writers' lock, and the guard now does.
    #[inline]
    fn guard(&self) -> VersionedGuard<'_, T> {
        let locked = Locked(self);
        let value = locked.value();
        mem::forget(locked);
        // The guard lends its private copy only.
        self.raw.writers.set_returning(true);
        VersionedGuard { cell: self, value, panicking: thread::panicking(), not_send: PhantomData }
    }

    #[inline]
    fn copy(&self) -> Option<T> {
        self.raw.read(|slot| self.load(slot)).check()
    }

    #[inline]
    fn load(&self, slot: usize) -> Bits<T> {
        // SAFETY: aligned and inside this cell; all access is by words of the alignment of `T`.
        Bits(unsafe { copy::load(self.slots[slot].get().cast::<T>()) })
    }

    /// Makes `value` the next version. The caller holds the writers' lock.
    #[inline]
    fn commit(&self, value: T) {
        plain::initialised(value, |value| {
            // SAFETY: `value` is readable; the slot is aligned, inside this cell, and nobody reads it.
            self.raw.commit(|slot| unsafe { copy::store(self.slots[slot].get().cast::<T>(), value) });
        });
    }
}

/// What stood in a slot. INVARIANT: every byte but padding is initialised.
struct Bits<T>(MaybeUninit<T>);

impl<T: Plain> Bits<T> {
    #[inline]
    fn check(self) -> Option<T> {
        // SAFETY: a local that is initialised but for padding.
        unsafe { plain::checked(self.0.as_ptr()) }
    }
}

impl<T: Plain + Send + Default> Default for Versioned<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Plain + Send + fmt::Debug> fmt::Debug for Versioned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_tuple("Versioned");
        match self.copy() {
            Some(value) => debug.field(&value),
            None => debug.field(&format_args!("<corrupt>")),
        };
        debug.finish()
    }
}

#[cold]
fn corrupt<T>() -> String {
    format!(
        "expected a valid {} in shared memory and found bytes that are none: another process has overwritten it",
        short_type_name::<T>()
    )
}

/// The writers' lock for as long as a call takes: not even a panic keeps it.
struct Locked<'a, T: Plain + Send>(&'a Versioned<T>);

impl<T: Plain + Send> Locked<'_, T> {
    #[inline]
    #[track_caller]
    fn value(&self) -> T {
        self.0.load(self.0.raw.active()).check().unwrap_or_else(|| panic!("{}", corrupt::<T>()))
    }
}

impl<T: Plain + Send> Drop for Locked<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.raw.unlock();
    }
}

/// The writers' lock and a private copy, committed on drop unless the thread panics.
pub(crate) struct VersionedGuard<'a, T: Plain + Send> {
    cell: &'a Versioned<T>,
    pub(crate) value: T,
    panicking: bool,
    not_send: PhantomData<*const ()>,
}

impl<T: Plain + Send> Drop for VersionedGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let panicked = thread::panicking() && !self.panicking;
        // In a forked child the guard is the parent's, and so is the lock.
        if !panicked && self.cell.raw.writers.is_mine() {
            self.cell.commit(self.value);
        }
        self.cell.raw.writers.set_returning(false);
        self.cell.raw.unlock();
    }
}
