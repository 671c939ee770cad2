//! The attachment table: which process has which slot.
//!
//! | word | at | changed by | if the owner dies here |
//! |---|---|---|---|
//! | `pid` | +0 | whoever holds the slot's byte | stays; the byte is free, so the next one overwrites it |
//! | `generation` | +4 | +1 whenever the slot is taken | stays |
//! | `start` | +8 | whoever holds the slot's byte | stays |
//! | `pins` | +16 | upper half: the generation; lower half: +1 by its process for a handle in a message, -1 by who receives it | void, since the byte is free |
//!
//! A row names the process that locks inside the segment are asked about. It is a hint for tools and
//! for the proof of death, never a reason to touch memory.

use std::sync::atomic::Ordering::*;

use crate::sys::{identity::ProcessId, map::Mapping};

/// Where the table begins, behind the header.
pub(crate) const START: usize = 256;

/// How many processes can use one segment at a time.
pub(crate) const ROWS: u32 = 256;

/// Bytes of one row.
pub(crate) const ROW_LEN: usize = 24;

/// Where the schema begins.
pub(crate) const END: usize = START + ROWS as usize * ROW_LEN;

fn offset(row: u32) -> usize {
    START + row as usize * ROW_LEN
}

/// Writes who we are into a row whose slot we hold.
pub(crate) fn fill(mapping: &Mapping, row: u32, process: ProcessId) {
    let at = offset(row);
    mapping.word32(at).store(0, Relaxed);
    let generation = mapping.word32(at + 4).fetch_add(1, Release).wrapping_add(1);
    mapping.word64(at + 16).store(u64::from(generation) << 32, Release);
    mapping.word64(at + 8).store(process.start, Release);
    mapping.word32(at).store(process.pid, Release);
}

/// Empties a row whose slot we hold.
pub(crate) fn clear(mapping: &Mapping, row: u32) {
    mapping.word32(offset(row)).store(0, Release);
}

/// Who is said to have a row; `None` for an empty row, a number out of range, or no possible pid.
pub(crate) fn read(mapping: &Mapping, row: u32) -> Option<ProcessId> {
    if row >= ROWS {
        return None;
    }
    let at = offset(row);
    let pid = mapping.word32(at).load(Acquire);
    let start = mapping.word64(at + 8).load(Acquire);
    // A row that changes hands while we look belongs to nobody we could be asked about.
    let settled = mapping.word32(at).load(Acquire) == pid;
    (settled && i32::try_from(pid).is_ok_and(|pid| pid > 0)).then_some(ProcessId { pid, start })
}

/// How often a row was taken; 0 for a number out of range.
pub(crate) fn generation(mapping: &Mapping, row: u32) -> u32 {
    if row < ROWS { mapping.word32(offset(row) + 4).load(Acquire) } else { 0 }
}

/// How many handles the process of this row has in messages on their way; 0 for a number out of range.
pub(crate) fn pins(mapping: &Mapping, row: u32) -> u32 {
    if row < ROWS { mapping.word64(offset(row) + 16).load(Acquire) as u32 } else { 0 }
}

/// One handle more, by the process that has the row. A count that is full stays.
pub(crate) fn pin(mapping: &Mapping, row: u32) {
    if row < ROWS {
        let more = |pins: u64| (pins as u32).checked_add(1).map(|_| pins + 1);
        let _ = mapping.word64(offset(row) + 16).fetch_update(AcqRel, Acquire, more);
    }
}

/// So many less, of this generation. Never below zero: a message that is read twice must not undo
/// another's pin.
pub(crate) fn unpin(mapping: &Mapping, row: u32, generation: u32, handles: u32) {
    if row < ROWS {
        let less = |pins: u64| {
            let ours = (pins >> 32) as u32 == generation;
            ours.then(|| pins - u64::from((pins as u32).min(handles)))
        };
        let _ = mapping.word64(offset(row) + 16).fetch_update(AcqRel, Acquire, less);
    }
}

/// The pid in row `row` of a whole table that was copied out of a file.
pub(crate) fn pid_in(table: &[u8], row: u32) -> Option<u32> {
    let at = row as usize * ROW_LEN;
    let pid = u32::from_ne_bytes(table.get(at..at + 4)?.try_into().ok()?);
    (pid != 0).then_some(pid)
}
