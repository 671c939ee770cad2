//! Which address lies in which segment, and whom to ask about the others that use it.
//!
//! A cell is on the kernel's list iff its **address** is in a segment. A flag in the cell could be
//! written by a peer, and a cell that is moved to the stack or a `Box` would keep it.

use std::{
    cell::RefCell,
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak},
};

use crate::sys::{fork, hooks};

/// The slot of a forked child that could not attach for itself. It cannot lock.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// What a lock must ask about the processes that share its memory.
pub(crate) trait Peers: Send + Sync {
    /// Whether thread `tid`, which acquired a lock as a member of attachment `slot`, is provably dead.
    fn thread_is_dead(&self, slot: u32, tid: u32) -> bool;

    /// As [`Peers::thread_is_dead`], where the slot is certainly the thread's: it is also gone if the process
    /// that had the slot uses the segment no more.
    fn member_is_gone(&self, slot: u32, tid: u32) -> bool;

    /// Runs `steal` while nobody else of this segment recovers; false if somebody else does.
    fn recover(&self, steal: &mut dyn FnMut()) -> bool;

    /// Whether the process that has attachment `slot` lives.
    fn slot_is_alive(&self, slot: u32) -> bool;

    /// Attaches a forked child for itself, once; the slot it has.
    fn after_fork(&self) -> u32;
}

/// What the table asks of a thread that uses locks, from any thread.
pub(super) trait Holder: Sync {
    /// Forgets the segment of these bytes, which is about to be unmapped.
    fn forget(&self, base: usize, len: usize);

    /// Whether the thread has leaked a guard of a lock in these bytes.
    fn holds_inside(&self, base: usize, len: usize) -> bool;
}

/// One segment of this process.
struct Region {
    base: usize,
    len: usize,
    slot: u32,
    /// The process that `slot` belongs to: a forked child finds its parent's here.
    mark: u64,
    peers: Weak<dyn Peers>,
}

/// All segments, by address, and all threads that have a record.
struct Table {
    regions: Vec<Region>,
    threads: Vec<&'static dyn Holder>,
}

static TABLE: Mutex<Table> = Mutex::new(Table { regions: Vec::new(), threads: Vec::new() });

impl Table {
    fn index_of(&self, address: usize) -> Option<usize> {
        let after = self.regions.partition_point(|region| region.base <= address);
        let at = after.checked_sub(1)?;
        let region = &self.regions[at];
        (address - region.base < region.len).then_some(at)
    }
}

fn table() -> MutexGuard<'static, Table> {
    // Nothing below panics while it holds the table.
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Announces that `len` bytes from `base` are a segment that this process uses as attachment `slot`.
pub(crate) fn register(base: usize, len: usize, slot: u32, peers: Weak<dyn Peers>) {
    hold_over_forks();
    let mut table = table();
    let at = table.regions.partition_point(|region| region.base < base);
    table.regions.insert(at, Region { base, len, slot, mark: fork::mark(), peers });
}

/// Forgets the segment at `base`, in every thread. Call before unmapping.
pub(crate) fn unregister(base: usize) {
    let mut table = table();
    if let Some(at) = table.index_of(base) {
        let Region { base, len, .. } = table.regions.remove(at);
        table.threads.iter().for_each(|thread| thread.forget(base, len));
    }
}

/// Whether any thread of this process holds a lock inside these bytes (a leaked guard).
pub(crate) fn holds_lock_inside(base: usize, len: usize) -> bool {
    table().threads.iter().any(|thread| thread.holds_inside(base, len))
}

/// Runs `touch` at a time when no segment is being unmapped.
pub(super) fn while_no_segment_goes(touch: impl FnOnce()) {
    let _table = table();
    touch();
}

/// Calls `found` with base, length and slot of the segment that holds `address`.
pub(super) fn find<R>(address: usize, found: impl FnOnce(usize, usize, u32) -> R) -> Option<R> {
    loop {
        let table = table();
        let at = table.index_of(address)?;
        let Region { base, len, slot, mark, ref peers } = table.regions[at];
        if mark == fork::mark() {
            return Some(found(base, len, slot));
        }
        let peers = peers.upgrade()?;
        drop(table);
        renew(base, &*peers);
    }
}

/// The attachment slot that this process has in the segment that holds `address`.
pub(super) fn slot_of(address: usize) -> Option<u32> {
    find(address, |_, _, slot| slot)
}

/// Whom to ask about the segment that holds `address`.
pub(super) fn peers_of(address: usize) -> Option<Arc<dyn Peers>> {
    let table = table();
    table.regions[table.index_of(address)?].peers.upgrade()
}

/// In a forked child, attaches every inherited segment anew; elsewhere nothing.
pub(crate) fn refresh_after_fork() {
    let inherited = |region: &&Region| region.mark != fork::mark();
    let list: Vec<_> = table().regions.iter().filter(inherited).map(|r| (r.base, r.peers.clone())).collect();
    for (base, peers) in list {
        if let Some(peers) = peers.upgrade() {
            renew(base, &*peers);
        }
    }
}

/// Without the table's lock: attaching takes locks of its own, which come before this one.
fn renew(base: usize, peers: &dyn Peers) {
    let slot = peers.after_fork();
    let mut table = table();
    if let Some(region) = table.regions.iter_mut().find(|region| region.base == base) {
        (region.slot, region.mark) = (slot, fork::mark());
    }
}

/// The record stays in place until [`remove_thread`].
pub(super) fn add_thread(thread: &'static dyn Holder) {
    hold_over_forks();
    table().threads.push(thread);
}

pub(super) fn remove_thread(thread: &dyn Holder) {
    table().threads.retain(|&other| !std::ptr::addr_eq(other, thread));
}

/// Holds the table's lock over every `fork`, so that a child never finds it locked by a thread that
/// it does not have. (A raw `clone` gives no such chance, as with `malloc`.)
///
/// The handlers that are installed first lock last: whoever has a lock that comes before this one
/// calls this function before installing their own.
pub(crate) fn hold_over_forks() {
    static INSTALLED: Once = Once::new();
    thread_local!(static HELD: RefCell<Option<MutexGuard<'static, Table>>> = const { RefCell::new(None) });

    extern "C" fn before() {
        let table = table();
        // A thread that is past its last breath forks without the table.
        let _ = HELD.try_with(|held| *held.borrow_mut() = Some(table));
    }
    extern "C" fn after() {
        let _ = HELD.try_with(|held| drop(held.borrow_mut().take()));
    }
    // Without memory for the handlers, only a fork beside a running attach could hang its child.
    INSTALLED.call_once(|| _ = hooks::around_fork(before, after));
}
