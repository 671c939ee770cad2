//! All memory of a model is one segment, and whom to ask about its threads is the model.

use std::sync::Arc;

use crate::scene::{self, recovery};

pub(crate) const NO_SLOT: u32 = u32::MAX;

/// The attachment slot that everybody has.
pub(crate) const SLOT: u32 = 1;

pub(crate) trait Peers {
    fn thread_is_dead(&self, slot: u32, tid: u32) -> bool;
    fn member_is_gone(&self, slot: u32, tid: u32) -> bool;
    fn recover(&self, steal: &mut dyn FnMut()) -> bool;
}

struct Everybody;

impl Peers for Everybody {
    fn thread_is_dead(&self, slot: u32, tid: u32) -> bool {
        assert!(slot == SLOT || slot == 0, "a slot that nobody has");
        scene::is_dead(tid)
    }

    fn member_is_gone(&self, slot: u32, tid: u32) -> bool {
        self.thread_is_dead(slot, tid)
    }

    fn recover(&self, steal: &mut dyn FnMut()) -> bool {
        recovery(steal)
    }
}

pub(super) fn slot_of(_: usize) -> Option<u32> {
    Some(SLOT)
}

pub(super) fn peers_of(_: usize) -> Option<Arc<dyn Peers>> {
    Some(Arc::new(Everybody))
}
