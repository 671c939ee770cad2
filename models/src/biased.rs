//! The lock with a keeper: it enters without an exchange, and never beside another.

use std::{cell::Cell, rc::Rc};

use crate::{
    deadline::Deadline,
    guarded::{Guarded, Stage, survivor_is_told},
    primitive::Ordering::Relaxed,
    raw::{
        biased::{BiasedMutex, Hold, Request},
        habit::Habit,
        mutex::{Acquired, LockFault},
    },
    scene::{Death, Victim, deaths, schedules, spawn},
};

const WAITING: Request<'static> = Request { habit: &Habit, deadline: Deadline::NEVER };
const HASTY: Request<'static> = Request { habit: &Habit, deadline: Deadline::NOW };

impl Guarded<BiasedMutex> {
    fn count_held(&self, hold: Hold) -> bool {
        self.count();
        self.machine.unlock(&Habit, hold);
        hold.is_after_a_death()
    }

    /// Counts one; whether somebody died inside.
    fn lock_and_count(&self) -> bool {
        let hold = self.machine.lock(WAITING).unwrap();
        self.count_held(hold)
    }
}

fn lock() -> Rc<Guarded<BiasedMutex>> {
    Guarded::by(BiasedMutex::new())
}

/// Who took it last enters again without an exchange, until another takes it away.
#[test]
fn the_keeper_enters() {
    schedules(|| {
        let lock = lock();
        let take = || {
            let hold = lock.machine.lock(WAITING).unwrap();
            lock.count_held(hold);
            hold
        };
        assert_eq!(take(), Hold::Locked(Acquired::Released));
        assert!(matches!(take(), Hold::Entered(_)));
        let other = spawn({
            let lock = lock.clone();
            move || lock.lock_and_count()
        });
        assert!(!other.join().unwrap());
        assert_eq!(take(), Hold::Locked(Acquired::Released));
    });
}

/// It enters while another takes the lock away, and after that.
#[test]
fn the_keeper_and_another() {
    schedules(|| {
        let lock = lock();
        lock.lock_and_count();
        let other = spawn({
            let lock = lock.clone();
            move || lock.lock_and_count()
        });
        assert!(!lock.lock_and_count());
        assert!(!lock.lock_and_count());
        assert!(!other.join().unwrap());
        assert_eq!(lock.look(), 4);
    });
}

/// Two others want it at once, and none of them sleeps for ever.
#[test]
fn two_others_take_it_away() {
    schedules(|| {
        let lock = lock();
        lock.lock_and_count();
        let others = [1, 2].map(|_| {
            let lock = lock.clone();
            spawn(move || lock.lock_and_count())
        });
        lock.lock_and_count();
        others.into_iter().for_each(|other| assert!(!other.join().unwrap()));
        assert_eq!(lock.look(), 4);
    });
}

/// Nobody is the keeper yet, and both would be.
#[test]
fn both_want_to_keep_it() {
    schedules(|| {
        let lock = lock();
        let other = spawn({
            let lock = lock.clone();
            move || (lock.lock_and_count(), lock.lock_and_count())
        });
        lock.lock_and_count();
        lock.lock_and_count();
        assert_eq!(other.join().unwrap(), (false, false));
        assert_eq!(lock.look(), 4);
    });
}

/// The keeper enters while another does something in haste.
fn beside_haste(hasty: fn(&Guarded<BiasedMutex>)) {
    let lock = lock();
    lock.lock_and_count();
    let other = spawn({
        let lock = lock.clone();
        move || hasty(&lock)
    });
    assert!(!lock.lock_and_count());
    other.join().unwrap();
    assert!(!lock.lock_and_count());
}

/// Who gives up while the keeper is inside puts everything back.
#[test]
fn giving_up_disturbs_nobody() {
    schedules(|| {
        beside_haste(|lock| match lock.machine.lock(HASTY) {
            Ok(hold) => _ = lock.count_held(hold),
            Err(fault) => {
                assert_eq!(fault, LockFault::TimedOut);
                lock.lock_and_count();
            }
        });
    });
}

#[test]
fn an_attempt_disturbs_nobody() {
    schedules(|| {
        beside_haste(|lock| match lock.machine.try_lock() {
            Ok(_) => {
                lock.count();
                lock.machine.release();
            }
            Err(fault) => assert!(matches!(fault, LockFault::Held | LockFault::TimedOut)),
        });
    });
}

/// As a signal handler would that uses what its thread uses just now.
#[test]
fn who_is_inside_and_comes_again_hears_so() {
    schedules(|| {
        let lock = lock();
        lock.lock_and_count();
        let hold = lock.machine.lock(WAITING).unwrap();
        assert!(matches!(hold, Hold::Entered(_)));
        assert_eq!(lock.machine.lock(WAITING), Err(LockFault::OwnLock));
        assert_eq!(lock.machine.try_lock(), Err(LockFault::OwnLock));
        assert!(!lock.count_held(hold));
        assert!(!lock.lock_and_count());
    });
}

fn keep_and_die(lock: &Guarded<BiasedMutex>, stage: &Cell<Stage>) {
    for _ in 0..2 {
        stage.set(Stage::Between);
        let hold = lock.machine.lock(WAITING).unwrap();
        stage.set(Stage::Inside);
        lock.count();
        // Somewhere to die inside.
        lock.machine.spare(0).store(1, Relaxed);
        stage.set(Stage::Between);
        lock.machine.unlock(&Habit, hold);
        stage.set(Stage::Outside);
    }
}

/// The keeper dies: who takes the lock away gets it, and is told if and only if it was inside.
fn the_next_one_is_told(victim: Victim) {
    survivor_is_told(victim, BiasedMutex::new(), keep_and_die, Guarded::lock_and_count);
}

#[test]
fn a_dead_keeper_is_found() {
    deaths(Death::MarkedAndTimed, the_next_one_is_told);
}

#[test]
fn a_dead_keeper_is_found_without_the_kernel() {
    deaths(Death::Unseen, the_next_one_is_told);
}

/// Who takes the lock away dies at it: the keeper goes on, and a third one gets in beside nobody.
#[test]
fn a_dead_taker_lets_nobody_in() {
    deaths(Death::MarkedAndTimed, |victim| {
        let lock = lock();
        lock.lock_and_count();
        let dying = victim.spawn({
            let lock = lock.clone();
            move || lock.lock_and_count()
        });
        lock.lock_and_count();
        dying.join().unwrap();
        let third = spawn({
            let lock = lock.clone();
            move || lock.lock_and_count()
        });
        lock.lock_and_count();
        third.join().unwrap();
    });
}

/// After the keeper's death another thread becomes it.
#[test]
fn the_dead_have_a_successor() {
    deaths(Death::MarkedAndTimed, |victim| {
        let lock = lock();
        let dying = victim.spawn({
            let lock = lock.clone();
            move || lock.lock_and_count()
        });
        lock.lock_and_count();
        let died = dying.join().unwrap().is_none();
        lock.lock_and_count();
        lock.lock_and_count();
        let hold = lock.machine.lock(WAITING).unwrap();
        assert!(!died || matches!(hold, Hold::Entered(_)));
        lock.count_held(hold);
    });
}
