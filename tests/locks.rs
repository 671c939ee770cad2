//! Locks of every kind between processes, and what is left of them when somebody dies.

mod common;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use common::watchdog::watchdog;
use commons::{
    Process, Shareable, Shared,
    sync::{
        Barrier, BarrierError, Condvar, Event, Mutex, Once, ReentrantLock, RwLock, RwLockWriteGuard,
        Semaphore, TryLockError,
    },
};

commons::init_in_tests!();

const LIMIT: Duration = Duration::from_secs(120);

#[derive(Shareable)]
#[repr(C)]
struct Room {
    semaphore: Semaphore,
    barrier: Barrier,
    event: Event,
    once: Once,
    rwlock: RwLock<[u64; 2]>,
    nested: ReentrantLock<u64>,
    count: Mutex<u64>,
    changed: Condvar,
    ready: AtomicU64,
    steps: [AtomicU64; 5],
}

fn room(permits: usize, parties: usize) -> Shared<Room> {
    Shared::new(Room {
        semaphore: Semaphore::new(permits),
        barrier: Barrier::new(parties),
        event: Event::new(),
        once: Once::new(),
        rwlock: RwLock::new([0; 2]),
        nested: ReentrantLock::new(0),
        count: Mutex::new(0),
        changed: Condvar::new(),
        ready: AtomicU64::new(0),
        steps: [const { AtomicU64::new(0) }; 5],
    })
    .unwrap()
}

/// A process that does something, says that it is ready, and stays there until it is killed.
fn hold(room: &Shared<Room>, how: fn(Shared<Room>)) -> Process<()> {
    let before = room.ready.load(Relaxed);
    let process = commons::spawn(room.clone(), how).unwrap();
    let begin = Instant::now();
    while room.ready.load(Relaxed) == before {
        assert!(begin.elapsed() < Duration::from_secs(30), "the process is not ready");
        std::thread::yield_now();
    }
    process
}

fn stay(room: &Room) -> ! {
    room.ready.fetch_add(1, Relaxed);
    loop {
        std::thread::park();
    }
}

fn kill(process: Process<()>) {
    process.kill().unwrap();
    process.wait().unwrap();
}

#[test]
fn a_dead_holders_permits_come_back() {
    let _guard = watchdog("permits", LIMIT);
    let room = room(2, 1);
    let process = hold(&room, |room| {
        let _permits = (room.semaphore.acquire(), room.semaphore.acquire());
        stay(&room);
    });
    assert_eq!(room.semaphore.available(), 0);
    assert!(room.semaphore.acquire_timeout(Duration::from_millis(5)).is_none());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| room.semaphore.acquire_timeout(Duration::from_secs(30)).is_some());
        kill(process);
        assert!(waiter.join().unwrap());
    });
    assert_eq!(room.semaphore.available(), 2);
}

#[test]
fn a_permit_of_a_thread_that_ended_comes_back() {
    let room = room(1, 1);
    std::thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(room.semaphore.acquire()));
    });
    // The scope does not wait for what a thread does at its very end.
    assert!(room.semaphore.acquire_timeout(Duration::from_secs(30)).is_some());
}

#[test]
fn the_death_of_a_writer_is_told_and_that_of_a_reader_is_not() {
    let _guard = watchdog("a reader-writer lock", LIMIT);
    let room = room(1, 1);
    let reader = hold(&room, |room| {
        let _read = room.rwlock.read();
        stay(&room);
    });
    assert!(room.rwlock.try_read().is_ok());
    assert!(matches!(room.rwlock.try_write(), Err(TryLockError::WouldBlock)));
    kill(reader);
    assert!(room.rwlock.try_write().is_ok());
    let writer = hold(&room, |room| {
        let mut write = room.rwlock.write().unwrap();
        write[0] = 1;
        stay(&room);
    });
    assert!(matches!(room.rwlock.try_read(), Err(TryLockError::WouldBlock)));
    assert!(matches!(room.rwlock.read_timeout(Duration::from_millis(5)), Err(TryLockError::TimedOut)));
    kill(writer);
    assert!(matches!(room.rwlock.try_read(), Err(TryLockError::OwnerDied(_))));
    let mut guard = room.rwlock.write().unwrap_err().into_guard();
    guard[1] = guard[0];
    RwLockWriteGuard::mark_consistent(&mut guard);
    drop(guard);
    assert_eq!(*room.rwlock.read().unwrap(), [1, 1]);
}

#[test]
fn readers_and_writers_keep_out_of_each_others_way() {
    let _guard = watchdog("readers and writers", LIMIT);
    let room = room(1, 1);
    let writers: Vec<_> = (0..2)
        .map(|_| {
            commons::spawn(room.clone(), |room| {
                for _ in 0..20_000 {
                    room.rwlock.write().unwrap().iter_mut().for_each(|n| *n += 1);
                }
            })
            .unwrap()
        })
        .collect();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            commons::spawn(room.clone(), |room| {
                (0..20_000).for_each(|_| {
                    let value = *room.rwlock.read().unwrap();
                    assert_eq!(value[0], value[1]);
                });
            })
            .unwrap()
        })
        .collect();
    writers.into_iter().chain(readers).for_each(|process| process.join().unwrap());
    assert_eq!(*room.rwlock.read().unwrap(), [40_000; 2]);
}

#[test]
fn five_processes_stay_in_step_for_a_thousand_passes() {
    const PASSES: u64 = 1000;
    let _guard = watchdog("a barrier", LIMIT);
    let room = room(1, 5);
    let parties: Vec<_> = (0..5usize)
        .map(|me| {
            commons::spawn((room.clone(), me), |(room, me)| {
                let mut leads = 0;
                for pass in 0..PASSES {
                    room.steps[me].store(pass, Relaxed);
                    leads += u32::from(room.barrier.wait().unwrap().is_leader);
                    assert!(room.steps.iter().all(|step| (pass..pass + 2).contains(&step.load(Relaxed))));
                    room.barrier.wait().unwrap();
                }
                leads
            })
            .unwrap()
        })
        .collect();
    let leads: u32 = parties.into_iter().map(|party| party.join().unwrap()).sum();
    assert_eq!(leads, PASSES as u32);
}

#[test]
fn a_barrier_with_a_dead_party_is_broken_for_all() {
    let _guard = watchdog("a broken barrier", LIMIT);
    let room = room(1, 3);
    let party = hold(&room, |room| {
        room.ready.fetch_add(1, Relaxed);
        assert_eq!(room.barrier.wait(), Err(BarrierError::Broken));
    });
    while room.barrier.waiting() == 0 {
        std::thread::yield_now();
    }
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| (room.barrier.wait(), Instant::now()));
        while room.barrier.waiting() < 2 {
            std::thread::yield_now();
        }
        kill(party);
        let dead = Instant::now();
        let (turn, heard) = waiter.join().unwrap();
        assert_eq!(turn, Err(BarrierError::Broken));
        let latency = heard.saturating_duration_since(dead);
        assert!(latency < Duration::from_millis(200), "heard after {latency:?}");
    });
    assert!(room.barrier.is_broken());
    room.barrier.reset();
    std::thread::scope(|scope| {
        let turns = [(); 3].map(|()| scope.spawn(|| room.barrier.wait().unwrap()));
        let mut turns = turns.map(|turn| turn.join().unwrap());
        turns.sort_by_key(|turn| turn.index);
        assert_eq!(turns.map(|turn| turn.index), [0, 1, 2]);
        assert_eq!(turns.map(|turn| turn.is_leader), [false, false, true]);
    });
}

#[test]
fn a_late_party_breaks_and_abort_breaks() {
    let barrier = Barrier::new(2);
    assert_eq!(barrier.wait_timeout(Duration::from_millis(5)), Err(BarrierError::Broken));
    assert_eq!(barrier.wait(), Err(BarrierError::Broken));
    barrier.reset();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| barrier.wait());
        while barrier.waiting() == 0 {
            std::thread::yield_now();
        }
        barrier.abort();
        assert_eq!(waiter.join().unwrap(), Err(BarrierError::Broken));
    });
}

#[test]
fn an_event_releases_everybody_also_if_it_is_cleared_at_once() {
    let _guard = watchdog("an event", LIMIT);
    let room = room(1, 1);
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            hold(&room, |room| {
                room.ready.fetch_add(1, Relaxed);
                room.event.wait();
            })
        })
        .collect();
    // A waiter that was killed delays nobody.
    let dead = hold(&room, |room| {
        room.ready.fetch_add(1, Relaxed);
        room.event.wait();
        unreachable!("it is killed while it waits");
    });
    kill(dead);
    let begin = Instant::now();
    while !waiters.iter().all(Process::is_finished) {
        // Again and again: a waiter may have said that it is ready and not wait yet.
        room.event.set();
        room.event.clear();
        assert!(begin.elapsed() < Duration::from_secs(30));
        std::thread::yield_now();
    }
    assert!(!room.event.is_set());
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
}

#[test]
fn a_condition_is_waited_for_across_processes_and_past_the_dead() {
    let _guard = watchdog("a condition", LIMIT);
    let room = room(1, 1);
    let wait: fn(Shared<Room>) = |room| {
        let guard = room.count.lock().unwrap();
        room.ready.fetch_add(1, Relaxed);
        let mut guard = room.changed.wait_while(guard, |count| *count == 0).unwrap();
        *guard -= 1;
    };
    let dead = hold(&room, wait);
    let waiters = [hold(&room, wait), hold(&room, wait)];
    drop(room.count.lock().unwrap());
    kill(dead);
    for _ in 0..2 {
        *room.count.lock().unwrap() += 1;
        room.changed.notify_one();
    }
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    assert_eq!(*room.count.lock().unwrap(), 0);
}

#[test]
fn notify_lets_as_many_go_as_it_says() {
    let _guard = watchdog("notify", LIMIT);
    let room = room(1, 1);
    let gone = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let guard = room.count.lock().unwrap();
                room.ready.fetch_add(1, Relaxed);
                drop(room.changed.wait(guard).unwrap());
                gone.fetch_add(1, Relaxed);
            });
        }
        while room.ready.load(Relaxed) < 4 {
            std::thread::yield_now();
        }
        drop(room.count.lock().unwrap());
        room.changed.notify(2);
        while gone.load(Relaxed) < 2 {
            std::thread::yield_now();
        }
        // Longer than a sleeper's slice: who was not notified does not go by itself.
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(gone.load(Relaxed), 2);
        room.changed.notify_all();
    });
}

#[test]
fn once_is_done_by_the_next_if_the_first_dies() {
    let _guard = watchdog("once", LIMIT);
    let room = room(1, 1);
    let dead = hold(&room, |room| room.once.call_once(|| stay(&room)));
    kill(dead);
    assert!(!room.once.is_completed());
    let mut runs = 0;
    let panicked =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| room.once.call_once(|| panic!("no"))));
    assert!(panicked.is_err());
    room.once.call_once(|| runs += 1);
    room.once.call_once(|| runs += 1);
    assert_eq!((runs, room.once.is_completed()), (1, true));
}

#[test]
fn a_lock_is_taken_again_by_its_owner_only() {
    let _guard = watchdog("a reentrant lock", LIMIT);
    let room = room(1, 1);
    {
        let outer = room.nested.lock().unwrap();
        let inner = room.nested.lock().unwrap();
        inner.set(5);
        drop(inner);
        assert_eq!(outer.get(), 5);
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(matches!(room.nested.try_lock(), Err(TryLockError::WouldBlock))));
        });
    }
    let dead = hold(&room, |room| {
        let _twice = (room.nested.lock(), room.nested.lock());
        stay(&room);
    });
    kill(dead);
    let guard = room.nested.lock().unwrap_err().into_guard();
    assert_eq!(guard.get(), 5);
}
