//! A CPU of its own for each of two sides.
//!
//! Two processes that the scheduler puts on one CPU take turns, and a lock that both want is free
//! whenever one of them looks.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Side {
    Leader,
    Partner,
}

/// Keeps the calling thread on its side's CPU; nothing if there is one CPU only. The CPUs that it
/// could use before come back when this is dropped.
pub(crate) fn take(side: Side) -> Option<Seat> {
    let before = sched_getaffinity(None).ok()?;
    let mut usable = (0..CpuSet::MAX_CPU).filter(|&cpu| before.is_set(cpu));
    let (first, last) = (usable.next()?, usable.next_back()?);
    let mut seat = CpuSet::new();
    seat.set(match side {
        Side::Leader => first,
        Side::Partner => last,
    });
    sched_setaffinity(None, &seat).ok()?;
    Some(Seat { before })
}

/// The same job for two, each on a CPU of its own.
pub(crate) fn apart<J: Clone>(job: &J) -> [(Option<Side>, J); 2] {
    [Side::Leader, Side::Partner].map(|side| (Some(side), job.clone()))
}

/// The place of a thread on a CPU.
#[derive(Debug)]
#[must_use = "the CPUs that the thread could use come back at once if this is not kept"]
pub(crate) struct Seat {
    before: CpuSet,
}

impl Drop for Seat {
    fn drop(&mut self) {
        // It was allowed before. If it is no more, the rest of the run has one CPU.
        let _ = sched_setaffinity(None, &self.before);
    }
}
