//! What a task knows about being one: calls inside it use what is its part of the CPUs.

use std::{
    cell::Cell,
    marker::PhantomData,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Of a worker process: its part of the CPUs. 0 in other processes.
static SHARE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// How many tasks this thread is in, one inside the other.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// This process is a worker, with this part of the CPUs.
pub(super) fn enter_worker(share: usize) {
    SHARE.store(share.max(1), Relaxed);
}

/// This thread is in a task until what is returned is dropped.
pub(super) fn enter_task() -> Inside {
    DEPTH.set(DEPTH.get() + 1);
    Inside(PhantomData)
}

/// The thread is in a task.
pub(super) struct Inside(PhantomData<*const ()>);

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// For who is in a task: how many CPUs are its own.
pub(crate) fn share() -> Option<usize> {
    match SHARE.load(Relaxed) {
        _ if DEPTH.get() != 0 => Some(1),
        0 => None,
        share => Some(share),
    }
}
