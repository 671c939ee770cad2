//! The clocks: one that all processes share, one that stands still while others have the CPU.

use std::{fs, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Since some moment that is the same for all processes.
pub(crate) fn now() -> Duration {
    read(ClockId::Monotonic)
}

/// How long the calling thread has run. It stands still while the thread sleeps, too.
pub(crate) fn own_time() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// How long the calling thread has waited for a CPU that others had; zero where the kernel does not
/// count it.
pub(crate) fn kept_waiting() -> Duration {
    let counted = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = counted.and_then(|line| line.split(' ').nth(1)?.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    // Neither part of these clocks is ever negative.
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
