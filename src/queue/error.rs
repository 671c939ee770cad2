//! Why nothing was sent or received: small enums for hot paths.

use std::fmt;

use crate::error::{Error, ErrorKind};

const CLOSED: &str = "the queue is closed";
const DISCONNECTED: &str =
    "nobody is left on the other side: its last handle is gone, or its processes ended";

macro_rules! errors {
    ($(#[doc = $doc:literal] $name:ident { $($(#[doc = $vdoc:literal])* $variant:ident $(($inner:ty))? => $kind:ident, $text:expr;)* })*) => {$(
        #[doc = $doc]
        #[non_exhaustive]
        pub enum $name {
            $($(#[doc = $vdoc])* $variant $(($inner))?,)*
            /// Nobody is left on the other side.
            Disconnected,
            /// The queue is closed.
            Closed,
            /// The message, or the memory, is not as it must be; the error says how.
            Failed(Error),
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant { .. } => f.write_str($text),)*
                    Self::Disconnected => f.write_str(DISCONNECTED),
                    Self::Closed => f.write_str(CLOSED),
                    Self::Failed(error) => error.fmt(f),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl std::error::Error for $name {}

        impl From<$name> for Error {
            fn from(error: $name) -> Self {
                let kind = match error {
                    $name::Failed(error) => return error,
                    $($name::$variant { .. } => ErrorKind::$kind,)*
                    $name::Disconnected => ErrorKind::Gone,
                    $name::Closed => ErrorKind::Closed,
                };
                Self::new(kind, error.to_string())
            }
        }
    )*};
}

errors! {
    /// Why a message was not sent.
    SendError {}
    /// Why a message was not sent at once.
    TrySendError {
        /// As many messages or bytes wait as may.
        Full => WouldBlock, "as many messages or bytes wait as may";
    }
    /// Why a message was not sent in time.
    SendTimeoutError {
        /// There was no room in time.
        TimedOut => TimedOut, "there was no room for the message in the time given";
    }
    /// Why no message was received.
    RecvError {
        /// The message is longer than the buffer; here it is.
        BufferTooSmall(Vec<u8>) => InvalidInput, "the message is longer than the buffer; `into_message` has it";
    }
    /// Why no message was received at once.
    TryRecvError {
        /// None waits.
        Empty => WouldBlock, "no message waits";
        /// The message is longer than the buffer; here it is.
        BufferTooSmall(Vec<u8>) => InvalidInput, "the message is longer than the buffer; `into_message` has it";
    }
    /// Why no message was received in time.
    RecvTimeoutError {
        /// None came in time.
        TimedOut => TimedOut, "no message came in the time given";
        /// The message is longer than the buffer; here it is.
        BufferTooSmall(Vec<u8>) => InvalidInput, "the message is longer than the buffer; `into_message` has it";
    }
}

macro_rules! into_message {
    ($($name:ident)*) => {$(
        impl $name {
            /// The message that was longer than the buffer.
            pub fn into_message(self) -> Option<Vec<u8>> {
                match self {
                    Self::BufferTooSmall(message) => Some(message),
                    _ => None,
                }
            }
        }
    )*};
}

into_message!(RecvError TryRecvError RecvTimeoutError);

/// What came of an attempt, before it is known which call made it.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Not now, or not in time.
    NotYet,
    Closed,
    Failed(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// How the end of a queue is called by whoever uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Disconnected,
}

macro_rules! of_fault {
    ($($name:ident: $not_yet:expr;)*) => {$(
        impl $name {
            pub(crate) fn of(fault: Fault, end: End) -> Self {
                match (fault, end) {
                    (Fault::NotYet, _) => $not_yet,
                    (Fault::Closed, End::Closed) => Self::Closed,
                    (Fault::Closed, End::Disconnected) => Self::Disconnected,
                    (Fault::Failed(error), _) => Self::Failed(error),
                }
            }
        }
    )*};
}

of_fault! {
    SendError: Self::Closed;
    TrySendError: Self::Full;
    SendTimeoutError: Self::TimedOut;
    RecvError: Self::Closed;
    TryRecvError: Self::Empty;
    RecvTimeoutError: Self::TimedOut;
}
