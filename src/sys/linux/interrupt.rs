//! Ctrl-C: a handler that rings a bell, for as long as somebody wants it.
//!
//! `int sigaction(int signum, const struct sigaction *act, struct sigaction *oldact)`,
//! <https://man7.org/linux/man-pages/man2/sigaction.2.html>.
//!
//! # Safety
//! Sets handlers, which do only what a handler may: they write to a descriptor, ask for the process's
//! number, and give a signal its usual effect.

#![allow(unsafe_code)]

use std::{
    ffi::c_int,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd},
    ptr,
    sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst},
};

use super::events::Bell;

/// Where the handler rings, and in which process.
static BELL: AtomicI32 = AtomicI32::new(-1);
static OWNER: AtomicU32 = AtomicU32::new(0);

/// What was done about the signal before.
pub(crate) struct Previous(libc::sigaction);

/// From now on Ctrl-C rings this bell, which lives as long as the process. `None` where it is ignored: then
/// it stays so.
pub(crate) fn catch(bell: &'static Bell) -> io::Result<Option<Previous>> {
    OWNER.store(std::process::id(), SeqCst);
    BELL.store(bell.as_fd().as_raw_fd(), SeqCst);
    let previous = set(&action(ring))?;
    if previous.sa_sigaction == libc::SIG_IGN {
        set(&previous)?;
        return Ok(None);
    }
    Ok(Some(Previous(previous)))
}

/// Ctrl-C does nothing in this process; a program that it starts has the usual effect.
pub(crate) fn shrug_off() -> io::Result<()> {
    set(&action(shrug)).map(|_| ())
}

impl Previous {
    /// What was there handles it again, unless somebody has set a handler after us, which stays.
    pub(crate) fn restore(&self) -> io::Result<()> {
        let now = set(&self.0)?;
        if now.sa_sigaction != ring as *const () as usize {
            set(&now)?;
        }
        Ok(())
    }
}

/// Nobody asks for anything now: the signal would end the process.
pub(crate) fn is_default() -> bool {
    exchange(None).is_ok_and(|now| now.sa_sigaction == libc::SIG_DFL)
}

/// Sends the signal to this process once more.
pub(crate) fn again() -> io::Result<()> {
    let process = rustix::process::getpid();
    Ok(rustix::process::kill_process(process, rustix::process::Signal::INT)?)
}

fn action(handler: extern "C" fn(c_int)) -> libc::sigaction {
    // SAFETY: a structure of numbers, a set and an optional pointer, for all of which zeroes are a value.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as *const () as usize;
    // Whoever is in a system call does not notice.
    action.sa_flags = libc::SA_RESTART;
    action
}

fn set(action: &libc::sigaction) -> io::Result<libc::sigaction> {
    exchange(Some(action))
}

/// What was there.
fn exchange(action: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut previous = MaybeUninit::uninit();
    let action = action.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: null, which changes nothing, or such a structure, which holds a handler of ours or what the
    // kernel gave us; the other one is ours to write to.
    if unsafe { libc::sigaction(libc::SIGINT, action, previous.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: written by the call, which succeeded.
    Ok(unsafe { previous.assume_init() })
}

extern "C" fn shrug(_: c_int) {}

extern "C" fn ring(signal: c_int) {
    // SAFETY: allowed in a handler, and has no arguments.
    if unsafe { libc::getpid() } as u32 != OWNER.load(SeqCst) {
        // In a forked child the bell is the parent's.
        // SAFETY: SIG_DFL is a disposition and no function.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        // SAFETY: allowed in a handler; comes when this handler returns.
        unsafe { libc::raise(signal) };
        return;
    }
    // SAFETY: points to this thread's own number, which is there as long as the thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; a handler leaves it as it was.
    let before = unsafe { ptr::read(errno) };
    let one = 1u64.to_ne_bytes();
    // SAFETY: allowed in a handler; eight readable bytes, to a descriptor that is never closed.
    unsafe { libc::write(BELL.load(SeqCst), one.as_ptr().cast(), one.len()) };
    // SAFETY: as above.
    unsafe { ptr::write(errno, before) };
}
