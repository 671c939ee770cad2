//! A flag that many wait for.
//!
//! One word: bit 0 is the flag, the rest counts how often it was set, so that who waits is released
//! by a flag that was set and cleared again before it ran. Setting is one compare-exchange; if the
//! setter dies before it wakes anybody, sleepers look again by themselves.

use super::bell::Bell;
use crate::{
    deadline::Deadline,
    primitive::{AtomicU32, Ordering::*},
    sys::futex,
};

const SET: u32 = 1;
const ONE_TURN: u32 = 2;

/// All zeroes: not set.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct RawEvent {
    bell: Bell,
    word: AtomicU32,
    _reserved: u32,
}

impl RawEvent {
    pub(crate) const fn new() -> Self {
        Self { bell: Bell::new(), word: AtomicU32::new(0), _reserved: 0 }
    }

    /// Forgets who slept; the flag stays.
    pub(crate) fn empty(&mut self) {
        self.bell = Bell::new();
    }

    /// Announces a sleeper; see [`Bell::announce`].
    pub(crate) fn announce(&self) -> (&AtomicU32, u32) {
        self.bell.announce()
    }

    pub(crate) fn is_set(&self) -> bool {
        self.word.load(Acquire) & SET != 0
    }

    pub(crate) fn set(&self) {
        let set = |word: u32| (word & SET == 0).then(|| word.wrapping_add(ONE_TURN) | SET);
        if self.word.fetch_update(AcqRel, Relaxed, set).is_ok() {
            self.bell.ring(futex::ALL);
        }
    }

    pub(crate) fn clear(&self) {
        self.word.fetch_and(!SET, AcqRel);
    }

    /// Waits until the flag is set, or was set meanwhile; false if the deadline passes first.
    pub(crate) fn wait(&self, deadline: Deadline) -> bool {
        let turn = self.word.load(Acquire) & !SET;
        let look = || {
            let word = self.word.load(Acquire);
            (word & SET != 0 || word & !SET != turn).then_some(())
        };
        self.bell.wait(deadline, look, || {}).is_some()
    }
}
