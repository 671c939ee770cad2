//! Single elements and copies, under the array's lock.
//!
//! # Safety
//! Copies between private values and elements; the array's lock and claims say when.

#![allow(unsafe_code)]

use std::{
    ops::Range,
    ptr::NonNull,
    sync::atomic::{Ordering::*, fence},
};

use super::{
    handle::{Array, layout_of},
    layout,
};
use crate::{
    deadline::Deadline,
    error::{Error, ErrorKind, Result},
    plain::{self, Plain},
    raw::{
        claims::{Mode, RawClaims},
        copy,
        mutex::LockFault,
    },
    segment::{Segment, Settings},
    shareable::short_type_name,
};

impl<T: Plain + Send> Array<T> {
    /// A new array that holds `values` before anybody else can see it.
    pub(super) fn copied(name: Option<&str>, settings: &Settings, values: &[T]) -> Result<Self> {
        let layout = layout_of::<T>(&[values.len()])?;
        // SAFETY: `init` gets the payload of a segment with this layout, which nobody else knows yet.
        Self::of(Segment::create(name, settings, &layout, |payload| unsafe { fill(payload, values) })?)
    }

    /// A copy of one element; `None` behind the end.
    ///
    /// Waits while another thread has the element claimed exclusively.
    ///
    /// # Panics
    /// If the calling thread has it claimed exclusively itself, or the bytes are no value of `T`.
    ///
    /// # Examples
    /// ```
    /// let array = commons::Array::from_slice(&[1u64, 2])?;
    /// assert_eq!((array.get(1), array.get(2)), (Some(2), None));
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[track_caller]
    pub fn get(&self, index: usize) -> Option<T> {
        if index >= self.len() {
            return None;
        }
        let entered = must(self.enter(index..index + 1, Mode::Shared));
        let value = entered.load(index);
        drop(entered);
        Some(value.unwrap_or_else(|| panic!("{}", corrupt::<T>(index))))
    }

    /// Replaces one element. A process that is killed meanwhile leaves the old value or the new one.
    ///
    /// Waits while another thread has the element claimed.
    ///
    /// # Panics
    /// If `index` is behind the end, or the calling thread has the element claimed itself.
    ///
    /// # Examples
    /// ```
    /// let array = commons::Array::<[f64; 3]>::new(2)?;
    /// array.set(1, [1.0, 2.0, 3.0]);
    /// assert_eq!(array.get(1), Some([1.0, 2.0, 3.0]));
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[track_caller]
    pub fn set(&self, index: usize, value: T) {
        self.check_index(index);
        must(self.enter(index..index + 1, Mode::Exclusive)).store(index, value);
    }

    /// Reads, changes and writes back one element as one step.
    ///
    /// `change` works on a private copy; if it panics, nothing has changed. It must not use the
    /// same array: the array's lock is held meanwhile.
    ///
    /// # Panics
    /// As [`Array::set`], and if the bytes are no value of `T`.
    ///
    /// # Examples
    /// ```
    /// let array = commons::Array::from_slice(&[1u64, 2])?;
    /// array.update(0, |n| *n += 10);
    /// assert_eq!(array.get(0), Some(11));
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[track_caller]
    pub fn update<R>(&self, index: usize, change: impl FnOnce(&mut T) -> R) -> R {
        self.check_index(index);
        let entered = must(self.enter(index..index + 1, Mode::Exclusive));
        let mut value = entered.load(index).unwrap_or_else(|| panic!("{}", corrupt::<T>(index)));
        let answer = change(&mut value);
        entered.store(index, value);
        answer
    }

    /// Copies the elements from `offset` on into `target`, all at one moment.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if that reaches behind the end, [`ErrorKind::WouldDeadlock`] if the
    /// calling thread has some of it claimed exclusively, [`ErrorKind::Corrupt`] if bytes are no
    /// value of `T`; `target` is then partly written.
    ///
    /// # Examples
    /// ```
    /// let array = commons::Array::from_slice(&[1u64, 2, 3])?;
    /// let mut two = [0; 2];
    /// array.read(1, &mut two)?;
    /// assert_eq!(two, [2, 3]);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn read(&self, offset: usize, target: &mut [T]) -> Result<()> {
        let range = self.range_of(offset, target.len())?;
        let entered = self.enter(range, Mode::Shared)?;
        for (index, place) in (offset..).zip(target) {
            *place =
                entered.load(index).ok_or_else(|| Error::new(ErrorKind::Corrupt, corrupt::<T>(index)))?;
        }
        Ok(())
    }

    /// Copies `source` over the elements from `offset` on, all at one moment.
    ///
    /// A process that is killed meanwhile leaves each element old or new, the first ones new.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if that reaches behind the end, [`ErrorKind::WouldDeadlock`] if the
    /// calling thread has some of it claimed.
    ///
    /// # Examples
    /// ```
    /// let array = commons::Array::<u64>::new(3)?;
    /// array.write(1, &[8, 9])?;
    /// assert_eq!(array.to_vec(), [0, 8, 9]);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn write(&self, offset: usize, source: &[T]) -> Result<()> {
        let range = self.range_of(offset, source.len())?;
        let entered = self.enter(range, Mode::Exclusive)?;
        (offset..).zip(source).for_each(|(index, &value)| entered.store(index, value));
        Ok(())
    }

    /// Copies all elements, at one moment.
    ///
    /// # Panics
    /// If the calling thread has some of it claimed exclusively, or bytes are no value of `T`.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Array::from_slice(&[true, false])?.to_vec(), [true, false]);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[doc(alias = "tolist")]
    #[track_caller]
    pub fn to_vec(&self) -> Vec<T> {
        let entered = must(self.enter(0..self.len(), Mode::Shared));
        let value = |index| entered.load(index).unwrap_or_else(|| panic!("{}", corrupt::<T>(index)));
        (0..self.len()).map(value).collect()
    }

    fn range_of(&self, offset: usize, count: usize) -> Result<Range<usize>> {
        offset.checked_add(count).filter(|&end| end <= self.len()).map(|end| offset..end).ok_or_else(|| {
            let len = self.len();
            let message =
                format!("{count} elements from {offset} on reach behind the end of an array of {len}");
            Error::new(ErrorKind::InvalidInput, message)
        })
    }

    #[track_caller]
    fn check_index(&self, index: usize) {
        assert!(
            index < self.len(),
            "the index is {index} and the length of the shared array is {}",
            self.len()
        );
    }

    /// Takes the array's lock at a moment when no claim stands against using `range`.
    fn enter(&self, range: Range<usize>, mode: Mode) -> Result<Entered<'_, T>, LockFault> {
        let range = range.start as u64..range.end as u64;
        self.claims().enter(range, mode, Deadline::NEVER, || self.undo())?;
        Ok(Entered { array: self })
    }

    pub(super) fn claims(&self) -> &RawClaims {
        // SAFETY: the payload starts with claims, aligned to a cache line, for as long as the
        // segment is mapped; they are all atomics.
        unsafe { self.payload().cast::<RawClaims>().as_ref() }
    }

    /// The first element.
    pub(super) fn start(&self) -> NonNull<T> {
        // SAFETY: inside the payload, or at its end: its length was checked when it was opened.
        unsafe { self.payload().add(layout::elements::<T>()) }.cast()
    }

    fn element(&self, index: usize) -> *mut T {
        debug_assert!(index < self.len());
        // SAFETY: `index` is below the count.
        unsafe { self.start().add(index) }.as_ptr()
    }

    fn undo_record(&self) -> *mut T {
        // SAFETY: the record lies between claims and elements.
        unsafe { self.payload().as_ptr().add(layout::undo::<T>()).cast() }
    }

    /// Puts the old value of a half-written element back, for the owner of the lock that found the
    /// one before dead.
    pub(super) fn undo(&self) {
        let undo = &self.claims().undo;
        if let Some(index) = undo.load(Acquire).checked_sub(1).and_then(|index| usize::try_from(index).ok())
            && index < self.len()
        {
            // SAFETY: both are aligned, in this segment, and belong to who holds the lock.
            unsafe { copy_within(self.undo_record(), self.element(index)) };
        }
        undo.store(0, Release);
    }
}

/// The array's lock, at a moment when the elements asked for may be used.
struct Entered<'a, T: Plain + Send> {
    array: &'a Array<T>,
}

impl<T: Plain + Send> Entered<'_, T> {
    fn load(&self, index: usize) -> Option<T> {
        // SAFETY: an aligned element; others access it by the same words, or not at all.
        let bits = unsafe { copy::load::<T>(self.array.element(index)) };
        // SAFETY: a local; every byte in a segment is initialised.
        unsafe { plain::checked(bits.as_ptr()) }
    }

    fn store(&self, index: usize, value: T) {
        let element = self.array.element(index);
        plain::initialised(value, |value| {
            if copy::is_one_word::<T>() {
                // SAFETY: `value` is readable; an aligned element that nobody has claimed.
                return unsafe { copy::store(element, value) };
            }
            let undo = &self.array.claims().undo;
            // SAFETY: both are aligned, in this segment, and belong to who holds the lock.
            unsafe { copy_within(element, self.array.undo_record()) };
            undo.store(index as u64 + 1, Release);
            // The record must be announced before the first new word, for whoever repairs.
            fence(Release);
            // SAFETY: `value` is readable; an aligned element that nobody has claimed.
            unsafe { copy::store(element, value) };
            undo.store(0, Release);
            // The next element's record must not be begun before this.
            fence(SeqCst);
        });
    }
}

/// # Safety
/// - Both places are aligned, mapped, and used by this thread only.
unsafe fn copy_within<T>(from: *const T, to: *mut T) {
    // SAFETY: the caller's promise for `from`.
    let bits = unsafe { copy::load(from) };
    // SAFETY: a local, and the caller's promise for `to`.
    unsafe { copy::store(to, bits.as_ptr()) };
}

impl<T: Plain + Send> Drop for Entered<'_, T> {
    fn drop(&mut self) {
        self.array.claims().leave();
    }
}

#[track_caller]
fn must<R>(entered: Result<R, LockFault>) -> R {
    entered.unwrap_or_else(|fault| panic!("{}", claim_sentence(fault)))
}

pub(super) fn claim_sentence(fault: LockFault) -> String {
    match fault {
        LockFault::OwnLock => "this thread would wait for itself: it has claimed some of these elements, holds all \
                               64 claims of the array, or is inside its `update`; use the claim, or drop it first"
            .to_owned(),
        LockFault::Held | LockFault::TimedOut => {
            "another thread or process has claimed some of these elements and did not release them in time"
                .to_owned()
        }
        LockFault::TooMany | LockFault::Detached => fault.sentence(),
    }
}

impl From<LockFault> for Error {
    fn from(fault: LockFault) -> Self {
        let kind = match fault {
            LockFault::Held => ErrorKind::WouldBlock,
            LockFault::TimedOut => ErrorKind::TimedOut,
            LockFault::OwnLock => ErrorKind::WouldDeadlock,
            LockFault::TooMany => ErrorKind::NoSpace,
            LockFault::Detached => ErrorKind::Gone,
        };
        Self::new(kind, claim_sentence(fault))
    }
}

#[cold]
fn corrupt<T>(index: usize) -> String {
    let name = short_type_name::<T>();
    format!(
        "expected a valid {name} at index {index} of a shared array and found bytes that are none: \
             another process has overwritten it"
    )
}

/// Fills the zeroed payload of a new array.
///
/// # Safety
/// - `payload` has `layout::payload_len::<T>(values.len())` bytes, and nobody else knows it yet.
unsafe fn fill<T: Plain>(payload: *mut u8, values: &[T]) {
    // SAFETY: the elements begin inside the payload, or at its end if there are none.
    let elements = unsafe { payload.add(layout::elements::<T>()) }.cast::<T>();
    for (index, &value) in values.iter().enumerate() {
        // SAFETY: below the count.
        let element = unsafe { elements.add(index) };
        // SAFETY: `value` is readable, and the element aligned and ours.
        plain::initialised(value, |value| unsafe { copy::store(element, value) });
    }
}
