//! A thread's record from its first lock to the thread's end.
//!
//! A thread that ends and still holds cells has leaked their guards. A cell whose guard lends no
//! references into the segment is marked as the kernel would mark it, and the next locker goes on.
//! Any other may have left a `&mut` behind (`Box::leak` of the guard, and the reference sent home):
//! it must stay held as long as the process lives. A keeper thread adopts it, so that the kernel
//! still hands it on when the process dies.
//!
//! # Safety
//! Talks to the C library about threads: keys, creation, signal masks.

#![allow(unsafe_code)]

use std::{ffi::c_void, mem::MaybeUninit, ptr, sync::OnceLock};

use super::{held::Thread, region};
use crate::{
    deadline::Deadline,
    primitive::{AtomicU32, Ordering::*},
    sys::{
        fork, futex,
        robust::{Node, OWNER_DIED, TID, WAITERS},
    },
};

/// The calling thread's record, made if there is none.
#[inline]
pub(super) fn ready() -> &'static Thread {
    let thread = Thread::current();
    if thread.tid() != 0 { thread } else { prepare(thread) }
}

#[cold]
fn prepare(mut thread: &'static Thread) -> &'static Thread {
    if !thread.is_somebody() {
        let memory = fork::wiped_memory(size_of::<Thread>()).expect("memory for a thread's lock record");
        // SAFETY: mapped, zeroed (all fields are atomics), and unmapped by `at_thread_end` only.
        thread = unsafe { memory.cast::<Thread>().as_ref() };
        region::add_thread(thread);
        Thread::set_current(Some(thread));
        // SAFETY: the key exists; the value is a pointer that `at_thread_end` takes back.
        unsafe { libc::pthread_setspecific(key(), ptr::from_ref(thread).cast()) };
    }
    thread.begin();
    thread
}

/// A key whose destructor runs at each thread's end, after every `thread_local!` destructor: guards
/// that live in those are dropped by then.
fn key() -> libc::pthread_key_t {
    static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: writes one key; the destructor lives as long as the program.
        let refused = unsafe { libc::pthread_key_create(&raw mut key, Some(at_thread_end)) };
        assert_eq!(refused, 0, "no thread-specific key is left for the locks of commons");
        key
    })
}

extern "C" fn at_thread_end(record: *mut c_void) {
    // SAFETY: the value that `prepare` set for this thread: its mapped record.
    let thread: &'static Thread = unsafe { &*record.cast::<Thread>() };
    let mut adopted = Vec::new();
    while let Some((cell, returning)) = thread.newest() {
        if returning {
            // Nobody borrows a handle any more: between the pop and the mark the segment must not go.
            region::while_no_segment_goes(|| {
                thread.announce(cell);
                thread.set_returning(false);
                thread.pop();
                mark_owner_died(&cell.word, thread.tid());
            });
        } else {
            if adopted.is_empty() {
                adopted.extend(thread.held());
                adopt(&adopted, thread.tid());
            }
            // The keeper owns it now.
            thread.pop();
        }
    }
    thread.end();
    region::remove_thread(thread);
    Thread::set_current(None);
    // SAFETY: made by `wiped_memory` with this length; list, table and `CURRENT` have let go of it.
    unsafe { fork::unmap(record.cast(), size_of::<Thread>()) };
}

/// What the kernel does to the word of a dead owner.
fn mark_owner_died(word: &AtomicU32, tid: u32) {
    let died = |old: u32| (old & TID == tid).then_some(old & WAITERS | OWNER_DIED);
    if word.fetch_update(Release, Relaxed, died).is_ok_and(|old| old & WAITERS != 0) {
        futex::wake(word, 1);
    }
}

/// What a keeper is told, on the stack of the thread that waits for it.
struct Adoption<'a> {
    cells: &'a [(&'static Node, bool)],
    tid: u32,
    done: AtomicU32,
}

/// Makes a thread that never ends the owner of the cells that lend references.
fn adopt(cells: &[(&'static Node, bool)], tid: u32) {
    let adoption = Adoption { cells, tid, done: AtomicU32::new(0) };
    let mut thread = MaybeUninit::uninit();
    let told = ptr::from_ref(&adoption).cast_mut().cast();
    // SAFETY: the function fits; `adoption` outlives its use, which ends when `done` is set.
    let refused = unsafe { libc::pthread_create(thread.as_mut_ptr(), ptr::null(), keep, told) };
    if refused != 0 {
        eprintln!(
            "commons: a thread ended with leaked guards, and no thread could be made to keep their locks"
        );
        std::process::abort();
    }
    while adoption.done.load(Acquire) == 0 {
        futex::wait(&adoption.done, 0, Deadline::NEVER.within(futex::LONGEST_SLICE));
    }
    // SAFETY: `pthread_create` has succeeded, so it wrote the id.
    let thread = unsafe { thread.assume_init() };
    // SAFETY: nobody joins the keeper.
    unsafe { libc::pthread_detach(thread) };
}

extern "C" fn keep(told: *mut c_void) -> *mut c_void {
    let mut signals = MaybeUninit::uninit();
    // SAFETY: fills the set that is passed.
    unsafe { libc::sigfillset(signals.as_mut_ptr()) };
    // SAFETY: the set was filled; signals go to the threads of the program.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, signals.as_ptr(), ptr::null_mut()) };
    // SAFETY: the creator waits until `done` is set.
    let adoption: &Adoption<'_> = unsafe { &*told.cast() };
    let keeper = ready();
    for &(cell, _) in adoption.cells.iter().filter(|(_, returning)| !returning) {
        keeper.announce(cell);
        let mine = |old: u32| (old & TID == adoption.tid).then_some(old & !TID | keeper.tid());
        if cell.word.fetch_update(AcqRel, Relaxed, mine).is_ok() {
            keeper.push(cell);
        }
    }
    let done = &raw const adoption.done;
    adoption.done.store(1, Release);
    // The creator may be gone by now, and a wake-up of an address that nobody sleeps on does nothing.
    futex::wake_address(done, 1);
    loop {
        std::thread::sleep(std::time::Duration::MAX);
    }
}
