//! What people and tools may know of a segment.

use std::os::fd::BorrowedFd;

use super::{header::Header, locks, rows};
use crate::{
    shareable::Field,
    sys::{
        filelock::{self, Others},
        shm,
    },
};

/// What a shared object is, how large it is, and who has it.
///
/// Every handle tells it with `.info()`; [`catalog`](crate::catalog) tells it for every name. The
/// numbers are those of the moment.
///
/// # Examples
/// ```
/// use commons::Atomic;
///
/// # fn main() -> commons::Result<()> {
/// let hits = Atomic::new(0u64)?;
/// let info = hits.info();
/// assert_eq!((info.kind.as_str(), info.type_name.as_str()), ("Atomic", "u64"));
/// assert_eq!(info.attached, [std::process::id()]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The name, `None` for an anonymous object.
    pub name: Option<String>,
    /// Which handle it is made for: `Value`, `Array`, `Queue` and so on.
    pub kind: String,
    /// The short name of the type of one element, up to 48 bytes of it.
    pub type_name: String,
    /// Bytes of one element.
    pub element_size: u64,
    /// Alignment of one element.
    pub element_align: u64,
    /// Elements in each dimension, outermost first; empty for a single element.
    pub shape: Vec<u64>,
    /// Bytes of the object itself, with its locks.
    pub payload_bytes: u64,
    /// Bytes of the whole file.
    pub file_bytes: u64,
    /// Whether the name stays when nobody uses the object.
    pub persist: bool,
    /// The permissions of the file.
    pub mode: u32,
    /// The process that made it.
    pub creator_pid: u32,
    /// The fields of a derived structure.
    pub fields: Vec<Field>,
    /// The processes that use it now. Nobody, and not `persist`: a leftover of killed processes.
    pub attached: Vec<u32>,
}

/// All of it, for a file with this checked header; `own_slot` is ours if we look through our own lock.
pub(crate) fn of_file(
    header: &Header,
    name: Option<&str>,
    file: BorrowedFd<'_>,
    own_slot: Option<u32>,
) -> SegmentInfo {
    let mut table = vec![0; rows::END - rows::START];
    let read = shm::read_exact(file, rows::START as u64, &mut table);
    let attached = (0..rows::ROWS).filter_map(|row| {
        let pid = rows::pid_in(&table, row)?;
        let others = filelock::probe(file, locks::slot(row));
        (own_slot == Some(row) || others.is_ok_and(|others| others != Others::HaveNothing)).then_some(pid)
    });
    SegmentInfo {
        name: name.map(ToOwned::to_owned),
        kind: header.kind_words(),
        type_name: header.element.type_name.clone(),
        element_size: header.element.size,
        element_align: header.element.align,
        shape: header.shape.clone(),
        payload_bytes: header.payload_len,
        file_bytes: shm::facts_of(file).map_or(0, |facts| facts.size),
        persist: header.persist,
        mode: header.mode,
        creator_pid: header.creator.pid,
        fields: header.element.fields.clone(),
        attached: if read.is_ok() { attached.collect() } else { Vec::new() },
    }
}
