//! Which machine and which handle a segment is made for.

/// What a segment holds. The numbers are in the files and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Kind {
    Value = 1,
    Atomic = 2,
    Array = 3,
    AtomicArray = 4,
    Shared = 5,
    Queue = 6,
    Channel = 7,
    Pipe = 8,
    Listener = 9,
    Dict = 10,
    List = 11,
    Set = 12,
    Namespace = 13,
    Pool = 14,
    Progress = 15,
}

impl Kind {
    const ALL: [Self; 15] = [
        Self::Value,
        Self::Atomic,
        Self::Array,
        Self::AtomicArray,
        Self::Shared,
        Self::Queue,
        Self::Channel,
        Self::Pipe,
        Self::Listener,
        Self::Dict,
        Self::List,
        Self::Set,
        Self::Namespace,
        Self::Pool,
        Self::Progress,
    ];

    /// What the header says.
    pub(crate) fn number(self) -> u16 {
        self as u16
    }

    /// The kind of this number in words; a number that a later version may know stays one.
    pub(crate) fn words(number: u16) -> String {
        let kind = Self::ALL.into_iter().find(|kind| kind.number() == number);
        kind.map_or_else(|| format!("kind {number}"), |kind| format!("{kind:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_own_words() {
        assert_eq!(Kind::words(Kind::AtomicArray.number()), "AtomicArray");
        assert_eq!(Kind::words(999), "kind 999");
        for (i, kind) in (1..).zip(Kind::ALL) {
            assert_eq!(kind.number(), i);
        }
    }
}
