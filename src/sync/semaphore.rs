//! A number of permits that threads of any process hold for a while.

use std::{fmt, marker::PhantomData, time::Duration};

use crate::{
    deadline::Deadline,
    error::{Error, ErrorKind, Result},
    raw::{mutex::LockFault, semaphore::RawSemaphore},
};

/// Permits that threads of any process take and give back; a dead or ended holder's come back.
///
/// `PERMITS` is how many there can ever be. A permit belongs to the thread that took it.
///
/// # Examples
/// ```
/// use commons::{Shared, sync::Semaphore};
///
/// # fn main() -> commons::Result<()> {
/// let gate = Shared::new(Semaphore::new(3))?;
/// let permit = gate.acquire();
/// assert_eq!(gate.available(), 2);
/// drop(permit);
/// gate.add_permits(1)?;
/// assert_eq!(gate.available(), 4);
/// # Ok(()) }
/// ```
#[doc(alias("BoundedSemaphore"))]
#[repr(C)]
pub struct Semaphore<const PERMITS: usize = 32> {
    pub(super) raw: RawSemaphore<PERMITS>,
}

impl Semaphore {
    /// A semaphore with this many permits, of at most 32; for more, see
    /// [`Semaphore::with_capacity`].
    ///
    /// # Panics
    /// If `permits` is more than 32.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::sync::Semaphore::new(3).available(), 3);
    /// ```
    #[track_caller]
    pub fn new(permits: usize) -> Self {
        Self::with_capacity(permits)
    }
}

impl<const PERMITS: usize> Semaphore<PERMITS> {
    /// A semaphore with this many permits, of at most `PERMITS`.
    ///
    /// # Panics
    /// If `permits` is more than `PERMITS`.
    ///
    /// # Examples
    /// ```
    /// use commons::sync::Semaphore;
    ///
    /// assert_eq!(Semaphore::<100>::with_capacity(40).available(), 40);
    /// ```
    #[track_caller]
    pub fn with_capacity(permits: usize) -> Self {
        assert!(
            permits <= PERMITS,
            "{permits} permits are more than this semaphore's capacity of {PERMITS}: write \
             Semaphore::<{permits}>::with_capacity({permits})"
        );
        Self { raw: RawSemaphore::new(permits) }
    }

    /// Waits for a free permit and takes it.
    ///
    /// # Panics
    /// If the calling thread holds 1024 locks and permits.
    ///
    /// # Examples
    /// ```
    /// let gate = commons::sync::Semaphore::new(1);
    /// let permit = gate.acquire();
    /// assert!(gate.try_acquire().is_none());
    /// ```
    #[track_caller]
    pub fn acquire(&self) -> Permit<'_, PERMITS> {
        match self.acquire_deadline(Deadline::NEVER) {
            Some(permit) => permit,
            None => unreachable!("never has passed"),
        }
    }

    /// Takes a permit if one is free now.
    ///
    /// # Panics
    /// As [`Semaphore::acquire`].
    #[track_caller]
    pub fn try_acquire(&self) -> Option<Permit<'_, PERMITS>> {
        self.permit(self.raw.try_acquire())
    }

    /// Waits for a permit, but no longer than `timeout`.
    ///
    /// # Panics
    /// As [`Semaphore::acquire`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let gate = commons::sync::Semaphore::new(0);
    /// assert!(gate.acquire_timeout(Duration::from_millis(2)).is_none());
    /// ```
    #[track_caller]
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<Permit<'_, PERMITS>> {
        self.acquire_deadline(Deadline::after(timeout))
    }

    #[track_caller]
    fn acquire_deadline(&self, deadline: Deadline) -> Option<Permit<'_, PERMITS>> {
        self.permit(self.raw.acquire(deadline))
    }

    #[track_caller]
    fn permit(&self, acquired: Result<usize, LockFault>) -> Option<Permit<'_, PERMITS>> {
        match acquired {
            Ok(index) => Some(Permit { semaphore: self, index, not_send: PhantomData }),
            Err(fault @ (LockFault::TooMany | LockFault::Detached)) => panic!("{}", fault.sentence()),
            Err(_) => None,
        }
    }

    /// Adds permits.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`] if that would be more than `PERMITS`; none is added then.
    ///
    /// # Examples
    /// ```
    /// let gate = commons::sync::Semaphore::new(30);
    /// assert!(gate.add_permits(2).is_ok());
    /// assert!(gate.add_permits(1).is_err());
    /// ```
    #[doc(alias = "release")]
    pub fn add_permits(&self, permits: usize) -> Result<()> {
        self.raw.add(permits)?.map_err(|room| {
            let message = format!(
                "{permits} permits cannot be added to a semaphore with a capacity of {PERMITS}: there is room for \
                 {room} more"
            );
            Error::new(ErrorKind::NoSpace, message)
        })
    }

    /// How many permits are free; the answer may be old when it arrives.
    #[doc(alias = "get_value")]
    pub fn available(&self) -> usize {
        self.raw.available()
    }
}

impl<const PERMITS: usize> fmt::Debug for Semaphore<PERMITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available", &self.available()).field("capacity", &PERMITS).finish()
    }
}

/// A permit of a [`Semaphore`], given back on drop.
#[must_use = "the permit is given back at once if it is not kept"]
pub struct Permit<'a, const PERMITS: usize = 32> {
    semaphore: &'a Semaphore<PERMITS>,
    index: usize,
    not_send: PhantomData<*const ()>,
}

impl<const PERMITS: usize> Permit<'_, PERMITS> {
    /// Takes the permit out of circulation: the semaphore has one less from now on.
    ///
    /// # Examples
    /// ```
    /// let gate = commons::sync::Semaphore::new(3);
    /// gate.acquire().forget();
    /// assert_eq!(gate.available(), 2);
    /// ```
    pub fn forget(self) {
        self.semaphore.raw.forget(self.index);
        std::mem::forget(self);
    }
}

impl<const PERMITS: usize> Drop for Permit<'_, PERMITS> {
    fn drop(&mut self) {
        self.semaphore.raw.release(self.index);
    }
}

impl<const PERMITS: usize> fmt::Debug for Permit<'_, PERMITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit {} of {:?}", self.index, self.semaphore)
    }
}
