//! The lock: never two owners, and the next one is told of a death.

use std::cell::Cell;

use crate::{
    deadline::Deadline,
    guarded::{Guarded, Stage, survivor_is_told},
    raw::mutex::{Acquired, LockFault, RawMutex},
    scene::{Death, Victim, deaths, schedules, shared, spawn},
};

impl Guarded<RawMutex> {
    fn lock_and_count(&self) -> Acquired {
        let acquired = self.machine.lock().unwrap();
        self.count();
        assert!(self.machine.unlock());
        acquired
    }
}

/// Nobody gets in beside another, and who sleeps is woken.
#[test]
fn two_threads_take_it_in_turn() {
    schedules(|| {
        let guarded = Guarded::by(RawMutex::new());
        let other = spawn({
            let guarded = guarded.clone();
            move || guarded.lock_and_count()
        });
        assert_eq!(guarded.lock_and_count(), Acquired::Released);
        assert_eq!(other.join().unwrap(), Acquired::Released);
        assert_eq!(guarded.look(), 2);
    });
}

/// The same where a thread comes back at once, so that others sleep on a word that looks as before.
#[test]
fn three_threads_take_it_in_turn() {
    schedules(|| {
        let guarded = Guarded::by(RawMutex::new());
        let others = [1, 2].map(|_| {
            let guarded = guarded.clone();
            spawn(move || guarded.lock_and_count())
        });
        let _ = guarded.lock_and_count();
        others.into_iter().for_each(|other| _ = other.join().unwrap());
        assert_eq!(guarded.look(), 3);
    });
}

/// Who gives up leaves nothing that keeps others out or asleep.
#[test]
fn giving_up_disturbs_nobody() {
    schedules(|| {
        let guarded = Guarded::by(RawMutex::new());
        let hasty = spawn({
            let guarded = guarded.clone();
            move || match guarded.machine.lock_deadline(Deadline::NOW) {
                Ok(_) => {
                    guarded.count();
                    guarded.machine.unlock();
                }
                Err(fault) => assert_eq!(fault, LockFault::TimedOut),
            }
        });
        let _ = guarded.lock_and_count();
        hasty.join().unwrap();
        let _ = guarded.lock_and_count();
    });
}

fn lock_and_die(guarded: &Guarded<RawMutex>, stage: &Cell<Stage>) {
    stage.set(Stage::Between);
    let _ = guarded.machine.lock().unwrap();
    stage.set(Stage::Inside);
    guarded.count();
    // Somewhere to die inside.
    guarded.machine.set_consistent(true);
    stage.set(Stage::Between);
    guarded.machine.unlock();
    stage.set(Stage::Outside);
}

fn the_survivor_gets_it_and_knows(victim: Victim) {
    let lock = |guarded: &Guarded<RawMutex>| guarded.lock_and_count() == Acquired::OwnerDied;
    survivor_is_told(victim, RawMutex::new(), lock_and_die, lock);
}

/// Who dies owning it, or about to own or release it, leaves a lock that the next one gets, and is told
/// of the death if and only if it was owned. No clock is needed.
#[test]
fn the_next_owner_is_told() {
    deaths(Death::Marked, the_survivor_gets_it_and_knows);
}

/// The same where the kernel has no list: a sleeper proves the death and takes the lock.
#[test]
fn the_dead_are_found_without_the_kernel() {
    deaths(Death::Unseen, the_survivor_gets_it_and_knows);
}

/// Of two survivors both get it, whether the victim owned it, slept, or was woken and took nothing.
#[test]
fn two_survivors_get_it() {
    deaths(Death::MarkedAndTimed, |victim| {
        let guarded = Guarded::by(RawMutex::new());
        let dying = victim.spawn({
            let guarded = guarded.clone();
            move || guarded.lock_and_count()
        });
        let other = spawn({
            let guarded = guarded.clone();
            move || guarded.lock_and_count()
        });
        let first = guarded.lock_and_count();
        let second = other.join().unwrap();
        let died = dying.join().unwrap().is_none();
        let third = guarded.lock_and_count();
        let told = [first, second, third].into_iter().filter(|&how| how == Acquired::OwnerDied).count();
        assert!(told <= usize::from(died));
    });
}

/// Two locks that are released in the order in which they were taken: both go back when the owner dies.
#[test]
fn all_that_is_held_goes_back() {
    deaths(Death::Marked, |victim| {
        let locks = [(); 2].map(|()| shared(RawMutex::new()));
        let dying = victim.spawn({
            let locks = locks.clone();
            move || {
                locks.iter().for_each(|lock| _ = lock.lock().unwrap());
                locks.iter().for_each(|lock| assert!(lock.unlock()));
            }
        });
        for lock in &locks {
            let _ = lock.lock().unwrap();
            assert!(lock.is_mine() && lock.unlock());
        }
        dying.join().unwrap();
        for lock in &locks {
            let _ = lock.try_lock().unwrap();
            assert!(lock.unlock());
        }
    });
}
