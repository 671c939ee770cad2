//! Which byte of a segment file means what when it is locked.
//!
//! The bytes lie above 2^62, where no file has any: nothing is stored there.

const FIRST: u64 = 1 << 62;

/// Shared by everyone attached; alone by whoever proves that nobody is.
pub(crate) const IN_USE: u64 = FIRST;

/// Alone by whoever is about to remove the name.
pub(crate) const NAME: u64 = FIRST + 1;

/// Alone by whoever takes a lock from a dead owner.
pub(crate) const RECOVERY: u64 = FIRST + 2;

/// Alone by the attachment with this row.
pub(crate) fn slot(row: u32) -> u64 {
    FIRST + 1024 + u64::from(row)
}
