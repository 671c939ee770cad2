//! Whether to keep a lock: what a process has learned about it.

use crate::primitive::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// How often a lock was taken in a row without another that wanted it. Private to a process, whose threads
/// may get the counts wrong.
#[derive(Debug)]
pub(crate) struct Habit {
    /// So often more, and it is kept.
    left: AtomicU32,
    /// How often it must be taken before; twice as often after each time that others took it away, which
    /// costs microseconds.
    gap: AtomicU32,
    keeps: AtomicBool,
}

const FIRST_GAP: u32 = 64;
const LONGEST_GAP: u32 = 1 << 14;

impl Default for Habit {
    fn default() -> Self {
        Self { left: FIRST_GAP.into(), gap: FIRST_GAP.into(), keeps: false.into() }
    }
}

impl Habit {
    /// Counts one; whether the lock shall be kept.
    pub(crate) fn is_formed(&self) -> bool {
        let left = self.left.load(Relaxed);
        self.left.store(left.saturating_sub(1), Relaxed);
        left == 0
    }

    /// The lock is kept.
    pub(crate) fn keep(&self) {
        self.keeps.store(true, Relaxed);
    }

    /// The lock was not there to be entered: somebody has taken it away, if it was kept.
    pub(crate) fn notice_loss(&self) {
        if self.keeps.load(Relaxed) {
            self.lose();
        }
    }

    /// Others want it, or somebody else keeps it.
    pub(crate) fn lose(&self) {
        self.keeps.store(false, Relaxed);
        self.gap.store((self.gap.load(Relaxed) * 2).min(LONGEST_GAP), Relaxed);
        self.start_over();
    }

    /// Others want it now.
    pub(crate) fn start_over(&self) {
        self.left.store(self.gap.load(Relaxed), Relaxed);
    }
}
