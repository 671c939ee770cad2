//! Who has a sending or a receiving end, and lives.
//!
//! A count for each side and each process, by its attachment slot. The counts of a dead process are
//! void; so nobody has to take back what a killed process had. An end that travels in a message is
//! counted by the segment's pins.

use std::sync::atomic::{AtomicU32, Ordering::*};

use crate::segment::Segment;

/// How many attachments a segment has.
const SLOTS: usize = 256;

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Senders,
    Receivers,
}

/// The counts. All zeroes: nobody has an end.
#[repr(C)]
#[derive(Debug)]
pub(super) struct RawEnds {
    senders: [AtomicU32; SLOTS],
    receivers: [AtomicU32; SLOTS],
}

impl RawEnds {
    fn of(&self, side: Side) -> &[AtomicU32; SLOTS] {
        match side {
            Side::Senders => &self.senders,
            Side::Receivers => &self.receivers,
        }
    }

    /// Counts an end of this process. The slot may have been a dead process's: its count is void.
    pub(super) fn enter(&self, side: Side, segment: &Segment) {
        if let Some(count) = self.of(side).get(segment.slot() as usize) {
            count.fetch_add(1, AcqRel);
        }
    }

    /// Takes an end of this process away.
    pub(super) fn leave(&self, side: Side, segment: &Segment) {
        if let Some(count) = self.of(side).get(segment.slot() as usize) {
            let _ = count.fetch_update(AcqRel, Acquire, |count| count.checked_sub(1));
        }
    }

    /// Whether any living process has an end of this side, or one is on its way.
    pub(super) fn has(&self, side: Side, segment: &Segment) -> bool {
        if segment.is_pinned() {
            return true;
        }
        let used = self.of(side).iter().enumerate().filter(|(_, count)| count.load(Acquire) != 0);
        used.into_iter().any(|(slot, _)| segment.slot_is_alive(slot as u32))
    }
}
