//! The list of held locks that the kernel walks when a thread dies.
//!
//! `long get_robust_list(int pid, struct robust_list_head **head, size_t *len)`,
//! <https://man7.org/linux/man-pages/man2/get_robust_list.2.html>; the walk is
//! `exit_robust_list` in the kernel's `kernel/futex`, the ABI `Documentation/locking/robust-futex-ABI`.
//!
//! The kernel knows one list per thread, and the C library owns its head. Two anchor nodes are
//! linked into that list once; between them lie our cells. The C library writes `prev` of the first
//! and `next` of the last anchor when its own neighbours come and go, and nothing in between, so
//! its robust mutexes and ours keep each other intact.
//!
//! # Safety
//! Reads and writes the C library's list through raw pointers, on the thread that owns it.

#![allow(unsafe_code)]

use std::{
    mem::offset_of,
    ptr::{self, NonNull},
};

use crate::primitive::{AtomicIsize, AtomicU32, AtomicUsize, Ordering::*, compiler_fence};

/// Set in a lock word by whoever sleeps on it.
pub(crate) const WAITERS: u32 = 0x8000_0000;
/// Set in a lock word by the kernel when the owner died; the thread id is then 0.
pub(crate) const OWNER_DIED: u32 = 0x4000_0000;
/// The bits of a lock word that name the owning thread.
pub(crate) const TID: u32 = 0x3fff_ffff;

/// The kernel's `struct robust_list_head`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Head {
    /// Address of the first node's `next`, or of this head.
    pub(crate) list: AtomicUsize,
    /// From a node's `next` to its lock word.
    offset: AtomicIsize,
    /// Address of the `next` of the node that is being locked or unlocked.
    pub(crate) pending: AtomicUsize,
}

/// A lock word with its place in the list; glibc's `pthread_mutex_t` has the same shape.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) word: AtomicU32,
    pub(crate) data: [AtomicU32; 5],
    /// In an anchor the address of the `next` before it, which the C library may change. In a cell
    /// nobody needs that, and the lock keeps its sleepers here.
    pub(crate) prev: AtomicUsize,
    /// Address of the next node's `next`. Written for the kernel and never read back by us.
    pub(crate) next: AtomicUsize,
}

const OFFSET: isize = -(offset_of!(Node, next) as isize);
const PREV_FROM_NEXT: usize = offset_of!(Node, next) - offset_of!(Node, prev);

const _: () = {
    assert!(size_of::<Node>() == 40 && align_of::<Node>() == 8);
    assert!(offset_of!(Node, prev) == 24 && offset_of!(Node, next) == 32);
    assert!(size_of::<Head>() == 24);
};

/// The list that the C library registered for the calling thread, if its nodes have our shape.
///
/// musl registers none before its first robust mutex, and with another offset: its threads go
/// without, and a waiter finds their death by asking.
pub(crate) fn head_of_this_thread() -> Option<NonNull<Head>> {
    let mut head: *mut Head = ptr::null_mut();
    let mut len = 0usize;
    // SAFETY: the call writes one pointer and one size to these two locals.
    let answer = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    let head = NonNull::new(head).filter(|_| answer == 0 && len == size_of::<Head>())?;
    // SAFETY: a registered head stays valid while its thread runs, and that is the calling thread.
    let offset = unsafe { head.as_ref() }.offset.load(Relaxed);
    (offset == OFFSET).then_some(head)
}

/// Links the two anchors, empty, at the front of the list.
///
/// # Safety
/// - `head` is the list of the calling thread, with nodes of this shape.
/// - Both anchors stay in place until [`unlink_anchors`], or until the thread has ended.
pub(crate) unsafe fn link_anchors(head: &Head, first: &Node, last: &Node) {
    let old_first = head.list.load(Relaxed);
    first.next.store(last.next.as_ptr() as usize, Relaxed);
    first.prev.store((&raw const head.list) as usize, Relaxed);
    last.prev.store(first.next.as_ptr() as usize, Relaxed);
    last.next.store(old_first, Relaxed);
    // SAFETY: `old_first` is the `next` of a node that the C library linked (or its head, before
    // which it keeps a `prev` too), so the word `PREV_FROM_NEXT` before it is that node's `prev`.
    unsafe { write_prev(old_first, last.next.as_ptr() as usize) };
    // Last, so that a death on the way leaves the old list.
    compiler_fence(SeqCst);
    head.list.store(first.next.as_ptr() as usize, Relaxed);
}

/// Takes the two anchors out of the list again.
///
/// # Safety
/// - They were linked by the calling thread, and nothing of ours is between them.
pub(crate) unsafe fn unlink_anchors(first: &Node, last: &Node) {
    let (before, after) = (first.prev.load(Relaxed), last.next.load(Relaxed));
    // SAFETY: the C library keeps `prev` of the node behind us pointing at a linked `next` word.
    unsafe { write_prev(after, before) };
    // SAFETY: `first.prev` is the address of the `next` word (or the head's `list`) before us.
    let next_before = unsafe { &*(before as *const AtomicUsize) };
    next_before.store(after, Relaxed);
}

/// Sets the `prev` of the node whose `next` is at this address (bit 0 is the kernel's PI mark).
///
/// # Safety
/// - `next` is the address of the `next` word of a linked node.
unsafe fn write_prev(next: usize, prev: usize) {
    let place = ((next & !1) - PREV_FROM_NEXT) as *const AtomicUsize;
    // SAFETY: a linked node has its `prev` there, aligned, and only this thread writes it.
    unsafe { &*place }.store(prev, Relaxed);
}

impl Node {
    /// A free lock that is on no list.
    pub(crate) const fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
            data: [const { AtomicU32::new(0) }; 5],
            prev: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
        }
    }
}

impl Head {
    /// Makes this an empty list of its own, for a thread that has no registered one.
    pub(crate) fn stand_alone(&self) {
        self.list.store((&raw const self.list) as usize, Relaxed);
        self.offset.store(OFFSET, Relaxed);
    }
}
