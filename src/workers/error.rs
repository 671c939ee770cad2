//! Why a task has no result.

use std::fmt;

use crate::{
    error::{Error, ErrorKind},
    failure::Failure,
    process::Exit,
};

/// Why a task has no result: which one, what happened, and in which worker.
///
/// `Display` and `Debug` are a sentence.
///
/// # Examples
/// ```
/// commons::init_in_tests!();
/// use commons::{Pool, TaskErrorKind};
///
/// # fn main() -> commons::Result<()> {
/// let pool = Pool::new(1)?;
/// let error = pool.map(1..4u32, |n| if n == 2 { panic!("not two") } else { n }).unwrap_err();
/// assert_eq!(error.index(), 1);
/// assert!(matches!(error.kind(), TaskErrorKind::Panicked { message, .. } if message == "not two"));
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TaskError {
    index: usize,
    kind: TaskErrorKind,
    worker: Option<u32>,
}

/// What happened to a task instead of a result.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskErrorKind {
    /// Its function returned an error.
    Failed(Failure),
    /// Its function panicked.
    Panicked {
        /// What the panic said.
        message: String,
        /// `file:line:column` of the panic.
        location: String,
        /// The stack at the panic.
        backtrace: String,
    },
    /// Its worker ended meanwhile.
    Exit(Exit),
    /// Its worker ended meanwhile, because memory ran out: an allocation failed there, or the kernel killed
    /// processes just then.
    OutOfMemory(Exit),
    /// It took longer than a task may. A worker process was killed; a thread goes on, and its result is lost.
    TimedOut,
    /// It was called off before it began.
    Cancelled,
    /// Its arguments could not be written as a message, or its result could not.
    Encode(String),
    /// Its arguments could not be read in the worker, or its result could not be read here.
    Decode(String),
    /// It could not be given to a worker.
    Refused(String),
}

impl TaskError {
    pub(crate) fn new(index: usize, kind: TaskErrorKind, worker: Option<u32>) -> Self {
        Self { index, kind, worker }
    }

    /// The same of a task that is the group of this number, of groups of so many items.
    pub(crate) fn of_group(self, size: usize) -> Self {
        Self { index: self.index.saturating_mul(size), ..self }
    }

    /// The number of the task, counted from 0 in the order of the input.
    pub fn index(&self) -> usize {
        self.index
    }

    /// What happened.
    pub fn kind(&self) -> &TaskErrorKind {
        &self.kind
    }

    /// The process that it was in, if it came to one.
    pub fn worker(&self) -> Option<u32> {
        self.worker
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, kind, worker } = self;
        write!(f, "task {index} ")?;
        match kind {
            TaskErrorKind::Failed(failure) => write!(f, "failed at {}: {failure}", failure.location())?,
            TaskErrorKind::Panicked { message, location, .. } => {
                write!(f, "panicked at {location}: {message}")?;
            }
            TaskErrorKind::Exit(exit) => write!(f, "has no result, because its worker {exit}")?,
            TaskErrorKind::OutOfMemory(exit) => write!(
                f,
                "has no result, because memory ran out and its worker {exit}: give workers less at a time, \
                 or have fewer of them"
            )?,
            TaskErrorKind::TimedOut if worker.is_some() => {
                f.write_str("took longer than it may, and its worker was killed")?;
            }
            TaskErrorKind::TimedOut => f.write_str("took longer than it may; its thread goes on")?,
            TaskErrorKind::Cancelled => f.write_str("was cancelled before it began")?,
            TaskErrorKind::Encode(why) => write!(f, "could not be sent: {why}")?,
            TaskErrorKind::Decode(why) => write!(f, "could not be read: {why}")?,
            TaskErrorKind::Refused(why) => write!(f, "was not begun: {why}")?,
        }
        worker.map_or(Ok(()), |worker| write!(f, " (worker {worker})"))
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for TaskError {}

impl From<TaskError> for Error {
    fn from(error: TaskError) -> Self {
        let kind = match error.kind {
            TaskErrorKind::Encode(_) => ErrorKind::Encode,
            TaskErrorKind::Decode(_) => ErrorKind::Decode,
            TaskErrorKind::TimedOut => ErrorKind::TimedOut,
            TaskErrorKind::Cancelled | TaskErrorKind::Refused(_) => ErrorKind::Closed,
            _ => ErrorKind::Process,
        };
        Self::new(kind, error.to_string())
    }
}
