//! Sleep until a word in memory changes, across processes.
//!
//! `long futex(uint32_t *uaddr, int op, uint32_t val, const struct timespec *timeout, ...)`,
//! <https://man7.org/linux/man-pages/man2/futex.2.html>. Never `FUTEX_PRIVATE_FLAG`: the kernel
//! wakes the waiters of a dead owner by the shared key only.
//!
//! # Safety
//! Wakes an address whose memory may be gone.

#![allow(unsafe_code)]

use std::time::Duration;

use rustix::{
    io::Errno,
    thread::futex::{self, Flags, Wait, WaitFlags, WaitPtr, WaitvFlags},
    time::ClockId,
};

use crate::{deadline::Deadline, primitive::AtomicU32};

/// Why [`wait`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// A wake-up, or the word differs: look again.
    Look,
    /// The deadline has passed.
    TimedOut,
}

/// Sleeps while `word` is `expected`, until a wake-up or the deadline.
///
/// A signal does not end the sleep: where one comes every millisecond no slice would ever end, and
/// what is done at the end of each, such as asking whether an owner lives, never.
pub(crate) fn wait(word: &AtomicU32, expected: u32, deadline: Deadline) -> Woken {
    let timeout = deadline.timespec();
    loop {
        // The bitset form takes an absolute time on CLOCK_MONOTONIC.
        return match futex::wait_bitset(word, Flags::empty(), expected, timeout.as_ref(), BITSET_ANY) {
            Err(Errno::INTR) => continue,
            Err(Errno::TIMEDOUT) => Woken::TimedOut,
            // EAGAIN: the word differs.
            _ => Woken::Look,
        };
    }
}

const BITSET_ANY: std::num::NonZeroU32 = std::num::NonZeroU32::MAX;

/// Wakes up to `count` sleepers of `word` in all processes; how many there were.
pub(crate) fn wake(word: &AtomicU32, count: u32) -> usize {
    // The only error is a bad address, which a reference is not.
    futex::wake(word, Flags::empty(), count).unwrap_or(0)
}

/// As [`wake`], of a word whose memory may be gone; then nothing happens.
pub(crate) fn wake_address(word: *const AtomicU32, count: u32) {
    // SAFETY: the kernel reads no user memory for a wake-up, it only looks the address up.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, count) };
}

/// As many sleepers as there are.
pub(crate) const ALL: u32 = i32::MAX as u32;

/// The longest sleep without another look: what a waker's death can cost its sleepers.
pub(crate) const LONGEST_SLICE: Duration = Duration::from_millis(50);

/// Sleeps until one of the words differs from what is beside it, a wake-up, or the deadline. At most
/// 128 words, since Linux 5.16; before that, a short sleep.
pub(crate) fn wait_any(words: &[(&AtomicU32, u32)], deadline: Deadline) -> Woken {
    let waiters: Vec<Wait> = words
        .iter()
        .map(|&(word, expected)| {
            let mut wait = Wait::new();
            wait.val = expected.into();
            wait.uaddr = WaitPtr::new(word.as_ptr().cast());
            wait.flags = WaitFlags::SIZE_U32;
            wait
        })
        .collect();
    let timeout = deadline.timespec();
    loop {
        return match futex::waitv(&waiters, WaitvFlags::empty(), timeout.as_ref(), ClockId::Monotonic) {
            Err(Errno::INTR) => continue,
            Err(Errno::TIMEDOUT) => Woken::TimedOut,
            Err(Errno::NOSYS) => {
                let millisecond = Duration::from_millis(1);
                std::thread::sleep(deadline.remaining().map_or(millisecond, |left| left.min(millisecond)));
                Woken::TimedOut
            }
            // EAGAIN: a word differs.
            _ => Woken::Look,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicU32, Ordering::*},
            mpsc,
        },
        thread,
    };

    use super::*;
    use crate::sys::identity;

    #[test]
    fn a_signal_ends_no_sleep() {
        static HANDLED: AtomicU32 = AtomicU32::new(0);
        extern "C" fn handle(_: libc::c_int) {
            HANDLED.fetch_add(1, Relaxed);
        }
        let handler: extern "C" fn(libc::c_int) = handle;
        // SAFETY: the handler only counts, and nobody else in this program uses the signal.
        unsafe { libc::signal(libc::SIGUSR2, handler as libc::sighandler_t) };
        let (sender, receiver) = mpsc::channel();
        let sleeper = thread::spawn(move || {
            sender.send(identity::current_tid().get()).unwrap();
            wait(&AtomicU32::new(7), 7, Deadline::after(Duration::from_millis(50)))
        });
        let tid = receiver.recv().unwrap();
        while !sleeper.is_finished() {
            let process = identity::current_pid();
            // SAFETY: takes three numbers; the thread is this process's or, after its end, nobody's.
            unsafe { libc::syscall(libc::SYS_tgkill, process, tid, libc::SIGUSR2) };
            thread::sleep(Duration::from_micros(100));
        }
        assert_eq!(sleeper.join().unwrap(), Woken::TimedOut);
        assert!(HANDLED.load(Relaxed) > 0, "no signal came");
    }
}
