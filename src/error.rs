//! One error for everything that is set up: a kind for programs, a sentence for people.

use std::{fmt, io};

use serde::{Deserialize, Serialize};

/// A [`std::result::Result`] whose error is [`struct@Error`] unless said otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a shared object failed.
///
/// `Display` **and** `Debug` print the same sentence: what was expected, what was found, what to
/// do. A `main` that returns [`Result`] therefore ends in a sentence and not in a dump.
///
/// It can be sent, so a function that runs in another process may return a [`Result`] too. Of what
/// the operating system said, the code arrives.
///
/// # Examples
/// ```
/// use commons::{ErrorKind, Value};
///
/// let error = Value::<u64>::open("nobody-made-this").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert!(error.to_string().contains("nobody-made-this"));
/// ```
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Error(Box<Inner>);

#[derive(Serialize, Deserialize)]
struct Inner {
    kind: ErrorKind,
    message: String,
    #[serde(with = "code")]
    source: Option<io::Error>,
}

/// An error of the operating system as its code.
mod code {
    use std::io;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(source: &Option<io::Error>, to: S) -> Result<S::Ok, S::Error> {
        source.as_ref().and_then(io::Error::raw_os_error).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<io::Error>, D::Error> {
        Ok(Option::<i32>::deserialize(from)?.map(io::Error::from_raw_os_error))
    }
}

/// The classes of [`struct@Error`] that a program may want to tell apart.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorKind {
    /// No object of that name exists.
    NotFound,
    /// An object of that name exists already.
    AlreadyExists,
    /// The name is empty, too long, or holds `/` or NUL.
    InvalidName,
    /// An argument is out of its range.
    InvalidInput,
    /// The object is of another kind, type, size, count or layout than the caller asked for.
    Mismatch,
    /// The bytes are not what this crate writes: damaged, truncated or somebody else's.
    Corrupt,
    /// The file system, the memory group or a table is full.
    NoSpace,
    /// The time given to a wait has passed.
    TimedOut,
    /// The other side has closed the object.
    Closed,
    /// A barrier's party died, was late or called it off.
    Broken,
    /// The object, or the process that held it, is gone.
    Gone,
    /// The object belongs to another pid or time namespace, where our thread ids mean nothing.
    OtherNamespace,
    /// The file belongs to another user or is no regular file.
    Denied,
    /// The lock or claim is held by somebody else now.
    WouldBlock,
    /// The lock or claim is held by the calling thread itself.
    WouldDeadlock,
    /// An owner of the lock died or panicked inside; the value may be half-changed.
    OwnerDied,
    /// A process ended in another way than by returning its result.
    Process,
    /// A value could not be written as a message.
    Encode,
    /// A message could not be read as the type that was asked for.
    Decode,
    /// `commons::init()` was not called at the top of `main`.
    NotInitialised,
    /// The platform or this machine does not offer what is needed.
    Unsupported,
    /// The operating system refused; the source tells why.
    Os,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), source: None }))
    }

    /// An error of the operating system while doing `what`; out-of-space errors keep their kind.
    pub(crate) fn os(what: impl fmt::Display, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::OutOfMemory | io::ErrorKind::QuotaExceeded => {
                ErrorKind::NoSpace
            }
            io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            io::ErrorKind::Unsupported => ErrorKind::Unsupported,
            _ => ErrorKind::Os,
        };
        Self(Box::new(Inner { kind, message: format!("{what}: {source}"), source: Some(source) }))
    }

    /// The class of this error.
    ///
    /// # Examples
    /// ```
    /// let error = commons::Value::new(1u8).unwrap().try_lock().map(|_| ());
    /// assert!(error.is_some());
    /// assert_eq!(commons::Atomic::<u8>::open("").unwrap_err().kind(), commons::ErrorKind::InvalidName);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}
