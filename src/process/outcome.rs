//! What a worker has to tell at the end.

/// What the bytes of an outcome are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    /// The encoded result.
    Returned = 1,
    /// An encoded report of a panic.
    Panicked,
    /// A sentence: the arguments could not be read.
    Decode,
    /// A sentence: the result could not be written.
    Encode,
    /// A sentence: the function could not be run.
    Refused,
}

impl Kind {
    /// The kind of this number; a damaged file may hold any.
    pub(super) fn from_number(number: u32) -> Option<Self> {
        let all = [Self::Returned, Self::Panicked, Self::Decode, Self::Encode, Self::Refused];
        all.into_iter().find(|&kind| kind as u32 == number)
    }
}

/// What a worker has to tell at the end.
pub(super) struct Outcome {
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
}

impl Outcome {
    pub(super) fn sentence(kind: Kind, text: impl std::fmt::Display) -> Self {
        Self { kind, bytes: text.to_string().into_bytes() }
    }
}
