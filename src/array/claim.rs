//! Ranges of an array as slices, while nobody else writes them.
//!
//! # Safety
//! Turns "has the claim" into `&[T]` and `&mut [T]`.

#![allow(unsafe_code)]

use std::{
    fmt,
    marker::PhantomData,
    ops::{Bound, Deref, DerefMut, Range, RangeBounds},
    slice,
    time::Duration,
};

use bytemuck::Pod;

use super::handle::Array;
use crate::{
    deadline::Deadline,
    error::{Error, ErrorKind, Result},
    plain::Plain,
    raw::claims::Mode,
};

impl<T: Pod + Send + Sync> Array<T> {
    /// Waits until nobody else uses `range`, and has it exclusively: a `&mut [T]` without a copy.
    ///
    /// Disjoint ranges are used at the same time by any threads and processes. The kernel ends the
    /// claim of a process that dies; what that process wrote until then stays. At most 64 claims
    /// of one array exist at a time; a further one waits.
    ///
    /// Elements are [`Pod`], since what another process scribbles over a slice must still be values.
    /// A `bool` is not, so arrays of it have `get`, `set`, `read` and `write` only:
    ///
    /// ```compile_fail,E0599
    /// let flags = commons::Array::<bool>::new(8)?;
    /// let claim = flags.claim(..)?;
    /// # Ok::<(), commons::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the range reaches behind the end, [`ErrorKind::WouldDeadlock`] if
    /// the calling thread has some of it claimed already, or holds all 64 claims.
    ///
    /// # Examples
    /// ```
    /// let array = commons::Array::<f64>::new(1_000)?;
    /// {
    ///     let mut part = array.claim(0..250)?;
    ///     part.fill(1.0);
    /// }
    /// assert_eq!(array.get(249), Some(1.0));
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn claim(&self, range: impl RangeBounds<usize>) -> Result<Claim<'_, T>> {
        Ok(Claim { part: self.part(range, Mode::Exclusive, Deadline::NEVER)? })
    }

    /// Claims `range` exclusively if nobody uses any of it now.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if somebody does; otherwise as [`Array::claim`].
    ///
    /// # Examples
    /// ```
    /// let array = commons::Array::<u8>::new(10)?;
    /// let low = array.claim(..5)?;
    /// assert!(array.try_claim(5..).is_ok());
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn try_claim(&self, range: impl RangeBounds<usize>) -> Result<Claim<'_, T>> {
        Ok(Claim { part: self.try_part(range, Mode::Exclusive)? })
    }

    /// Claims `range` exclusively if it is free within the time.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it is not; otherwise as [`Array::claim`].
    ///
    /// # Examples
    /// ```
    /// let array = commons::Array::<u8>::new(10)?;
    /// assert!(array.claim_timeout(.., std::time::Duration::from_millis(5)).is_ok());
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn claim_timeout(&self, range: impl RangeBounds<usize>, timeout: Duration) -> Result<Claim<'_, T>> {
        Ok(Claim { part: self.part(range, Mode::Exclusive, Deadline::after(timeout))? })
    }

    /// Waits until nobody writes `range`, and reads it in place: a `&[T]` that many can have at a
    /// time.
    ///
    /// # Errors
    /// As [`Array::claim`].
    ///
    /// # Examples
    /// ```
    /// let array = commons::Array::from_slice(&[1.0f64, 2.0, 3.0])?;
    /// assert_eq!(array.share(..)?.iter().sum::<f64>(), 6.0);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn share(&self, range: impl RangeBounds<usize>) -> Result<Share<'_, T>> {
        Ok(Share { part: self.part(range, Mode::Shared, Deadline::NEVER)? })
    }

    /// Shares `range` if nobody writes any of it now.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if somebody does; otherwise as [`Array::claim`].
    ///
    /// # Examples
    /// ```
    /// let array = commons::Array::from_slice(&[1u32, 2])?;
    /// let (one, two) = (array.try_share(..)?, array.try_share(..)?);
    /// assert_eq!(one[..], two[..]);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn try_share(&self, range: impl RangeBounds<usize>) -> Result<Share<'_, T>> {
        Ok(Share { part: self.try_part(range, Mode::Shared)? })
    }

    /// Shares `range` if nobody writes any of it within the time.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if somebody still does; otherwise as [`Array::claim`].
    ///
    /// # Examples
    /// ```
    /// let array = commons::Array::from_slice(&[1u32, 2])?;
    /// assert_eq!(array.share_timeout(1.., std::time::Duration::from_millis(5))?[0], 2);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn share_timeout(&self, range: impl RangeBounds<usize>, timeout: Duration) -> Result<Share<'_, T>> {
        Ok(Share { part: self.part(range, Mode::Shared, Deadline::after(timeout))? })
    }

    /// Claims the whole array exclusively.
    ///
    /// # Errors
    /// As [`Array::claim`].
    ///
    /// # Examples
    /// ```
    /// let array = commons::Array::from_slice(&[1u8, 2, 3])?;
    /// array.lock()?.reverse();
    /// assert_eq!(array.to_vec(), [3, 2, 1]);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn lock(&self) -> Result<Claim<'_, T>> {
        self.claim(..)
    }

    /// Claims the whole array if nobody uses any of it now.
    ///
    /// # Errors
    /// As [`Array::try_claim`].
    pub fn try_lock(&self) -> Result<Claim<'_, T>> {
        self.try_claim(..)
    }

    /// Claims the whole array if it is free within the time.
    ///
    /// # Errors
    /// As [`Array::claim_timeout`].
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Claim<'_, T>> {
        self.claim_timeout(.., timeout)
    }

    fn try_part(&self, range: impl RangeBounds<usize>, mode: Mode) -> Result<Part<'_, T>> {
        self.part(range, mode, Deadline::after(Duration::ZERO)).map_err(|error| match error.kind() {
            ErrorKind::TimedOut => Error::new(ErrorKind::WouldBlock, error.to_string()),
            _ => error,
        })
    }

    fn part(&self, range: impl RangeBounds<usize>, mode: Mode, deadline: Deadline) -> Result<Part<'_, T>> {
        let range = self.resolve(range)?;
        let wide = range.start as u64..range.end as u64;
        let claim = self.claims().claim(wide, mode, deadline, || self.undo())?;
        Ok(Part { array: self, range, claim, not_send: PhantomData })
    }

    /// The range in numbers, inside the array.
    fn resolve(&self, range: impl RangeBounds<usize>) -> Result<Range<usize>> {
        let start = match range.start_bound() {
            Bound::Included(&start) => Some(start),
            Bound::Excluded(&before) => before.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.checked_add(1),
            Bound::Excluded(&end) => Some(end),
            Bound::Unbounded => Some(self.len()),
        };
        match (start, end) {
            (Some(start), Some(end)) if start <= end && end <= self.len() => Ok(start..end),
            _ => {
                let (start, end, len) = (range.start_bound(), range.end_bound(), self.len());
                let message =
                    format!("the range from {start:?} to {end:?} does not lie in an array of {len} elements");
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
        }
    }
}

/// A claimed range; the claim ends when this is dropped.
///
/// It stays on its thread, since it is a thread that the kernel knows as the owner.
struct Part<'a, T: Plain + Send> {
    array: &'a Array<T>,
    range: Range<usize>,
    claim: usize,
    not_send: PhantomData<*const ()>,
}

impl<T: Plain + Send> Part<'_, T> {
    fn as_ptr(&self) -> *mut T {
        // SAFETY: the range lies in the array; an empty one may start at its very end.
        unsafe { self.array.start().add(self.range.start) }.as_ptr()
    }
}

impl<T: Plain + Send> Drop for Part<'_, T> {
    fn drop(&mut self) {
        self.array.claims().release(self.claim);
    }
}

/// A range of an [`Array`] that nobody else uses: a `&mut [T]` in shared memory.
///
/// It stays on its thread, since it is a thread that the kernel knows as the owner; the slice in it
/// may be used by others meanwhile.
///
/// ```compile_fail,E0277
/// let array = commons::Array::<u64>::new(8)?;
/// let claim = array.claim(..)?;
/// std::thread::scope(|scope| scope.spawn(move || drop(claim)).join().unwrap());
/// # Ok::<(), commons::Error>(())
/// ```
#[must_use = "the claim ends at once if this is not kept"]
pub struct Claim<'a, T: Pod + Send + Sync> {
    part: Part<'a, T>,
}

/// A range of an [`Array`] that nobody writes: a `&[T]` in shared memory. It stays on its thread, as
/// a [`Claim`] does.
#[must_use = "the range is released at once if this is not kept"]
pub struct Share<'a, T: Pod + Send + Sync> {
    part: Part<'a, T>,
}

impl<T: Pod + Send + Sync> Claim<'_, T> {
    /// Which elements of the array these are.
    pub fn range(&self) -> Range<usize> {
        self.part.range.clone()
    }
}

impl<T: Pod + Send + Sync> Share<'_, T> {
    /// Which elements of the array these are.
    pub fn range(&self) -> Range<usize> {
        self.part.range.clone()
    }
}

// SAFETY: `&Claim` gives `&[T]` and no more.
unsafe impl<T: Pod + Send + Sync> Sync for Claim<'_, T> {}

// SAFETY: as for `Claim`.
unsafe impl<T: Pod + Send + Sync> Sync for Share<'_, T> {}

impl<T: Pod + Send + Sync> Deref for Claim<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: aligned elements inside the segment, which stays mapped while the array is borrowed;
        // any bits are a valid `T: Pod`; the claim keeps every other user away.
        unsafe { slice::from_raw_parts(self.part.as_ptr(), self.part.range.len()) }
    }
}

impl<T: Pod + Send + Sync> DerefMut for Claim<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the claim is exclusive and borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.part.as_ptr(), self.part.range.len()) }
    }
}

impl<T: Pod + Send + Sync> Deref for Share<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: as for `Claim`; the shared claim keeps every writer away.
        unsafe { slice::from_raw_parts(self.part.as_ptr(), self.part.range.len()) }
    }
}

impl<T: Pod + Send + Sync + fmt::Debug> fmt::Debug for Claim<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Pod + Send + Sync + fmt::Debug> fmt::Debug for Share<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
