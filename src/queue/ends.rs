//! Who has a sending or a receiving end, and lives.
//!
//! A count for each side and each process, by its attachment slot: in the lower half of a word, below
//! the generation of the slot. The counts of a dead process are void, and so they are when another one
//! has the slot; so nobody has to take back what a killed process had. An end that travels in a message
//! is counted by the segment's pins.

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

    /// Counts an end of this process.
    pub(super) fn enter(&self, side: Side, segment: &Segment) {
        self.change(side, segment, |count| Some(count.saturating_add(1)));
        segment.attachment().tell_move();
    }

    /// Takes an end of this process away. More than can be counted stay until the process leaves.
    pub(super) fn leave(&self, side: Side, segment: &Segment) {
        self.change(side, segment, |count| if count == u16::MAX { None } else { count.checked_sub(1) });
    }

    fn change(&self, side: Side, segment: &Segment, change: impl Fn(u16) -> Option<u16>) {
        let slot = segment.slot();
        let generation = segment.slot_generation(slot);
        if let Some(word) = self.of(side).get(slot as usize) {
            let changed =
                |word| change(count(word, generation)).map(|count| generation << 16 | u32::from(count));
            let _ = word.fetch_update(AcqRel, Acquire, changed);
        }
    }

    /// Whether any living process has an end of this side, or one is on its way.
    pub(super) fn has(&self, side: Side, segment: &Segment) -> bool {
        let has = |(slot, word): (u32, &AtomicU32)| {
            count(word.load(Acquire), segment.slot_generation(slot)) != 0 && segment.slot_is_alive(slot)
        };
        let moves = || segment.attachment().moves().load(Acquire);
        let before = moves();
        if (0..).zip(self.of(side)).any(has) || segment.is_pinned() {
            return true;
        }
        // An end on its way is counted where it comes to, then that is told, and only then is it counted down
        // where it came from. So if nothing was told, none has come to a place after the look at that.
        moves() != before
    }
}

/// What a word counts if its slot has this generation: 0 if it is of a process that had the slot before.
fn count(word: u32, generation: u32) -> u16 {
    if word >> 16 == generation & 0xffff { word as u16 } else { 0 }
}
