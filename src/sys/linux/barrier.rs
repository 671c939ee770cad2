//! A memory barrier of which one side pays nothing and the other all.
//!
//! Two threads each write one word and then read the other's: one must see what the other wrote, and
//! for that both need a barrier between write and read. Here the side that is in a hurry (who
//! releases a lock) calls [`light`], which only stops the compiler, and the side that is about to
//! sleep calls [`heavy`], which makes every processor that runs a registered process execute a
//! barrier now: about a microsecond, before a sleep that takes ten.
//!
//! `int membarrier(int cmd, unsigned int flags, int cpu_id)`,
//! <https://man7.org/linux/man-pages/man2/membarrier.2.html>, `MEMBARRIER_CMD_GLOBAL_EXPEDITED`
//! (Linux 4.16). A process that may not call it pays for itself, with a full barrier on both sides.
//!
//! # Safety
//! Calls the kernel with three numbers.

#![allow(unsafe_code)]

use crate::primitive::{AtomicBool, Ordering::*, compiler_fence, fence};

/// Whether others can make this process's processors execute a barrier. A forked child inherits that
/// together with its memory.
static REGISTERED: AtomicBool = AtomicBool::new(false);

/// Lets others make the threads of this process execute a barrier. Any number of times.
pub(crate) fn register() {
    if !is_registered() && membarrier(libc::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) {
        REGISTERED.store(true, Release);
    }
}

/// Whether [`light`] costs nothing.
#[inline]
pub(crate) fn is_registered() -> bool {
    REGISTERED.load(Relaxed)
}

/// The cheap side.
#[inline]
pub(crate) fn light() {
    if is_registered() { compiler_fence(SeqCst) } else { fence(SeqCst) }
}

/// The other side; false where the kernel refuses. Then whoever did not see a sleeper wakes it late, and
/// sleeps are timed.
pub(crate) fn heavy() -> bool {
    fence(SeqCst);
    membarrier(libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED)
}

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: the call takes three numbers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}
