//! Points in time on the monotonic clock, as the kernel's waits take them.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A point on `CLOCK_MONOTONIC`, or never. Setting the wall clock does not move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline(Option<Duration>);

impl Deadline {
    /// Later than every other deadline.
    pub(crate) const NEVER: Self = Self(None);

    /// Passed already: for attempts that do not wait.
    pub(crate) const NOW: Self = Self(Some(Duration::ZERO));

    /// `timeout` from now; a timeout past the end of time is [`Deadline::NEVER`].
    pub(crate) fn after(timeout: Duration) -> Self {
        let end = now().checked_add(timeout);
        // A thousand years is never: it keeps every later sum inside the kernel's range.
        Self(end.filter(|end| end.as_secs() < 1000 * 365 * 86_400))
    }

    pub(crate) fn has_passed(self) -> bool {
        self.0.is_some_and(|at| now() >= at)
    }

    /// The earlier of this and `slice` from now. Waits in slices look again after each.
    pub(crate) fn within(self, slice: Duration) -> Self {
        let end = Self::after(slice);
        match self.0 {
            Some(at) if end.0.is_none_or(|end| at < end) => self,
            _ => end,
        }
    }

    /// The later of this and `least` from now.
    pub(crate) fn or_after(self, least: Duration) -> Self {
        if self == Self::NEVER {
            return self;
        }
        let least = Self::after(least);
        if self.0.is_none_or(|at| least.0.is_some_and(|least| at >= least)) { self } else { least }
    }

    /// What is left until it, zero when it has passed; `None` means forever.
    pub(crate) fn remaining(self) -> Option<Duration> {
        Some(self.0?.saturating_sub(now()))
    }

    /// As the kernel takes it; `None` means forever.
    pub(crate) fn timespec(self) -> Option<Timespec> {
        let at = self.0?;
        Some(Timespec { tv_sec: at.as_secs() as i64, tv_nsec: at.subsec_nanos().into() })
    }
}

/// Nanoseconds of the monotonic clock, which all processes share.
pub(crate) fn nanoseconds() -> u64 {
    now().as_nanos() as u64
}

/// A number that differs between moments that lie apart.
pub(crate) fn moment() -> u32 {
    (now().as_nanos() >> 10) as u32
}

fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_timeouts_never_pass_and_zero_passes_at_once() {
        assert_eq!(Deadline::after(Duration::MAX), Deadline::NEVER);
        assert!(Deadline::after(Duration::ZERO).has_passed());
        assert!(!Deadline::NEVER.has_passed());
        assert!(Deadline::NEVER.within(Duration::from_secs(9)).timespec().is_some());
        let soon = Deadline::after(Duration::from_millis(1));
        assert_eq!(soon.within(Duration::from_secs(9)), soon);
        assert_eq!(Deadline::NEVER.or_after(Duration::from_secs(9)), Deadline::NEVER);
        assert_eq!(Deadline::NOW.or_after(Duration::MAX), Deadline::NEVER);
        assert!(soon.or_after(Duration::from_secs(9)) > soon);
    }
}
