//! Where the tasks of a `Parallel` run.

use std::{fmt, sync::Arc};

use crate::{
    error::Result,
    workers::{Executor, Hall, Place, Sequential, Threads},
};

/// Where the tasks of a [`Parallel`](crate::Parallel) run.
///
/// # Examples
/// ```
/// use commons::{Backend, Parallel};
///
/// let lengths = Parallel::new()
///     .backend(Backend::threads())
///     .map(["a", "bc"].map(str::to_owned), |text| text.len())?;
/// assert_eq!(lengths, [1, 2]);
/// # Ok::<(), commons::TaskError>(())
/// ```
#[derive(Clone)]
pub struct Backend(pub(super) Kind);

#[derive(Clone)]
pub(super) enum Kind {
    Processes,
    Threads,
    Sequential,
    Custom(Arc<Hall>),
}

impl Backend {
    /// Worker processes: a task that dies takes nothing with it. This is the usual one.
    pub fn processes() -> Self {
        Self(Kind::Processes)
    }

    /// Threads of this process: nothing is sent, and a task that aborts takes the process with it. So does one
    /// that panics twice: a value that is dropped by a panic and panics itself.
    #[doc(alias = "threading")]
    pub fn threads() -> Self {
        Self(Kind::Threads)
    }

    /// One task after the other, in the calling thread: for debugging. So does `jobs(1)`.
    pub fn sequential() -> Self {
        Self(Kind::Sequential)
    }

    /// What an executor of one's own has. It says how many tasks it runs at a time; `jobs` does not.
    ///
    /// What [`init`](crate::Parallel::init) has made on a thread is dropped on it when the call is over: before
    /// the thread's next task, at the thread's end, or when the thread drops the last of these backends.
    ///
    /// # Errors
    /// `InvalidInput` if it has no workers.
    pub fn custom(executor: impl Executor) -> Result<Self> {
        Hall::of(executor).map(|hall| Self(Kind::Custom(hall)))
    }

    /// What people call it.
    pub(super) fn name(&self) -> &'static str {
        match self.0 {
            Kind::Processes => "processes",
            Kind::Threads => "threads",
            Kind::Sequential => "sequential",
            Kind::Custom(_) => "custom",
        }
    }
}

/// A place in this process with so many threads.
pub(super) fn threads(workers: usize) -> Result<Place> {
    Ok(Place::Here(Hall::of(Threads::start(workers)?)?))
}

/// The calling thread as a place.
pub(super) fn sequential() -> Result<Place> {
    Ok(Place::Here(Hall::of(Sequential)?))
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend::{}", self.name())
    }
}
