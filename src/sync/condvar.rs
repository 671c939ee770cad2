//! Waiting for a change of what a [`Mutex`](super::Mutex) protects.

use std::{fmt, time::Duration};

use bytemuck::Pod;

use super::mutex::{LockResult, MutexGuard, OwnerDied};
use crate::{deadline::Deadline, raw::condvar::RawCondvar};

/// Waits, without holding the lock, until another thread of any process says that something changed.
///
/// As [`std::sync::Condvar`]: wake-ups can be spurious, so wait in a loop or with
/// [`wait_while`](Condvar::wait_while). A waiter that is killed takes no notification with it that
/// another one needs, and nobody who notifies waits for those it wakes.
///
/// A notification goes to any thread that waits when it is taken, also to one that began to wait after
/// it; with [`notify_one`](Condvar::notify_one), let all who wait want the same.
///
/// # Examples
/// ```
/// use commons::{Shareable, Shared, sync::{Condvar, Mutex}};
///
/// #[derive(Default, Shareable)]
/// #[repr(C)]
/// struct Stock {
///     pieces: Mutex<u64>,
///     changed: Condvar,
/// }
///
/// # fn main() -> commons::Result<()> {
/// let stock = Shared::new(Stock::default())?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         *stock.pieces.lock().unwrap() += 1;
///         stock.changed.notify_one();
///     });
///     let mut pieces = stock.changed.wait_while(stock.pieces.lock().unwrap(), |pieces| *pieces == 0).unwrap();
///     *pieces -= 1;
/// });
/// # Ok(()) }
/// ```
#[doc(alias = "Condition")]
#[repr(C)]
pub struct Condvar {
    pub(super) raw: RawCondvar,
}

/// Whether a wait of a [`Condvar`] ended because its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether it ended because its time was over.
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// A condition that nobody waits for.
    pub const fn new() -> Self {
        Self { raw: RawCondvar::new() }
    }

    /// Releases the lock, waits for a notification, and takes the lock again.
    ///
    /// # Errors
    /// [`OwnerDied`] as [`Mutex::lock`](super::Mutex::lock).
    ///
    /// # Panics
    /// If the thread holds 1024 other locks when it comes back.
    ///
    /// # Examples
    /// See [`Condvar`].
    #[track_caller]
    pub fn wait<'a, T: Pod + Send>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_deadline(guard, Deadline::NEVER).map(|(guard, _)| guard).map_err(without_timeout)
    }

    /// Waits as long as `condition` says yes of the value.
    ///
    /// # Errors
    /// [`OwnerDied`] as [`Mutex::lock`](super::Mutex::lock); the condition may hold still then.
    ///
    /// # Panics
    /// As [`Condvar::wait`].
    ///
    /// # Examples
    /// See [`Condvar`].
    #[doc(alias = "wait_for")]
    #[track_caller]
    pub fn wait_while<'a, T: Pod + Send>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`Condvar::wait`], but no longer than `timeout`.
    ///
    /// # Errors
    /// As [`Condvar::wait`].
    ///
    /// # Panics
    /// As [`Condvar::wait`].
    ///
    /// # Examples
    /// ```
    /// use commons::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    ///
    /// let (mutex, condvar) = (Mutex::new(0u8), Condvar::new());
    /// let (guard, result) = condvar.wait_timeout(mutex.lock().unwrap(), Duration::from_millis(2)).unwrap();
    /// assert!(result.timed_out());
    /// ```
    #[track_caller]
    pub fn wait_timeout<'a, T: Pod + Send>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        self.wait_deadline(guard, Deadline::after(timeout))
    }

    /// As [`Condvar::wait_while`], but no longer than `timeout`.
    ///
    /// # Errors
    /// As [`Condvar::wait_while`].
    ///
    /// # Panics
    /// As [`Condvar::wait`].
    ///
    /// # Examples
    /// ```
    /// use commons::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    ///
    /// let (mutex, condvar) = (Mutex::new(0u8), Condvar::new());
    /// let guard = mutex.lock().unwrap();
    /// let (guard, result) = condvar.wait_timeout_while(guard, Duration::from_millis(2), |n| *n == 0).unwrap();
    /// assert!(result.timed_out());
    /// ```
    #[track_caller]
    pub fn wait_timeout_while<'a, T: Pod + Send>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let deadline = Deadline::after(timeout);
        loop {
            if !condition(&mut guard) {
                return Ok((guard, WaitTimeoutResult(false)));
            }
            if deadline.has_passed() {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            guard = self.wait_deadline(guard, deadline)?.0;
        }
    }

    #[track_caller]
    fn wait_deadline<'a, T: Pod + Send>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Deadline,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let mutex = MutexGuard::mutex(&guard);
        let turn = self.raw.enter();
        drop(guard);
        let result = WaitTimeoutResult(!self.raw.wait(turn, deadline));
        match mutex.lock() {
            Ok(guard) => Ok((guard, result)),
            Err(died) => Err(OwnerDied::around((died.into_guard(), result))),
        }
    }

    /// Wakes one waiter.
    pub fn notify_one(&self) {
        self.raw.notify(1);
    }

    /// Wakes up to `count` waiters.
    ///
    /// # Examples
    /// ```
    /// commons::sync::Condvar::new().notify(2);
    /// ```
    pub fn notify(&self, count: usize) {
        self.raw.notify(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Wakes all waiters.
    pub fn notify_all(&self) {
        self.raw.notify(u32::MAX);
    }
}

fn without_timeout<G>(died: OwnerDied<(G, WaitTimeoutResult)>) -> OwnerDied<G> {
    OwnerDied::around(died.into_guard().0)
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
