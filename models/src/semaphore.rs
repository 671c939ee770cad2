//! Permits that come back.

use crate::{
    deadline::Deadline,
    guarded::Guarded,
    raw::semaphore::RawSemaphore,
    scene::{Death, deaths, schedules, spawn},
};

impl<const N: usize> Guarded<RawSemaphore<N>> {
    fn acquire_and_count(&self) {
        let permit = self.machine.acquire(Deadline::NEVER).unwrap();
        self.count();
        self.machine.release(permit);
    }
}

/// One permit, one at a time.
#[test]
fn a_permit_is_one_threads() {
    schedules(|| {
        let guarded = Guarded::by(RawSemaphore::<1>::new(1));
        let other = spawn({
            let guarded = guarded.clone();
            move || guarded.acquire_and_count()
        });
        guarded.acquire_and_count();
        other.join().unwrap();
        assert_eq!((guarded.look(), guarded.machine.available()), (2, 1));
    });
}

/// A permit that is brought into circulation releases who waits for one.
#[test]
fn a_new_permit_releases() {
    schedules(|| {
        let guarded = Guarded::by(RawSemaphore::<1>::new(0));
        let other = spawn({
            let guarded = guarded.clone();
            move || guarded.acquire_and_count()
        });
        guarded.machine.add(1).unwrap().unwrap();
        other.join().unwrap();
        assert_eq!(guarded.machine.available(), 1);
    });
}

fn the_permit_comes_back(death: Death) {
    deaths(death, |victim| {
        let guarded = Guarded::by(RawSemaphore::<1>::new(1));
        let dying = victim.spawn({
            let guarded = guarded.clone();
            move || guarded.acquire_and_count()
        });
        guarded.acquire_and_count();
        dying.join().unwrap();
        guarded.acquire_and_count();
        assert_eq!(guarded.machine.available(), 1);
    });
}

/// A permit of which the holder dies is there for the next one.
#[test]
fn a_dead_holders_permit_comes_back() {
    the_permit_comes_back(Death::MarkedAndTimed);
}

/// The same where the kernel has no list: who waits asks whether the holder lives.
#[test]
fn a_dead_holder_is_found_without_the_kernel() {
    the_permit_comes_back(Death::Unseen);
}
