//! What the C library calls when a process ends or forks.
//!
//! `int atexit(void (*)(void))`, `int pthread_atfork(void (*)(void), void (*)(void), void (*)(void))`.
//!
//! # Safety
//! Registers functions with the C library.

#![allow(unsafe_code)]

use std::io;

/// Runs `hook` when this process, or one forked from it, ends by `exit` or by returning from `main`.
pub(crate) fn at_exit(hook: extern "C" fn()) -> io::Result<()> {
    // SAFETY: the function is `extern "C"`, takes nothing, and lives as long as the program.
    let refused = unsafe { libc::atexit(hook) };
    if refused == 0 { Ok(()) } else { Err(io::ErrorKind::OutOfMemory.into()) }
}

/// Runs `before` in a thread that is about to fork, and `after` in it and in the child.
pub(crate) fn around_fork(before: extern "C" fn(), after: extern "C" fn()) -> io::Result<()> {
    // SAFETY: both are `extern "C"`, take nothing, and live as long as the program.
    match unsafe { libc::pthread_atfork(Some(before), Some(after), Some(after)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
