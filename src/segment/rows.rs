//! The attachment table: which process has which slot.
//!
//! | word | at | changed by | if the owner dies here |
//! |---|---|---|---|
//! | `pid` | +0 | whoever holds the slot's byte | stays; the byte is free, so the next one overwrites it |
//! | `turn` | +4 | upper half: +1 whenever the slot is taken, then the lower half is 0 | stays |
//! | | | lower half: +1 by its process for a handle in a message, -1 by who receives it | void, since the byte is free |
//! | `start` | +8 | whoever holds the slot's byte | stays |
//!
//! A row names the process that locks inside the segment are asked about. It is a hint for tools and
//! for the proof of death, never a reason to touch memory.

use std::sync::atomic::{AtomicU32, Ordering::*};

use crate::sys::{identity::ProcessId, map::Mapping};

/// Where the table begins, behind the header.
pub(crate) const START: usize = 256;

/// How many processes can use one segment at a time.
pub(crate) const ROWS: u32 = 256;

/// Bytes of one row.
pub(crate) const ROW_LEN: usize = 16;

/// Where the schema begins.
pub(crate) const END: usize = START + ROWS as usize * ROW_LEN;

fn offset(row: u32) -> usize {
    START + row as usize * ROW_LEN
}

/// Writes who we are into a row whose slot we hold.
pub(crate) fn fill(mapping: &Mapping, row: u32, process: ProcessId) {
    let at = offset(row);
    mapping.word32(at).store(0, Relaxed);
    let next = |turn: u32| Some((turn >> 16).wrapping_add(1) << 16);
    let _ = mapping.word32(at + 4).fetch_update(Release, Relaxed, next);
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

/// How often a row was taken, modulo 2^16, and how many handles its process has in messages on their way.
/// Without both for a number out of range.
pub(crate) fn turn(mapping: &Mapping, row: u32) -> Option<&AtomicU32> {
    (row < ROWS).then(|| mapping.word32(offset(row) + 4))
}

/// The generation in a turn.
pub(crate) fn generation(turn: u32) -> u32 {
    turn >> 16
}

/// The pins in a turn.
pub(crate) fn pins(turn: u32) -> u16 {
    turn as u16
}

/// One handle more. More than can be counted stay until the process leaves.
pub(crate) fn pin(turn: &AtomicU32) {
    let _ = turn.fetch_update(AcqRel, Acquire, |turn| (pins(turn) != u16::MAX).then(|| turn + 1));
}

/// So many less, of this generation. Never below zero: a message that is read twice must not undo
/// another's pin.
pub(crate) fn unpin(turn: &AtomicU32, of: u32, messages: u32) {
    let less = |turn: u32| {
        let counted = pins(turn);
        let ours = generation(turn) == of && counted != u16::MAX;
        ours.then(|| turn - u32::from(counted).min(messages))
    };
    let _ = turn.fetch_update(AcqRel, Acquire, less);
}

/// The pid in row `row` of a whole table that was copied out of a file.
pub(crate) fn pid_in(table: &[u8], row: u32) -> Option<u32> {
    let at = row as usize * ROW_LEN;
    let pid = u32::from_ne_bytes(table.get(at..at + 4)?.try_into().ok()?);
    (pid != 0).then_some(pid)
}
