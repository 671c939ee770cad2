//! A mark that tells a process from the one it was forked from.
//!
//! `pthread_atfork` is skipped by raw `clone` calls, so the mark lies in a page that the kernel
//! itself empties in the child (`MADV_WIPEONFORK`, Linux 4.14).
//!
//! # Safety
//! Maps that page and reads it through `&AtomicU64`: page-aligned, zeroed, never unmapped.

#![allow(unsafe_code)]

use std::{
    io,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicU64, Ordering::*},
};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());
static FORKS: AtomicU64 = AtomicU64::new(0);

/// A number that stays the same in this process and is another one in every forked descendant.
#[inline]
pub(crate) fn mark() -> u64 {
    let page = PAGE.load(Acquire);
    if !page.is_null() {
        // SAFETY: a page that was published here is mapped for ever and holds an `AtomicU64`.
        let mark = unsafe { &*page }.load(Relaxed);
        if mark != 0 {
            return mark;
        }
    }
    new_mark()
}

#[cold]
fn new_mark() -> u64 {
    if PAGE.load(Acquire).is_null() {
        let page = wiped_memory(size_of::<AtomicU64>()).expect("one page of memory for the fork mark");
        let page = page.as_ptr().cast::<AtomicU64>();
        if PAGE.compare_exchange(ptr::null_mut(), page, AcqRel, Acquire).is_err() {
            // Another thread was first. Its page is the one; ours was never seen by anybody.
            // SAFETY: mapped above with this length, and no pointer to it is left.
            unsafe { unmap(page.cast(), size_of::<AtomicU64>()) };
        }
    }
    // SAFETY: published pages stay mapped.
    let mark = unsafe { &*PAGE.load(Acquire) };
    let new = FORKS.fetch_add(1, Relaxed) + 1;
    match mark.compare_exchange(0, new, Relaxed, Relaxed) {
        Ok(_) => new,
        Err(first) => first,
    }
}

/// Zeroed private memory that is zeroed again in a forked child.
pub(crate) fn wiped_memory(len: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a null hint lets the kernel choose a free range.
    let memory = unsafe {
        mmap_anonymous(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?
    };
    // SAFETY: the range was mapped just now and nobody else knows it.
    unsafe { madvise(memory, len, Advice::LinuxWipeOnFork)? };
    NonNull::new(memory.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Gives memory of [`wiped_memory`] back.
///
/// # Safety
/// - `memory` came from `wiped_memory(len)`, and no pointer into it is used again.
pub(crate) unsafe fn unmap(memory: *mut u8, len: usize) {
    // SAFETY: the caller promises that this is a whole mapping that nobody uses.
    let unmapped = unsafe { munmap(memory.cast(), len) };
    debug_assert!(unmapped.is_ok(), "munmap of our own mapping failed");
}

/// Forked children for the tests of this crate.
#[cfg(test)]
pub(crate) mod testing {
    /// Runs `child` in a forked process, which then ends; its pid.
    ///
    /// The child has no other thread, so it must not wait for one. The C library makes the heap usable.
    pub(crate) fn start(child: impl FnOnce()) -> u32 {
        // SAFETY: the child uses nothing that another thread of the test could have locked.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: ends the process without running what its parent registered.
            unsafe { libc::_exit(i32::from(ended.is_err())) };
        }
        u32::try_from(pid).expect("a process can be forked")
    }

    /// For a child: sleeps until it is killed.
    pub(crate) fn sleep() {
        loop {
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        }
    }

    /// For a child: its first thread ends, and another one sleeps until the process is killed.
    pub(crate) fn go_on_in_another_thread() {
        std::thread::spawn(sleep);
        // SAFETY: ends the thread; nothing on its stack is used by others.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }

    /// For a child: becomes another program, which sleeps.
    pub(crate) fn run_another_program() {
        let (program, seconds) = (c"/bin/sleep".as_ptr(), c"60".as_ptr());
        // SAFETY: C strings, ended by a null pointer.
        unsafe { libc::execl(program, program, seconds, std::ptr::null::<libc::c_char>()) };
    }

    /// `kill -9` for a child that nobody has waited for.
    pub(crate) fn kill(pid: u32) {
        // SAFETY: takes numbers; the pid is still the child's, dead or alive.
        unsafe { libc::kill(pid.cast_signed(), libc::SIGKILL) };
    }

    /// Waits for the end of a child; whether it ended well.
    pub(crate) fn wait_for(pid: u32) -> bool {
        let mut status = 0;
        // SAFETY: the status lives during the call.
        unsafe { libc::waitpid(pid.cast_signed(), &raw mut status, 0) == pid.cast_signed() && status == 0 }
    }
}
