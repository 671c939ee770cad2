//! Locks of every kind, and who wakes others: nobody is left waiting, whoever dies.

use std::sync::atomic::Ordering::*;

use commons::{
    Shared,
    sync::{ReentrantLockGuard, RwLockWriteGuard, TryLockError},
};

use super::{
    harness::{Died, kill_after_every_instruction},
    ptrace::Marker,
    queue::{PROMPT, promptly},
    room::{Every, Parts, Room, TO_THE_END, Waiter, room},
};

fn change(words: &mut [u64; 4]) {
    words.iter_mut().for_each(|word| *word = std::hint::black_box(*word) + 1);
}

/// Asserts that words are as before, changed, or something between the two.
fn assert_written(words: [u64; 4], old: u64) {
    assert!(words.iter().all(|&word| word == old || word == old + 1), "never written: {words:?}");
}

#[test]
fn the_death_of_a_reader_keeps_no_writer_out() {
    let room = room();
    let worker = |room: Shared<Room>| {
        let marker = Marker::when_traced();
        drop(room.rwlock.read());
        marker.hit();
        assert_eq!(*room.rwlock.read().unwrap(), [1; 4]);
        room.say_done();
        marker.hit();
    };
    kill_after_every_instruction(
        "RwLock::read",
        &room.clone(),
        worker,
        &mut Every(2, || {
            let write = room.rwlock.try_write().expect("the dead reader reads still");
            assert_eq!(*write, [1; 4]);
            drop(write);
            room.died()
        }),
    );
}

#[test]
fn the_death_of_a_writer_is_told() {
    let room = room();
    let worker = |room: Shared<Room>| {
        let marker = Marker::when_traced();
        change(&mut room.rwlock.write().unwrap());
        marker.hit();
        change(&mut room.rwlock.write().unwrap());
        marker.hit();
    };
    let (mut known, mut kills) = (1, 0);
    kill_after_every_instruction(
        "RwLock::write",
        &room.clone(),
        worker,
        &mut Every(2, || {
            let old = known + 1;
            kills += 1;
            // A reader or a writer is the first who comes.
            let told = kills % 2 == 0
                && match room.rwlock.try_read() {
                    Ok(read) => {
                        assert!(*read == [old; 4] || *read == [old + 1; 4], "nobody was told: {:?}", *read);
                        false
                    }
                    Err(TryLockError::OwnerDied(_)) => true,
                    Err(error) => panic!("the dead writer writes still: {error}"),
                };
            let (mut write, died) = match room.rwlock.try_write() {
                Ok(write) if *write == [old; 4] => (write, Died::Before),
                Ok(write) if *write == [old + 1; 4] => (write, Died::After),
                Ok(write) => panic!("nobody was told: {:?}", *write),
                Err(TryLockError::OwnerDied(died)) => (died.into_guard(), Died::Inside),
                Err(error) => panic!("the dead writer writes still: {error}"),
            };
            assert!(!told || died == Died::Inside, "told once and not again");
            assert_written(*write, old);
            RwLockWriteGuard::mark_consistent(&mut write);
            known += 3;
            *write = [known; 4];
            drop(write);
            assert_eq!(*room.rwlock.try_read().unwrap(), [known; 4]);
            died
        }),
    );
}

#[test]
fn a_lock_that_is_taken_twice_is_free() {
    let room = room();
    let worker = |room: Shared<Room>| {
        let twice = || {
            let outer = room.nested.lock().unwrap();
            let inner = room.nested.lock().unwrap();
            let mut words = inner.get();
            change(&mut words);
            inner.set(words);
            drop(inner);
            drop(outer);
        };
        let marker = Marker::when_traced();
        twice();
        marker.hit();
        twice();
        marker.hit();
    };
    let mut known = 1;
    kill_after_every_instruction(
        "ReentrantLock",
        &room.clone(),
        worker,
        &mut Every(3, || {
            let old = known + 1;
            let (mut guard, died) = match room.nested.try_lock() {
                Ok(guard) if guard.get() == [old; 4] => (guard, Died::Before),
                Ok(guard) if guard.get() == [old + 1; 4] => (guard, Died::After),
                Ok(guard) => panic!("nobody was told: {:?}", guard.get()),
                Err(TryLockError::OwnerDied(died)) => (died.into_guard(), Died::Inside),
                Err(error) => panic!("the dead worker holds the lock: {error}"),
            };
            assert_written(guard.get(), old);
            ReentrantLockGuard::mark_consistent(&mut guard);
            known += 3;
            guard.set([known; 4]);
            drop(guard);
            assert_eq!(room.nested.try_lock().unwrap().get(), [known; 4]);
            died
        }),
    );
}

#[test]
fn a_permit_comes_back() {
    let room = room();
    let worker = |room: Shared<Room>| {
        let marker = Marker::when_traced();
        drop(room.semaphore.acquire());
        marker.hit();
        drop(room.semaphore.acquire());
        room.say_done();
        marker.hit();
    };
    kill_after_every_instruction(
        "Semaphore",
        &room.clone(),
        worker,
        &mut Every(2, || {
            drop(room.semaphore.try_acquire().expect("the dead worker has the permit"));
            assert_eq!(room.semaphore.available(), 1);
            room.died()
        }),
    );
}

#[test]
fn what_is_done_once_is_done() {
    let room = room();
    let worker = |room: Shared<Room>| {
        let run = || {
            room.runs.fetch_add(1, Relaxed);
        };
        let marker = Marker::when_traced();
        room.onces[0].call_once(run);
        room.runs.store(0, Relaxed);
        let once = room.once();
        marker.hit();
        once.call_once(run);
        marker.hit();
    };
    let mut scene = Parts::<false, TO_THE_END, _, _, _> {
        before: || _ = room.turn.fetch_add(1, Relaxed),
        start: || {},
        check: || {
            let done = room.once().is_completed();
            let runs = room.runs.load(Relaxed);
            assert!(
                if done { runs == 1 } else { runs <= 1 },
                "{runs} runs, and it is {done} that it is done"
            );
            promptly("a once", || room.once().call_once(|| _ = room.runs.fetch_add(1, Relaxed)));
            assert_eq!(room.runs.load(Relaxed), runs + u32::from(!done));
            assert!(room.once().is_completed());
            if done { Died::After } else { Died::Before }
        },
        stride: 9,
    };
    kill_after_every_instruction("Once", &room.clone(), worker, &mut scene);
}

/// Kills a worker that wakes a sleeping waiter; the survivor wakes it, if the worker has not.
fn deaths_beside_a_waiter(name: &str, wait: fn(&Room), worker: fn(Shared<Room>), wake: fn(&Room)) {
    let room = room();
    let waiter = std::cell::RefCell::new(None);
    let mut scene = Parts::<false, TO_THE_END, _, _, _> {
        before: || room.event.clear(),
        start: || {
            let room = room.clone();
            let asleep = Waiter::asleep("who was to be woken", move || wait(&room));
            assert!(waiter.borrow_mut().replace(asleep).is_none());
        },
        check: || {
            if !room.is_done() {
                promptly(name, || wake(&room));
            }
            waiter.take().unwrap().goes_on();
            room.died()
        },
        stride: 1,
    };
    kill_after_every_instruction(name, &room.clone(), worker, &mut scene);
}

#[test]
fn an_event_is_set_or_can_be() {
    deaths_beside_a_waiter(
        "Event::set",
        |room| room.event.wait(),
        |room| {
            let marker = Marker::when_traced();
            room.event.set();
            room.event.clear();
            marker.hit();
            room.event.set();
            room.say_done();
            marker.hit();
        },
        |room| room.event.set(),
    );
}

fn wait_for_a_notification(room: &Room) {
    drop(room.changed.wait(room.lock()));
}

#[test]
fn one_is_notified_or_can_be() {
    deaths_beside_a_waiter(
        "Condvar::notify_one",
        wait_for_a_notification,
        |room| {
            let marker = Marker::when_traced();
            room.changed.notify_one();
            marker.hit();
            room.changed.notify_one();
            room.say_done();
            marker.hit();
        },
        |room| room.changed.notify_one(),
    );
}

#[test]
fn all_are_notified_or_can_be() {
    deaths_beside_a_waiter(
        "Condvar::notify_all",
        wait_for_a_notification,
        |room| {
            let marker = Marker::when_traced();
            room.changed.notify_all();
            marker.hit();
            room.changed.notify_all();
            room.say_done();
            marker.hit();
        },
        |room| room.changed.notify_all(),
    );
}

#[test]
fn a_permit_that_is_given_back_wakes_who_waits() {
    deaths_beside_a_waiter(
        "Semaphore, a waiter",
        |room| drop(room.semaphore.acquire_timeout(2 * PROMPT).expect("a permit in time")),
        |room| {
            let marker = Marker::when_traced();
            drop(room.semaphore.acquire());
            let permit = room.semaphore.acquire();
            marker.hit();
            drop(permit);
            room.say_done();
            marker.hit();
        },
        |_| {},
    );
}
