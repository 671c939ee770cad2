//! How a process ended.

use std::fmt;

/// How a process ended.
///
/// # Examples
/// ```
/// use commons::Exit;
///
/// assert_eq!(Exit::Code(3).to_string(), "ended with exit code 3");
/// assert_eq!(Exit::Signal(9).to_string(), "was killed by signal 9 (SIGKILL)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It exited with this code; 0 is success.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// Its function panicked.
    Panicked,
}

/// The exit code of a worker whose function panicked, as of any Rust program that panics.
pub(super) const PANICKED: i32 = 101;
/// The exit code of a worker that reached `spawn` before `commons::init()`.
pub(super) const NOT_INITIALISED: i32 = 120;
/// The exit code of a worker that found no call, or could not tell its outcome.
pub(super) const NO_CALL: i32 = 121;

impl Exit {
    /// Whether somebody else ended it, by a signal that a program does not bring upon itself.
    pub(super) fn came_from_outside(self) -> bool {
        matches!(self, Self::Signal(1 | 2 | 9 | 15))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Signal(signal) => match name(signal) {
                Some(name) => write!(f, "was killed by signal {signal} ({name})"),
                None => write!(f, "was killed by signal {signal}"),
            },
            Self::Panicked => f.write_str("panicked"),
        }
    }
}

/// The signals whose numbers are the same on every Linux.
fn name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    })
}
