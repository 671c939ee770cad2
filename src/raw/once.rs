//! Something that is done once, by whoever comes first and lives to the end of it.
//!
//! | `done` | `running` | means | if the one who runs it dies |
//! |---|---|---|---|
//! | 0 | free | not done | – |
//! | 0 | held | somebody does it | the kernel frees `running`; the next one does it |
//! | 1 | any | done, and what it wrote is seen | – |

use super::mutex::{LockFault, RawMutex};
use crate::{
    deadline::Deadline,
    primitive::{AtomicU32, Ordering::*},
};

/// All zeroes: not done.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct RawOnce {
    running: RawMutex,
    done: AtomicU32,
    _reserved: u32,
}

impl RawOnce {
    pub(crate) const fn new() -> Self {
        Self { running: RawMutex::new(), done: AtomicU32::new(0), _reserved: 0 }
    }

    /// Nobody runs it; whether it is done stays.
    pub(crate) fn empty(&mut self) {
        self.running = RawMutex::new();
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Acquire) != 0
    }

    /// Waits until it is done (false) or this thread is the one to do it (true), which then calls
    /// [`RawOnce::finish`] or [`RawOnce::give_up`].
    pub(crate) fn begin(&self, deadline: Deadline) -> Result<bool, LockFault> {
        if self.is_done() {
            return Ok(false);
        }
        let _ = self.running.lock_deadline(deadline)?;
        self.running.set_returning(true);
        if self.is_done() {
            self.give_up();
            return Ok(false);
        }
        Ok(true)
    }

    /// It is done.
    pub(crate) fn finish(&self) {
        if self.running.is_mine() {
            self.done.store(1, Release);
        }
        self.give_up();
    }

    /// The next one does it.
    pub(crate) fn give_up(&self) {
        self.running.set_returning(false);
        self.running.unlock_waking(crate::sys::futex::ALL);
    }
}
