//! Which address lies in which segment, and whom to ask about the others that use it.

use std::sync::Weak;

/// What a lock must ask about the processes that share its memory.
pub(crate) trait Peers: Send + Sync {
    /// Whether thread `tid`, which acquired a lock as a member of attachment `slot`, is provably dead.
    fn thread_is_dead(&self, slot: u32, tid: u32) -> bool;

    /// Runs `steal` while nobody else of this segment recovers; false if somebody else does.
    fn recover(&self, steal: &mut dyn FnMut()) -> bool;

    /// Attaches a forked child for itself; the slot it got.
    fn after_fork(&self) -> u32;
}

/// Announces that `len` bytes from `base` are a segment that this process uses as attachment `slot`.
pub(crate) fn register(_base: usize, _len: usize, _slot: u32, _peers: Weak<dyn Peers>) {}

/// Forgets the segment at `base`, in every thread. Call before unmapping.
pub(crate) fn unregister(_base: usize) {}

/// Whether any thread of this process holds a lock inside these bytes (a leaked guard).
pub(crate) fn holds_lock_inside(_base: usize, _len: usize) -> bool {
    false
}

/// In a forked child, attaches every inherited segment anew; elsewhere nothing.
pub(crate) fn refresh_after_fork() {}
