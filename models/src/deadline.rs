//! Deadlines without a clock: one that has passed, and those that never will.
//!
//! How a timed sleep ends for want of a wake-up is the kernel's to say; see `sys::futex`.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    passed: bool,
}

impl Deadline {
    pub(crate) const NEVER: Self = Self { passed: false };
    pub(crate) const NOW: Self = Self { passed: true };

    pub(crate) fn after(_: Duration) -> Self {
        Self::NEVER
    }

    pub(crate) fn has_passed(self) -> bool {
        self.passed
    }

    pub(crate) fn or_after(self, _: Duration) -> Self {
        self
    }

    pub(crate) fn within(self, _: Duration) -> Self {
        self
    }
}
