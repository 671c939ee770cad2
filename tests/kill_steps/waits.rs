//! Killed while it waits: on the way to sleep, between two sleeps, and when it was just woken. Nobody
//! else is delayed, and what it was woken for is there for another one.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use commons::{Queue, Shared, TryRecvError, sync::BarrierError};

use super::{
    harness::{Died, kill_after_every_instruction},
    ptrace::Marker,
    queue::{PROMPT, promptly},
    room::{Parts, Room, TO_THE_END, Waiter, room},
};

/// From where it sleeps until it sleeps once more, and some steps of that.
const ONE_ROUND: u64 = 160;

/// Where it has let go of what it holds and looks for what it waits for.
const WAY_TO_SLEEP: u64 = 260;

fn nothing() {}

/// Runs one waiting worker through three kinds of death. `wake` ends its wait; after that, and after
/// its death, `check` finds out whether everything goes on.
fn deaths_of_a_waiter(
    name: &str,
    worker: fn(Shared<Room>),
    before: impl Fn(&Shared<Room>),
    wake: impl Fn(&Room),
    check: impl Fn(&Room, Woken),
) {
    let room = room();
    let woken_after = || {
        wake(&room);
        check(&room, Woken::After);
        room.died()
    };
    let entering = &mut Parts::<false, WAY_TO_SLEEP, _, _, _> {
        before: || before(&room),
        start: nothing,
        check: woken_after,
        stride: 3,
    };
    kill_after_every_instruction(&format!("{name}, on the way to sleep"), &room.clone(), worker, entering);
    let sleeping = &mut Parts::<true, ONE_ROUND, _, _, _> {
        before: || before(&room),
        start: nothing,
        check: woken_after,
        stride: 3,
    };
    kill_after_every_instruction(&format!("{name}, asleep"), &room.clone(), worker, sleeping);
    let woken = &mut Parts::<true, TO_THE_END, _, _, _> {
        before: || before(&room),
        start: || wake(&room),
        check: || {
            check(&room, Woken::Before);
            room.died()
        },
        stride: 2,
    };
    kill_after_every_instruction(&format!("{name}, woken"), &room.clone(), worker, woken);
}

/// Whether the wake-up came before the death or after it.
#[derive(Clone, Copy, PartialEq)]
enum Woken {
    Before,
    After,
}

#[test]
fn a_dead_waiter_of_an_event_delays_nobody() {
    deaths_of_a_waiter(
        "Event::wait",
        |room| {
            let marker = Marker::when_traced();
            marker.hit();
            room.event.wait();
            room.say_done();
            marker.hit();
        },
        |room| room.event.clear(),
        |room| promptly("a set", || room.event.set()),
        |room, _| assert!(room.event.wait_timeout(Duration::ZERO)),
    );
}

#[test]
fn a_dead_waiter_of_a_condition_takes_no_notification_with_it() {
    let other = RefCell::new(None);
    deaths_of_a_waiter(
        "Condvar::wait",
        |room| {
            let marker = Marker::when_traced();
            drop(room.lock());
            let guard = room.lock();
            marker.hit();
            drop(room.changed.wait(guard));
            room.say_done();
            marker.hit();
        },
        |room| {
            let room = room.clone();
            let wait = move || drop(room.changed.wait(room.lock()));
            *other.borrow_mut() = Some(Waiter::asleep("the living waiter", wait));
        },
        |room| promptly("a notification", || room.changed.notify_one()),
        |room, woken| {
            if woken == Woken::Before {
                // The dead one may have gone already; then the notification is spent.
                promptly("a notification", || room.changed.notify_one());
            }
            other.take().unwrap().goes_on();
            drop(room.lock());
        },
    );
}

#[test]
fn a_dead_waiter_of_a_semaphore_keeps_no_permit() {
    let room = room();
    let permit = RefCell::new(None);
    let mut scene = Parts::<true, TO_THE_END, _, _, _> {
        before: || *permit.borrow_mut() = Some(room.semaphore.try_acquire().expect("the permit is free")),
        start: || drop(permit.take()),
        check: || {
            drop(room.semaphore.try_acquire().expect("the dead worker has the permit"));
            room.died()
        },
        stride: 3,
    };
    let worker = |room: Shared<Room>| {
        let marker = Marker::when_traced();
        marker.hit();
        drop(room.semaphore.acquire());
        room.say_done();
        marker.hit();
    };
    kill_after_every_instruction("Semaphore::acquire, woken", &room.clone(), worker, &mut scene);
}

/// The parent meets its worker at a barrier twice; the worker dies at the second time.
#[test]
fn a_barrier_is_passed_or_broken() {
    let (room, slowest) = (room(), Cell::new(Duration::ZERO));
    let party = RefCell::new(None);
    let mut scene = Parts::<false, TO_THE_END, _, _, _> {
        before: || {
            room.barrier.reset();
            let room = room.clone();
            let twice = move || {
                room.barrier.wait().expect("the first time");
                (room.barrier.wait().map(drop), Instant::now())
            };
            *party.borrow_mut() = Some(Waiter::start("the other party", twice));
        },
        start: || super::harness::eventually("the other waits", || room.barrier.waiting() == 1),
        check: || {
            let death = Instant::now();
            let (passed, heard) = party.take().unwrap().goes_on();
            let latency = heard.saturating_duration_since(death);
            assert!(latency < Duration::from_millis(700), "heard after {latency:?}");
            slowest.set(slowest.get().max(latency));
            match passed {
                Ok(()) => Died::After,
                Err(BarrierError::Broken) => {
                    assert!(room.barrier.is_broken());
                    Died::Before
                }
                Err(error) => panic!("{error}"),
            }
        },
        stride: 3,
    };
    let worker = |room: Shared<Room>| {
        let marker = Marker::when_traced();
        room.barrier.wait().unwrap();
        marker.hit();
        room.barrier.wait().unwrap();
        marker.hit();
    };
    kill_after_every_instruction("Barrier::wait, the last to come", &room.clone(), worker, &mut scene);
    println!("the other party heard {:?} after the death at the latest", slowest.get());
}

#[test]
fn a_barrier_whose_sleeping_party_dies_is_broken() {
    let room = room();
    let mut scene = Parts::<true, ONE_ROUND, _, _, _> {
        before: || room.trio.reset(),
        start: nothing,
        check: || {
            // One party is dead and one is here, of three: it is found out, or was before this one came.
            let other = room.clone();
            let passed = Waiter::start("another party", move || other.trio.wait()).goes_on();
            assert_eq!(passed, Err(BarrierError::Broken));
            Died::Before
        },
        stride: 3,
    };
    let worker = |room: Shared<Room>| {
        let marker = Marker::when_traced();
        marker.hit();
        let _ = room.trio.wait();
        marker.hit();
    };
    kill_after_every_instruction("Barrier::wait, asleep", &room.clone(), worker, &mut scene);
}

type Numbers = Queue<u32>;

/// A receiver sleeps, is sent a message and dies: the message waits, or it was taken.
#[test]
fn a_receiver_that_was_woken_takes_its_message_or_leaves_it() {
    let queue = Numbers::bounded(10).unwrap();
    let mut scene = Parts::<true, TO_THE_END, _, _, _> {
        before: nothing,
        start: || queue.try_send(&1).unwrap(),
        check: || {
            promptly("a send", || queue.send_timeout(&2, PROMPT)).unwrap();
            let next = || promptly("a receive", || queue.recv_timeout(PROMPT)).unwrap();
            let died = match next() {
                1 => {
                    assert_eq!(next(), 2);
                    Died::Before
                }
                other => {
                    assert_eq!(other, 2);
                    Died::After
                }
            };
            assert!(matches!(queue.try_recv(), Err(TryRecvError::Empty)));
            died
        },
        stride: 17,
    };
    let worker = |queue: Numbers| {
        let marker = Marker::when_traced();
        marker.hit();
        assert_eq!(queue.recv().unwrap(), 1);
        marker.hit();
    };
    kill_after_every_instruction("recv, woken", &queue.clone(), worker, &mut scene);
}

/// A sender sleeps before a full queue, gets room and dies: its message comes last, or not at all.
#[test]
fn a_sender_that_was_woken_sends_or_leaves_the_room() {
    let queue = Numbers::bounded(2).unwrap();
    let mut scene = Parts::<true, TO_THE_END, _, _, _> {
        before: || {
            queue.try_send(&1).unwrap();
            queue.try_send(&2).unwrap();
        },
        start: || assert_eq!(queue.try_recv().unwrap(), 1),
        check: || {
            assert_eq!(promptly("a receive", || queue.recv_timeout(PROMPT)).unwrap(), 2);
            promptly("a send", || queue.send_timeout(&4, PROMPT)).unwrap();
            let next = || promptly("a receive", || queue.recv_timeout(PROMPT)).unwrap();
            let died = match next() {
                3 => {
                    assert_eq!(next(), 4);
                    Died::After
                }
                other => {
                    assert_eq!(other, 4);
                    Died::Before
                }
            };
            assert!(queue.is_empty());
            died
        },
        stride: 17,
    };
    let worker = |queue: Numbers| {
        let marker = Marker::when_traced();
        marker.hit();
        queue.send(&3).unwrap();
        marker.hit();
    };
    kill_after_every_instruction("send, woken", &queue.clone(), worker, &mut scene);
}

/// A receiver sleeps while its sender dies: it gets that one's message or not, and the survivor's.
#[test]
fn a_sleeping_receiver_outlives_its_senders() {
    let queue = Numbers::bounded(10).unwrap();
    let receiver = RefCell::new(None);
    let mut scene = Parts::<false, TO_THE_END, _, _, _> {
        before: nothing,
        start: || {
            assert_eq!(queue.recv().unwrap(), 1);
            let queue = queue.clone();
            let wait = move || queue.recv().unwrap();
            *receiver.borrow_mut() = Some(Waiter::asleep("the receiver", wait));
        },
        check: || {
            promptly("a send", || queue.send_timeout(&3, PROMPT)).unwrap();
            let first = receiver.take().unwrap().goes_on();
            if first == 3 {
                return Died::Before;
            }
            assert_eq!((first, promptly("a receive", || queue.recv()).unwrap()), (2, 3));
            Died::After
        },
        stride: 15,
    };
    let worker = |queue: Numbers| {
        let marker = Marker::when_traced();
        queue.send(&1).unwrap();
        marker.hit();
        queue.send(&2).unwrap();
        marker.hit();
    };
    kill_after_every_instruction("send, a sleeping receiver", &queue.clone(), worker, &mut scene);
}
