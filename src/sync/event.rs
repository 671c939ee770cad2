//! A flag that processes wait for.

use std::{fmt, sync::atomic::AtomicU32, time::Duration};

use crate::{deadline::Deadline, raw::event::RawEvent};

/// A flag that any process can set, clear and wait for.
///
/// `set` releases everybody who waits, also if the flag is cleared again at once.
///
/// # Examples
/// ```
/// use commons::{Shared, sync::Event};
///
/// # fn main() -> commons::Result<()> {
/// let go = Shared::new(Event::new())?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| go.set());
///     go.wait();
/// });
/// assert!(go.is_set());
/// # Ok(()) }
/// ```
#[repr(C)]
pub struct Event {
    pub(super) raw: RawEvent,
}

impl Event {
    /// A flag that is not set.
    ///
    /// # Examples
    /// ```
    /// assert!(!commons::sync::Event::new().is_set());
    /// ```
    pub const fn new() -> Self {
        Self { raw: RawEvent::new() }
    }

    /// Whether the flag is set.
    pub fn is_set(&self) -> bool {
        self.raw.is_set()
    }

    /// For a select: announces a sleeper.
    pub(crate) fn announce_waiter(&self) -> (&AtomicU32, u32) {
        self.raw.announce()
    }

    /// Sets the flag and releases everybody who waits.
    ///
    /// # Examples
    /// ```
    /// let event = commons::sync::Event::new();
    /// event.set();
    /// event.wait();
    /// ```
    pub fn set(&self) {
        self.raw.set();
    }

    /// Clears the flag. Whoever was released already goes on.
    pub fn clear(&self) {
        self.raw.clear();
    }

    /// Waits until the flag is set, or was set for a moment meanwhile.
    pub fn wait(&self) {
        self.raw.wait(Deadline::NEVER);
    }

    /// As [`Event::wait`], but no longer than `timeout`; whether the flag was set.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// assert!(!commons::sync::Event::new().wait_timeout(Duration::from_millis(2)));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.raw.wait(Deadline::after(timeout))
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.is_set()).finish()
    }
}
