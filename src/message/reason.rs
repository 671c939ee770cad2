//! Why a value cannot be written or read.

use std::{cell::RefCell, fmt};

use crate::error::{Error, ErrorKind};

/// One word, so that results without a value are one.
#[derive(Debug)]
pub(crate) struct Reason(Box<Inner>);

#[derive(Debug)]
enum Inner {
    Text(String),
    /// Of an object inside a message, as it is.
    Refused(Error),
}

thread_local! {
    /// On its way through [`refuse`].
    static REFUSED: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Refuses a value inside a message with `error`, which [`decode`](super::decode) then returns as it
/// is: serde's way of making an error keeps no kind.
pub(crate) fn refuse<E: serde::de::Error>(error: Error) -> E {
    let text = error.to_string();
    // A thread in its last breath has no place for it, and then the text must do.
    let _ = REFUSED.try_with(|place| place.replace(Some(error)));
    let refused = E::custom(text);
    // Another decoder than ours has left it.
    let _ = REFUSED.try_with(RefCell::take);
    refused
}

impl Reason {
    #[cold]
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(Box::new(Inner::Text(why.into())))
    }

    #[cold]
    pub(super) fn into_error(self, kind: ErrorKind, sentence: impl FnOnce(String) -> String) -> Error {
        match *self.0 {
            Inner::Text(why) => Error::new(kind, sentence(why)),
            Inner::Refused(error) => error,
        }
    }

    #[cold]
    fn custom(message: impl fmt::Display) -> Self {
        match REFUSED.try_with(RefCell::take).ok().flatten() {
            Some(error) => Self(Box::new(Inner::Refused(error))),
            None => Self::new(message.to_string()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Inner::Text(why) => f.write_str(why),
            Inner::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Reason {}

impl serde::ser::Error for Reason {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::custom(message)
    }
}

impl serde::de::Error for Reason {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::custom(message)
    }
}
