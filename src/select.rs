//! Waiting for the first of several things.

use std::{fmt, sync::atomic::AtomicU32, time::Duration};

use crate::{
    channel::Receiver,
    deadline::Deadline,
    error::{Error, ErrorKind, Result},
    pipe::Connection,
    process::Process,
    queue::{Queue, Side},
    shared::Shared,
    sync::Event,
    sys::futex::{self, LONGEST_SLICE},
};

/// Waits for the first of several receivers, queues, connections, events and processes.
///
/// # Examples
/// ```
/// use commons::{Queue, Select, Shared, sync::Event};
///
/// # fn main() -> commons::Result<()> {
/// let (jobs, stop) = (Queue::<u32>::bounded(10)?, Shared::new(Event::new())?);
/// jobs.send(&5)?;
/// let ready = Select::new().on(&jobs).on(&*stop).wait()?;
/// assert_eq!(ready, [0]);
/// # Ok(()) }
/// ```
#[derive(Default)]
pub struct Select<'a> {
    sources: Vec<&'a dyn Selectable>,
}

/// The kernel's limit for one wait.
const MOST: usize = 128;

impl<'a> Select<'a> {
    /// Nothing to wait for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for this too. Its index is how many were added before.
    #[must_use]
    pub fn on(mut self, source: &'a impl Selectable) -> Self {
        self.sources.push(source);
        self
    }

    /// Waits until at least one is ready; the indices of those that are.
    ///
    /// A queue, receiver or connection is ready when a receive would not wait, an event when it is set,
    /// a process when it has ended. Others may be faster: use the `try_` form then.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for nothing, or for more than 128 sources.
    pub fn wait(&self) -> Result<Vec<usize>> {
        self.wait_until(Deadline::NEVER)
    }

    /// The indices of those that are ready now; empty if none is.
    ///
    /// # Errors
    /// As [`Select::wait`].
    pub fn try_wait(&self) -> Result<Vec<usize>> {
        self.check()?;
        Ok(self.ready())
    }

    /// As [`Select::wait`], but no longer than `timeout`.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if none is ready in time; otherwise as [`Select::wait`].
    ///
    /// # Examples
    /// ```
    /// use commons::{ErrorKind, Queue, Select};
    /// use std::time::Duration;
    ///
    /// # fn main() -> commons::Result<()> {
    /// let jobs = Queue::<u32>::bounded(10)?;
    /// let late = Select::new().on(&jobs).wait_timeout(Duration::from_millis(2)).unwrap_err();
    /// assert_eq!(late.kind(), ErrorKind::TimedOut);
    /// # Ok(()) }
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Vec<usize>> {
        self.wait_until(Deadline::after(timeout))
    }

    fn check(&self) -> Result<()> {
        let count = self.sources.len();
        if (1..=MOST).contains(&count) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            format!("a select of {count} sources is not possible: 1 to {MOST} are"),
        ))
    }

    fn ready(&self) -> Vec<usize> {
        let ready = |(index, source): (usize, &&dyn Selectable)| source.is_ready().then_some(index);
        self.sources.iter().enumerate().filter_map(ready).collect()
    }

    fn wait_until(&self, deadline: Deadline) -> Result<Vec<usize>> {
        self.check()?;
        let mut slice = Duration::from_millis(1);
        loop {
            // Announced first and looked at after that: what changes in between changes a word.
            let words: Vec<_> = self.sources.iter().map(|source| source.announce()).collect();
            let ready = self.ready();
            if !ready.is_empty() {
                return Ok(ready);
            }
            if deadline.has_passed() {
                let message = format!("none of {} sources was ready in time", self.sources.len());
                return Err(Error::new(ErrorKind::TimedOut, message));
            }
            if futex::wait_any(&words, deadline.within(slice)) == futex::Woken::TimedOut {
                self.sources.iter().for_each(|source| source.idle());
                slice = (slice * 2).min(LONGEST_SLICE);
            }
        }
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("sources", &self.sources.len()).finish()
    }
}

/// What a [`Select`] can wait for. It is implemented here and nowhere else.
pub trait Selectable: private::Source {}

impl<S: private::Source> Selectable for S {}

mod private {
    use super::AtomicU32;

    /// What a select asks of a source.
    #[expect(unnameable_types, reason = "sealed")]
    pub trait Source {
        /// Whether using it would not wait.
        fn is_ready(&self) -> bool;

        /// Announces a sleeper: the word that changes when it becomes ready, and how it is now.
        fn announce(&self) -> (&AtomicU32, u32);

        /// Asks who is dead.
        fn idle(&self) {}
    }
}

use private::Source;

macro_rules! received_from {
    ($($handle:ident<$($message:ident),+>: $senders:expr;)*) => {$(
        impl<$($message),+> Source for $handle<$($message),+> {
            fn is_ready(&self) -> bool {
                self.core().is_ready()
            }

            fn announce(&self) -> (&AtomicU32, u32) {
                self.core().announce_receiver()
            }

            fn idle(&self) {
                self.core().look_for_dead($senders);
            }
        }
    )*};
}

// Each with the side that must live.
received_from! {
    Queue<T>: None;
    Receiver<T>: Some(Side::Senders);
    Connection<S, R>: Some(Side::Senders);
}

impl Source for Event {
    fn is_ready(&self) -> bool {
        self.is_set()
    }

    fn announce(&self) -> (&AtomicU32, u32) {
        self.announce_waiter()
    }
}

impl Source for Shared<Event> {
    fn is_ready(&self) -> bool {
        (**self).is_ready()
    }

    fn announce(&self) -> (&AtomicU32, u32) {
        (**self).announce()
    }
}

impl<R> Source for Process<R> {
    fn is_ready(&self) -> bool {
        self.is_finished()
    }

    fn announce(&self) -> (&AtomicU32, u32) {
        self.state()
    }
}
