//! What a lock is for: a number that one thread at a time may touch.

use std::rc::Rc;

use loom::cell::UnsafeCell;

use crate::scene::shared;

/// A machine and a number. Loom notices who touches the number while somebody else may, and who does not
/// see what was written to it before.
pub(crate) struct Guarded<M> {
    pub(crate) machine: Rc<M>,
    number: UnsafeCell<u32>,
}

impl<M: std::fmt::Debug> Guarded<M> {
    pub(crate) fn by(machine: M) -> Rc<Self> {
        Rc::new(Self { machine: shared(machine), number: UnsafeCell::new(0) })
    }

    /// By who has the machine to itself.
    pub(crate) fn count(&self) -> u32 {
        self.number.with_mut(|number| {
            // SAFETY: the caller has the machine to itself, or the model fails before this.
            let number = unsafe { &mut *number };
            *number += 1;
            *number
        })
    }

    /// By who may share the machine.
    pub(crate) fn look(&self) -> u32 {
        self.number.with(|number| {
            // SAFETY: nobody writes while the caller may read, or the model fails before this.
            unsafe { *number }
        })
    }
}
