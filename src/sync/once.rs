//! Something that all processes together do once.

use std::fmt;

use crate::{deadline::Deadline, raw::once::RawOnce};

/// Runs something once, in whichever process comes first and lives to the end of it.
///
/// # Examples
/// ```
/// use commons::{Shared, sync::Once};
///
/// # fn main() -> commons::Result<()> {
/// let setup = Shared::new(Once::new())?;
/// let mut runs = 0;
/// setup.call_once(|| runs += 1);
/// setup.call_once(|| runs += 1);
/// assert_eq!(runs, 1);
/// # Ok(()) }
/// ```
#[repr(C)]
pub struct Once {
    pub(super) raw: RawOnce,
}

impl Once {
    /// Not done yet.
    pub const fn new() -> Self {
        Self { raw: RawOnce::new() }
    }

    /// Runs `f` unless it was run; when this returns, it was run to its end, and what it wrote is seen.
    ///
    /// Others wait meanwhile. If the one who runs it panics or dies, the next one runs it.
    ///
    /// # Panics
    /// If `f` calls this on the same object, or the thread holds 1024 locks.
    #[track_caller]
    pub fn call_once(&self, f: impl FnOnce()) {
        match self.raw.begin(Deadline::NEVER) {
            Ok(false) => {}
            Ok(true) => {
                let running = Running { once: self };
                f();
                std::mem::forget(running);
                self.raw.finish();
            }
            Err(fault) => panic!("{}", fault.sentence()),
        }
    }

    /// Whether it was run to its end.
    pub fn is_completed(&self) -> bool {
        self.raw.is_done()
    }
}

/// Hands the run to the next one if `f` panics.
struct Running<'a> {
    once: &'a Once,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.once.raw.give_up();
    }
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("is_completed", &self.is_completed()).finish()
    }
}
