//! A meeting of all parties.

use crate::{
    deadline::Deadline,
    guarded::Guarded,
    raw::barrier::{BarrierFault, RawBarrier},
    scene::{Death, deaths, schedules, shared, spawn},
};

type Barrier = RawBarrier<2>;

/// Both go on together, one of them is the last, and each sees what the other did before.
#[test]
fn all_go_on_together() {
    schedules(|| {
        let guarded = Guarded::by(Barrier::new(2));
        let other = spawn({
            let guarded = guarded.clone();
            move || {
                guarded.count();
                let place = guarded.machine.wait(Deadline::NEVER).unwrap();
                assert_eq!(guarded.look(), 1);
                place
            }
        });
        let mine = guarded.machine.wait(Deadline::NEVER).unwrap();
        assert_eq!(guarded.look(), 1);
        let mut places = [mine, other.join().unwrap()];
        places.sort_unstable();
        assert_eq!(places, [(0, false), (1, true)]);
    });
}

/// A party that comes back at once waits for the next meeting, and nobody is left in the last one.
#[test]
fn meetings_follow_each_other() {
    schedules(|| {
        let barrier = shared(Barrier::new(2));
        let other = spawn({
            let barrier = barrier.clone();
            move || [1, 2].map(|_| barrier.wait(Deadline::NEVER).unwrap().1)
        });
        let mine = [1, 2].map(|_| barrier.wait(Deadline::NEVER).unwrap().1);
        let theirs = other.join().unwrap();
        assert!(mine[0] != theirs[0] && mine[1] != theirs[1]);
    });
}

/// A party that is late breaks it for both, or neither has missed the other.
#[test]
fn both_hear_the_same() {
    schedules(|| {
        let barrier = shared(Barrier::new(2));
        let hasty = spawn({
            let barrier = barrier.clone();
            move || barrier.wait(Deadline::NOW).map(drop)
        });
        let mine = barrier.wait(Deadline::NEVER).map(drop);
        assert_eq!(mine, hasty.join().unwrap());
        assert!(mine.is_ok() || mine == Err(BarrierFault::Broken));
        assert_eq!(barrier.is_broken(), mine.is_err());
    });
}

/// If a party dies, the other goes on if both have met, and else hears that it is broken.
#[test]
fn a_dead_party_breaks_it() {
    deaths(Death::MarkedAndTimed, |victim| {
        let barrier = shared(Barrier::new(2));
        let other = spawn({
            let barrier = barrier.clone();
            move || {
                // Only who has a seat can be missed.
                barrier.wait(Deadline::NEVER).unwrap();
                victim.run(|| barrier.wait(Deadline::NEVER).unwrap())
            }
        });
        barrier.wait(Deadline::NEVER).unwrap();
        let mine = barrier.wait(Deadline::NEVER).map(drop);
        let died = other.join().unwrap().is_none();
        assert!(mine.is_ok() || died && mine == Err(BarrierFault::Broken));
        barrier.reset().unwrap();
        assert!(!barrier.is_broken() && barrier.waiting() == 0);
    });
}
