//! Every waiter of a lock is woken in its turn, and none has to find out by itself; one that gives up
//! does so in time.

use std::{
    fs,
    hint::spin_loop,
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use commons::{Shared, sync::Mutex};
use rustix::thread::{Pid, gettid};

const WAITERS: usize = 8;

/// The slices in which a waiter sleeps grow from 1 ms; after this time they last 50 ms.
const UNTIL_LONG_SLICES: Duration = Duration::from_millis(100);

/// Between two waiters, so that their slices end spread over 50 ms and not all at once: without
/// wake-ups the last of them goes on 44 ms after the release or later.
const APART: Duration = Duration::from_millis(6);

/// Waking eight one after the other takes half a millisecond, and longer only where those that were woken
/// have to wait for a processor. Short, since there some slices end at the same time by chance.
const SOON: Duration = Duration::from_millis(4);

/// How many rounds must be as quick, and out of how many: on a busy machine some are not.
const QUICK_ROUNDS: usize = 3;
const ROUNDS: usize = 20;

const LONG: Duration = Duration::from_secs(60);

/// From the release of a lock that eight threads sleep on until the last of them has had it.
fn release(lock: &Mutex<usize>) -> Duration {
    thread::scope(|scope| {
        let guard = lock.lock().unwrap();
        let (told, started) = channel();
        let waiters = [(); WAITERS].map(|()| {
            thread::sleep(APART);
            let told = told.clone();
            scope.spawn(move || {
                told.send(gettid()).unwrap();
                *lock.lock().unwrap() += 1;
                Instant::now()
            })
        });
        wait_until_asleep(&started);
        thread::sleep(UNTIL_LONG_SLICES);
        let released = Instant::now();
        drop(guard);
        let last = waiters.map(|waiter| waiter.join().unwrap()).into_iter().max().unwrap();
        last.saturating_duration_since(released)
    })
}

/// Before they sleep they look again and again, which takes long where others want to run.
fn wait_until_asleep(started: &Receiver<Pid>) {
    let end = Instant::now() + LONG;
    for waiter in started.iter().take(WAITERS) {
        let stat = format!("/proc/self/task/{waiter}/stat");
        while !fs::read_to_string(&stat).unwrap().rsplit_once(") ").unwrap().1.starts_with('S') {
            assert!(Instant::now() < end, "thread {waiter} does not fall asleep");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn all_waiters_are_woken_one_after_the_other() {
    let lock = Shared::new(Mutex::new(0)).unwrap();
    let mut rounds = Vec::new();
    while rounds.iter().filter(|&&took| took < SOON).count() < QUICK_ROUNDS {
        assert!(
            rounds.len() < ROUNDS,
            "not woken: the last of {WAITERS} waiters had the lock after {rounds:.1?}"
        );
        rounds.push(release(&lock));
    }
    println!("the last of {WAITERS} waiters had the lock after {rounds:.1?}");
    assert_eq!(*lock.lock().unwrap(), WAITERS * rounds.len());
}

/// Before a waiter sleeps it lets others run between its looks, and those may run for long.
#[test]
fn a_timeout_ends_in_time_on_a_busy_machine() {
    const TRIES: usize = 20;
    let lock = Shared::new(Mutex::new(0)).unwrap();
    let (held, done) = (lock.lock().unwrap(), AtomicBool::new(false));
    let mut took: Vec<Duration> = thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().unwrap().get() * 3 {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    spin_loop();
                }
            });
        }
        let tries = scope.spawn(|| {
            let one = |_| {
                let start = Instant::now();
                assert!(lock.lock_timeout(Duration::from_millis(2)).is_err());
                start.elapsed()
            };
            (0..TRIES).map(one).collect()
        });
        let took = tries.join();
        done.store(true, Relaxed);
        took.unwrap()
    });
    drop(held);
    took.sort();
    println!("{TRIES} waits of 2 ms took {took:.1?}");
    let most = took[TRIES * 3 / 4];
    assert!(most < Duration::from_millis(100), "one in four waits of 2 ms took {most:.1?} or longer");
}
