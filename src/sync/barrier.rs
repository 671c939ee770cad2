//! A meeting of a fixed number of parties.

use std::{fmt, time::Duration};

use crate::{
    deadline::Deadline,
    error::{Error, ErrorKind},
    raw::barrier::{BarrierFault, RawBarrier},
};

/// A point where a number of threads, of any processes, wait for each other again and again.
///
/// A party is whoever has waited since the last [`reset`](Barrier::reset). If one dies, is late or
/// calls it off, the barrier is broken for all of them, instead of leaving them waiting for ever;
/// after `reset` it works again. `PARTIES` is how many there can be at the most.
///
/// # Examples
/// ```
/// use commons::{Shared, sync::Barrier};
///
/// # fn main() -> commons::Result<()> {
/// let start = Shared::new(Barrier::new(2))?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| start.wait().unwrap());
///     let turn = start.wait().unwrap();
///     assert!(turn.index < 2);
/// });
/// # Ok(()) }
/// ```
#[repr(C)]
pub struct Barrier<const PARTIES: usize = 64> {
    pub(super) raw: RawBarrier<PARTIES>,
}

/// How a party passed a [`Barrier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierTurn {
    /// In which place it came: 0 for the first, up to one less than there are parties.
    pub index: usize,
    /// True for one of them, the last to come.
    pub is_leader: bool,
}

/// Why a party did not pass a [`Barrier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BarrierError {
    /// A party died, was late or called it off, or the barrier was reset.
    Broken,
    /// More threads have waited since the last reset than there are parties.
    TooManyParties,
}

impl fmt::Display for BarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => {
                "the barrier is broken: a party died, was late or called it off; after `reset` it works again"
            }
            Self::TooManyParties => {
                "more threads have waited at the barrier since its last reset than it has parties; a thread that \
                 takes the place of an ended one needs a `reset` first"
            }
        })
    }
}

impl std::error::Error for BarrierError {}

impl From<BarrierError> for Error {
    fn from(error: BarrierError) -> Self {
        let kind = match error {
            BarrierError::Broken => ErrorKind::Broken,
            BarrierError::TooManyParties => ErrorKind::NoSpace,
        };
        Self::new(kind, error.to_string())
    }
}

impl Barrier {
    /// A barrier for this many parties, at most 64; for more, see [`Barrier::with_capacity`].
    ///
    /// # Panics
    /// If `parties` is 0 or more than 64.
    #[track_caller]
    pub fn new(parties: usize) -> Self {
        Self::with_capacity(parties)
    }
}

impl<const PARTIES: usize> Barrier<PARTIES> {
    /// A barrier for this many parties, at most `PARTIES`.
    ///
    /// # Panics
    /// If `parties` is 0 or more than `PARTIES`.
    ///
    /// # Examples
    /// ```
    /// use commons::sync::Barrier;
    ///
    /// assert_eq!(Barrier::<200>::with_capacity(100).parties(), 100);
    /// ```
    #[track_caller]
    pub fn with_capacity(parties: usize) -> Self {
        assert!(
            (1..=PARTIES).contains(&parties),
            "a barrier for {parties} parties is not possible with room for 1 to {PARTIES}: write \
             Barrier::<{parties}>::with_capacity({parties})"
        );
        Self { raw: RawBarrier::new(parties as u32) }
    }

    /// Waits until all parties are here.
    ///
    /// # Errors
    /// [`BarrierError::Broken`] if a party dies, is late or calls it off, then or before.
    ///
    /// # Panics
    /// If the calling thread holds 1024 locks.
    ///
    /// # Examples
    /// ```
    /// let alone = commons::sync::Barrier::new(1);
    /// assert!(alone.wait().unwrap().is_leader);
    /// ```
    #[track_caller]
    pub fn wait(&self) -> Result<BarrierTurn, BarrierError> {
        self.wait_until(Deadline::NEVER)
    }

    /// As [`Barrier::wait`]; who waits longer than `timeout` breaks the barrier for all.
    ///
    /// # Errors
    /// As [`Barrier::wait`].
    ///
    /// # Panics
    /// As [`Barrier::wait`].
    ///
    /// # Examples
    /// ```
    /// use commons::sync::{Barrier, BarrierError};
    /// use std::time::Duration;
    ///
    /// let two = Barrier::new(2);
    /// assert_eq!(two.wait_timeout(Duration::from_millis(2)), Err(BarrierError::Broken));
    /// assert!(two.is_broken());
    /// ```
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierTurn, BarrierError> {
        self.wait_until(Deadline::after(timeout))
    }

    #[track_caller]
    fn wait_until(&self, deadline: Deadline) -> Result<BarrierTurn, BarrierError> {
        match self.raw.wait(deadline) {
            Ok((index, is_leader)) => Ok(BarrierTurn { index, is_leader }),
            Err(BarrierFault::Broken) => Err(BarrierError::Broken),
            Err(BarrierFault::TooManyParties) => Err(BarrierError::TooManyParties),
            Err(BarrierFault::Lock(fault)) => panic!("{}", fault.sentence()),
        }
    }

    /// Breaks the barrier for all parties.
    ///
    /// # Examples
    /// ```
    /// use commons::sync::{Barrier, BarrierError};
    ///
    /// let barrier = Barrier::new(2);
    /// barrier.abort();
    /// assert_eq!(barrier.wait(), Err(BarrierError::Broken));
    /// barrier.reset();
    /// assert!(!barrier.is_broken());
    /// ```
    pub fn abort(&self) {
        self.raw.break_it();
    }

    /// Makes the barrier whole, with no parties. Who waits now hears that it was broken.
    ///
    /// # Panics
    /// If the calling thread holds 1024 locks.
    #[track_caller]
    pub fn reset(&self) {
        if let Err(fault) = self.raw.reset() {
            panic!("{}", fault.sentence());
        }
    }

    /// Whether it is broken.
    #[doc(alias = "broken")]
    pub fn is_broken(&self) -> bool {
        self.raw.is_broken()
    }

    /// How many parties it is for.
    pub fn parties(&self) -> usize {
        self.raw.parties() as usize
    }

    /// How many parties wait now; the answer may be old when it arrives.
    #[doc(alias = "n_waiting")]
    pub fn waiting(&self) -> usize {
        self.raw.waiting()
    }
}

impl<const PARTIES: usize> fmt::Debug for Barrier<PARTIES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.parties())
            .field("waiting", &self.waiting())
            .field("is_broken", &self.is_broken())
            .finish()
    }
}
