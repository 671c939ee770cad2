//! What a lock is for: a number that one thread at a time may touch.

use std::{cell::Cell, rc::Rc};

use loom::cell::UnsafeCell;

use crate::scene::{Victim, shared};

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

/// How far a victim has come with a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Outside,
    /// About to own it, or to release it.
    Between,
    Inside,
}

/// A victim does `dying` with the lock, and another takes it twice with `lock`, which says whether it was
/// told of a death: it is told once if the victim died inside, and never if nobody died.
pub(crate) fn survivor_is_told<M: std::fmt::Debug + 'static>(
    victim: Victim,
    machine: M,
    dying: fn(&Guarded<M>, &Cell<Stage>),
    lock: fn(&Guarded<M>) -> bool,
) {
    let (guarded, stage) = (Guarded::by(machine), Rc::new(Cell::new(Stage::Outside)));
    let victim = victim.spawn({
        let (guarded, stage) = (guarded.clone(), stage.clone());
        move || dying(&guarded, &stage)
    });
    let first = lock(&guarded);
    let died = victim.join().unwrap().is_none();
    let told = [first, lock(&guarded)].into_iter().filter(|&told| told).count();
    match stage.get() {
        Stage::Inside => assert_eq!(told, 1),
        Stage::Between => assert!(told <= usize::from(died)),
        Stage::Outside => assert_eq!(told, 0),
    }
}
