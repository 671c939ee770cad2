//! Every waiter of a lock is woken in its turn, and none has to find out by itself.

use std::{
    thread,
    time::{Duration, Instant},
};

use commons::{Shared, sync::Mutex};

const WAITERS: u32 = 8;

/// The slices in which a waiter sleeps grow from 1 ms; after this time they last 50 ms.
const UNTIL_LONG_SLICES: Duration = Duration::from_millis(70);

/// Between two waiters, so that their slices end spread over 50 ms and not all at once: without a
/// wake-up the last of them goes on 44 ms after the release or later.
const APART: Duration = Duration::from_millis(6);

/// Waking eight one after the other takes less than this, in the best of some rounds: on a busy machine
/// those that were woken wait for a processor. Without wake-ups no round is so quick.
const SOON: Duration = Duration::from_millis(25);

const ROUNDS: usize = 9;

/// From the release of a lock that eight threads sleep on until the last of them has had it.
fn release(lock: &Mutex<u64>) -> Duration {
    thread::scope(|scope| {
        let guard = lock.lock().unwrap();
        let waiters = [(); WAITERS as usize].map(|()| {
            thread::sleep(APART);
            scope.spawn(|| {
                *lock.lock().unwrap() += 1;
                Instant::now()
            })
        });
        thread::sleep(UNTIL_LONG_SLICES);
        let released = Instant::now();
        drop(guard);
        let last = waiters.map(|waiter| waiter.join().unwrap()).into_iter().max().unwrap();
        last.saturating_duration_since(released)
    })
}

#[test]
fn all_waiters_are_woken_one_after_the_other() {
    let lock = Shared::new(Mutex::new(0)).unwrap();
    let mut rounds = [(); ROUNDS].map(|()| release(&lock));
    rounds.sort();
    println!("{WAITERS} waiters had the lock within, in {ROUNDS} rounds: {rounds:.2?}");
    assert_eq!(*lock.lock().unwrap(), u64::from(WAITERS) * ROUNDS as u64);
    let best = rounds[0];
    assert!(best < SOON, "not woken: the last of {WAITERS} waiters had the lock after {best:.1?} at best");
}
