//! Sets of signals, and what a thread of ours does with them.
//!
//! `int pthread_sigmask(int how, const sigset_t *set, sigset_t *oldset)`,
//! <https://man7.org/linux/man-pages/man3/pthread_sigmask.3.html>.
//!
//! # Safety
//! `rustix` has no signal sets; these are calls of the C library with pointers to our own sets.

#![allow(unsafe_code)]

use std::{ffi::c_int, mem::MaybeUninit, ptr};

use libc::sigset_t;

/// The set of these signals.
pub(crate) fn set_of(signals: &[c_int]) -> sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set that the pointer, valid for writes, leads to.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the line above.
    let mut set = unsafe { set.assume_init() };
    for &signal in signals {
        // SAFETY: an initialised set; a number that is no signal is refused and changes nothing.
        unsafe { libc::sigaddset(&mut set, signal) };
    }
    set
}

/// Leaves signals to the other threads: handlers of the program run on threads it knows.
///
/// SIGCHLD is excepted. The kernel drops one that nobody handles, but not if the thread that started
/// the child blocks it: then it interrupts a system call of another thread.
pub(crate) fn block_in_this_thread() {
    let mut all = set_of(&[]);
    // SAFETY: the set is ours and initialised.
    unsafe { libc::sigfillset(&mut all) };
    // SAFETY: the set is ours and initialised.
    unsafe { libc::sigdelset(&mut all, libc::SIGCHLD) };
    // SAFETY: the set is initialised, and a null old set is not written.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &all, ptr::null_mut()) };
}

/// Makes a write to a closed pipe an error instead of death, as Rust does before `main`.
pub(crate) fn ignore_broken_pipes() {
    // SAFETY: SIG_IGN is a disposition and no function, so nothing of ours runs in a handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}
