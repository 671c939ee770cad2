//! Why a process did not give its result.

use std::fmt;

use crate::{
    error::{Error, ErrorKind},
    process::exit::Exit,
};

/// Why a process did not give the result of its function.
///
/// `Display` and `Debug` are a sentence that names the process, what happened and what to do.
///
/// # Examples
/// ```
/// commons::init_in_tests!();
/// use commons::{Exit, ProcessError};
///
/// # fn main() -> commons::Result<()> {
/// let process = commons::spawn(3, |code: i32| -> u8 { std::process::exit(code) })?;
/// match process.join() {
///     Err(ProcessError::Exited { exit, .. }) => assert_eq!(exit, Exit::Code(3)),
///     other => panic!("{other:?}"),
/// }
/// # Ok(()) }
/// ```
#[non_exhaustive]
#[derive(Clone, PartialEq, Eq)]
pub enum ProcessError {
    /// It ended before its function returned.
    Exited {
        /// The process.
        id: u32,
        /// How it ended.
        exit: Exit,
    },
    /// Its function panicked.
    Panicked {
        /// The process.
        id: u32,
        /// What the panic said.
        message: String,
        /// `file:line:column` of the panic.
        location: String,
        /// The stack at the panic.
        backtrace: String,
    },
    /// It ended before `commons::init()` took over.
    NotStarted {
        /// The process.
        id: u32,
        /// How it ended.
        exit: Exit,
    },
    /// It took over, but could not run the function.
    Refused {
        /// The process.
        id: u32,
        /// Why not.
        reason: String,
    },
    /// The result could not be written as a message.
    Encode {
        /// The process.
        id: u32,
        /// What the encoder said, with the type.
        reason: String,
    },
    /// The arguments could not be read there, or the result here.
    Decode {
        /// The process.
        id: u32,
        /// What the decoder said, with the type.
        reason: String,
    },
    /// How it ended cannot be known.
    Unknown {
        /// The process.
        id: u32,
        /// Why not.
        reason: String,
    },
}

impl ProcessError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Encode { .. } => ErrorKind::Encode,
            Self::Decode { .. } => ErrorKind::Decode,
            _ => ErrorKind::Process,
        }
    }
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited { id, exit } => write!(f, "process {id} {exit} before its function returned"),
            Self::Panicked { id, message, location, .. } => {
                write!(f, "process {id} panicked at {location}: {message}")
            }
            Self::NotStarted { id, exit } => write!(
                f,
                "process {id} {exit} before it took over: make `commons::init()` the first line of \
                 `main`, so that nothing runs in a worker before it"
            ),
            Self::Refused { id, reason } => write!(f, "process {id} could not run the function: {reason}"),
            Self::Encode { id, reason } => write!(f, "process {id} could not send its result: {reason}"),
            Self::Decode { id, reason } => {
                write!(f, "what went to or came from process {id} could not be read: {reason}")
            }
            Self::Unknown { id, reason } => write!(f, "how process {id} ended is unknown: {reason}"),
        }
    }
}

impl fmt::Debug for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ProcessError {}

impl From<ProcessError> for Error {
    fn from(error: ProcessError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}
