//! What the calling thread holds: the private mirror of the kernel's list, and its shortcuts.
//!
//! Each thread has one record, in memory that a fork wipes: a forked child starts with nothing
//! held and a new thread id without anybody having to tell it.
//!
//! ```text
//! C library's head -> first anchor -> newest cell -> ... -> oldest -> last anchor -> C library's nodes
//!                     (first.next)    older[depth - 1] ...  older[1]  older[0]
//! ```
//!
//! The kernel reads this thread's memory after the thread's last instruction, in program order, so
//! compiler fences are all the ordering that the list needs. `older` is what we believe; the `next`
//! words lie in shared memory, are written for the kernel and never read back.
//!
//! # Safety
//! Hands out references to records that live in mapped memory until their thread has ended.

#![allow(unsafe_code)]

use std::{cell::Cell, mem, ptr};

use super::region::{self, Holder, NO_SLOT};
use crate::{
    deadline,
    primitive::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering::*, compiler_fence, fence, yield_now,
    },
    sys::{
        barrier,
        identity::current_tid,
        robust::{self, Head, Node},
    },
};

/// How many cells a thread may hold; the kernel gives up after 2048 nodes.
pub(crate) const MAX_HELD: usize = 1024;

/// The bits of `stack` that say how many cells are held.
const DEPTH: usize = 0xffff;
const ONE_LINKED: usize = DEPTH + 1;

/// How many segments a thread finds without asking the table of the process.
const SHORTCUTS: usize = 32;

/// Everything the lock needs to know about the calling thread.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Thread {
    /// The segment of a cell before. A record that is new, or wiped by a fork, knows none, and has no
    /// shortcuts: the comparison on the fast path is also the question whether the record is ready.
    recent: Shortcut,
    tid: AtomicU32,
    /// When the record was filled: tells a thread from one before that had its id.
    birth: AtomicU32,
    /// Counts the removals from the middle, odd during one, for [`Thread::holds_inside`].
    shifts: AtomicU32,
    /// How many cells are held, in the lower 16 bits; above them, how often one was linked, for
    /// [`Thread::holds_inside`].
    stack: AtomicUsize,
    head: AtomicPtr<Head>,
    on_kernel_list: AtomicBool,
    first: Node,
    last: Node,
    own_head: Head,
    shortcuts: [Shortcut; SHORTCUTS],
    /// What is held below the newest, which is in `first.next`: the oldest at 1, and `last` at 0.
    older: [AtomicUsize; MAX_HELD],
    /// Whether the cell at this depth goes back at the thread's end; see [`Thread::set_returning`].
    returning: [AtomicBool; MAX_HELD + 1],
}

/// A segment and the attachment slot that this process has in it.
#[repr(C)]
#[derive(Debug)]
struct Shortcut {
    base: AtomicUsize,
    len: AtomicUsize,
    slot: AtomicU32,
}

impl Shortcut {
    #[inline]
    fn slot_of(&self, address: usize) -> Option<u32> {
        let inside = address.wrapping_sub(self.base.load(Relaxed)) < self.len.load(Relaxed);
        inside.then(|| self.slot.load(Relaxed))
    }

    fn remember(&self, base: usize, len: usize, slot: u32) {
        self.len.store(0, Relaxed);
        self.base.store(base, Relaxed);
        self.slot.store(slot, Relaxed);
        self.len.store(len, Relaxed);
    }

    fn forget(&self, base: usize) {
        if self.base.load(Relaxed) == base {
            self.len.store(0, Relaxed);
        }
    }
}

/// Stands for the record of a thread that has none yet: knows no segment, holds nothing.
// SAFETY: every field is an atomic integer or pointer, for which all zeroes is a value.
static NOBODY: Thread = unsafe { mem::zeroed() };

thread_local! {
    static CURRENT: Cell<*const Thread> = const { Cell::new(&raw const NOBODY) };
}

impl Thread {
    /// The calling thread's record, or one that knows nothing; see `life::ready`.
    #[inline]
    pub(crate) fn current() -> &'static Thread {
        let record = CURRENT.with(Cell::get);
        // SAFETY: `CURRENT` is `NOBODY` or a mapped record that is unmapped at this thread's end only,
        // after which `CURRENT` is `NOBODY` again. All fields are atomics.
        unsafe { &*record }
    }

    /// Makes `record` the calling thread's; `None`: it has none.
    pub(super) fn set_current(record: Option<&'static Thread>) {
        CURRENT.with(|current| current.set(record.map_or(&raw const NOBODY, ptr::from_ref)));
    }

    /// Whether the calling thread has a record, ready or wiped by a fork.
    pub(super) fn is_somebody(&self) -> bool {
        !ptr::eq(self, &raw const NOBODY)
    }

    /// Fills a zeroed record for the calling thread, and links it to the kernel's list.
    pub(super) fn begin(&self) {
        barrier::register();
        let last = self.last.next.as_ptr() as usize;
        self.older[0].store(last, Relaxed);
        self.first.next.store(last, Relaxed);
        match robust::head_of_this_thread() {
            Some(head) => {
                self.head.store(head.as_ptr(), Relaxed);
                self.on_kernel_list.store(true, Relaxed);
                // SAFETY: a registered head stays valid while its thread runs, and that is this one.
                let head = unsafe { head.as_ref() };
                // SAFETY: `head` is this thread's list, and the record stays mapped until `end`.
                unsafe { robust::link_anchors(head, &self.first, &self.last) };
            }
            None => {
                self.own_head.stand_alone();
                self.head.store((&raw const self.own_head).cast_mut(), Relaxed);
            }
        }
        // In a forked child, what the parent's thread announced.
        self.withdraw(0, usize::MAX);
        self.birth.store(deadline::moment(), Relaxed);
        self.tid.store(current_tid().get(), Relaxed);
    }

    /// Leaves the kernel's list. Nothing is held any more.
    pub(super) fn end(&self) {
        debug_assert_eq!(self.depth(), 0);
        self.withdraw(0, usize::MAX);
        if self.on_kernel_list.load(Relaxed) {
            // SAFETY: linked by this thread in `begin`, and nothing is between the anchors.
            unsafe { robust::unlink_anchors(&self.first, &self.last) };
        }
        self.tid.store(0, Relaxed);
        self.recent.len.store(0, Relaxed);
    }

    #[inline]
    pub(crate) fn tid(&self) -> u32 {
        self.tid.load(Relaxed)
    }

    /// When this thread began to use locks, in few bits.
    #[inline]
    pub(crate) fn birth(&self) -> u16 {
        self.birth.load(Relaxed) as u16
    }

    /// The attachment slot for the cell at `address`, if that lies in the segment used last, or in one
    /// of the few before that have a shortcut.
    #[inline]
    pub(crate) fn recent_slot(&self, address: usize) -> Option<u32> {
        self.recent.slot_of(address).or_else(|| self.shortcut(address).slot_of(address))
    }

    #[inline]
    fn shortcut(&self, address: usize) -> &Shortcut {
        &self.shortcuts[(address >> 12) % SHORTCUTS]
    }

    /// The attachment slot for the cell at `address`; `None` if it lies in no segment.
    pub(crate) fn slot_of(&self, address: usize) -> Option<u32> {
        let shortcut = self.shortcut(address);
        if let Some(slot) = shortcut.slot_of(address) {
            let (base, len) = (shortcut.base.load(Relaxed), shortcut.len.load(Relaxed));
            self.recent.remember(base, len, slot);
            return Some(slot);
        }
        // Under the table's lock, so that a segment cannot be forgotten before it is remembered.
        region::find(address, |base, len, slot| {
            if slot != NO_SLOT {
                shortcut.remember(base, len, slot);
                self.recent.remember(base, len, slot);
            }
            slot
        })
    }

    #[inline]
    fn depth(&self) -> usize {
        self.stack.load(Relaxed) & DEPTH
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.depth() >= MAX_HELD
    }

    /// Tells the kernel which cell is about to be acquired or released.
    ///
    /// The announcement stays until the next one, or until the cell's segment is unmapped: of an
    /// announced cell the kernel changes nothing but a word that names the dying thread. A lock that
    /// is taken again and again is announced once, and that is a tenth of the whole cost.
    #[inline]
    pub(crate) fn announce(&self, node: &Node) {
        let pending = &self.head().pending;
        let link = node.next.as_ptr() as usize;
        if pending.load(Relaxed) != link {
            pending.store(link, Relaxed);
        }
        compiler_fence(SeqCst);
    }

    /// Withdraws an announcement of a cell in these bytes, which are about to be unmapped.
    fn withdraw(&self, base: usize, len: usize) {
        // SAFETY: as for `head`; null in a record that a fork has wiped.
        let Some(head) = (unsafe { self.head.load(Relaxed).as_ref() }) else { return };
        let link = head.pending.load(Relaxed);
        if link.wrapping_sub(base) < len {
            // Its thread may announce another cell meanwhile; that one must stay.
            let _ = head.pending.compare_exchange(link, 0, Relaxed, Relaxed);
        }
    }

    #[inline]
    fn head(&self) -> &Head {
        // SAFETY: a ready record points to the C library's head of this thread or to its own;
        // both live as long as the thread. Callers have a ready record: it found a segment.
        unsafe { &*self.head.load(Relaxed) }
    }

    /// Links a cell that was just acquired.
    #[inline]
    pub(crate) fn push(&self, node: &Node) {
        let stack = self.stack.load(Relaxed);
        let depth = stack & DEPTH;
        let newest = self.first.next.load(Relaxed);
        // Compared and not trusted: what is there already need not be written, which on a lock
        // that is taken again and again without others inside it is every time.
        if node.next.load(Relaxed) != newest {
            node.next.store(newest, Relaxed);
        }
        if depth != 0 {
            self.older_at(depth).store(newest, Relaxed);
        }
        // First the depth: at every moment it covers what is held, for `holds_inside`.
        self.stack.store(stack.wrapping_add(ONE_LINKED + 1), Release);
        compiler_fence(SeqCst);
        self.first.next.store(node.next.as_ptr() as usize, Release);
    }

    /// Whether the cell is the one that this thread acquired last, as in nested scopes it is.
    #[inline]
    pub(crate) fn is_newest(&self, node: &Node) -> bool {
        // `first` is in the private record; it leads to `last` where nothing is held.
        self.first.next.load(Relaxed) == node.next.as_ptr() as usize
    }

    /// Unlinks the newest cell, which is about to be released.
    #[inline]
    pub(crate) fn pop(&self) {
        let stack = self.stack.load(Relaxed) - 1;
        self.first.next.store(self.older_at(stack & DEPTH).load(Relaxed), Release);
        compiler_fence(SeqCst);
        self.stack.store(stack, Release);
    }

    /// Says of the newest cell that it goes back when the thread ends, or no longer.
    ///
    /// A guard that lends references into the segment can be leaked, and a reference sent to another
    /// thread; so its cell stays held as long as the process lives, as with a leaked guard of
    /// std's. A cell whose guard lends nothing shared goes back at its thread's end.
    #[inline]
    pub(super) fn set_returning(&self, returning: bool) {
        self.returning[self.depth().min(MAX_HELD)].store(returning, Relaxed);
    }

    /// The newest cell, and whether it goes back at the thread's end.
    pub(super) fn newest(&self) -> Option<(&'static Node, bool)> {
        let depth = self.depth();
        let link = (depth != 0).then(|| self.first.next.load(Relaxed))?;
        let node = (link - mem::offset_of!(Node, next)) as *const Node;
        // SAFETY: a held cell: its segment is never unmapped.
        Some((unsafe { &*node }, self.returning[depth].load(Relaxed)))
    }

    /// Everything this thread holds, newest first, each with what [`Thread::newest`] says of it.
    pub(super) fn held(&self) -> impl Iterator<Item = (&'static Node, bool)> {
        let depth = self.depth();
        self.links(depth).zip((1..=depth).rev()).map(|(link, at)| {
            // SAFETY: as in `newest`.
            let node = unsafe { &*((link - mem::offset_of!(Node, next)) as *const Node) };
            (node, self.returning[at].load(Relaxed))
        })
    }

    /// Unlinks a cell wherever it is; false if this thread does not hold it.
    pub(crate) fn remove(&self, node: &Node) -> bool {
        if self.is_newest(node) {
            self.pop();
            return true;
        }
        let depth = self.depth();
        let link = node.next.as_ptr() as usize;
        let Some(at) = (1..depth).rev().find(|&at| self.older_at(at).load(Relaxed) == link) else {
            return false;
        };
        let newer = if at + 1 == depth { &self.first.next } else { self.older_at(at + 1) };
        let newer = newer.load(Relaxed) as *const AtomicUsize;
        // SAFETY: the address of the `next` of a cell that this thread holds. A segment with a held
        // cell is never unmapped.
        unsafe { &*newer }.store(self.older_at(at - 1).load(Relaxed), Relaxed);
        self.shifts.fetch_add(1, AcqRel);
        for at in at..depth - 1 {
            self.older_at(at).store(self.older_at(at + 1).load(Relaxed), Relaxed);
        }
        for at in at..depth {
            self.returning[at].store(self.returning[at + 1].load(Relaxed), Relaxed);
        }
        self.set_returning(false);
        self.stack.store(self.stack.load(Relaxed) - 1, Release);
        self.shifts.fetch_add(1, AcqRel);
        true
    }

    #[inline]
    fn older_at(&self, at: usize) -> &AtomicUsize {
        debug_assert!(at < MAX_HELD);
        // SAFETY: `depth` is written by this thread only and stays within 0..=MAX_HELD: callers of
        // `push` ask `is_full` first, and `pop` follows a `push`.
        unsafe { self.older.get_unchecked(at) }
    }

    /// The `next` addresses of what is held, newest first.
    fn links(&self, depth: usize) -> impl Iterator<Item = usize> {
        let newest = (depth != 0).then(|| self.first.next.load(Acquire));
        newest.into_iter().chain((1..depth).rev().map(|at| self.older_at(at).load(Relaxed)))
    }

    /// Whether this thread holds the cell.
    pub(crate) fn holds(&self, node: &Node) -> bool {
        let link = node.next.as_ptr() as usize;
        self.links(self.depth()).any(|held| held == link)
    }
}

impl Holder for Thread {
    fn forget(&self, base: usize, len: usize) {
        self.withdraw(base, len);
        self.recent.forget(base);
        self.shortcuts.iter().for_each(|shortcut| shortcut.forget(base));
    }

    /// A leaked cell stays where it is while others come and go above it; every link shows in `stack`,
    /// and a removal below it in `shifts`.
    fn holds_inside(&self, base: usize, len: usize) -> bool {
        let version = || (self.shifts.load(Acquire), self.stack.load(Acquire), self.first.next.load(Acquire));
        loop {
            let before = version();
            let found =
                self.links((before.1 & DEPTH).min(MAX_HELD)).any(|link| link.wrapping_sub(base) < len);
            fence(Acquire);
            if found || (before.0.is_multiple_of(2) && version() == before) {
                return found;
            }
            yield_now();
        }
    }
}
