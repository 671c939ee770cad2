//! Waiters that were killed in their sleep cost those who come after them next to nothing: their calls
//! are counted, and a living waiter is woken.

use std::{fs, thread, time::Duration};

use commons::{Message, Queue, Shared};

use super::{
    harness::{at_its_marker, eventually, reap},
    ptrace::{Marker, Stop},
    room::{Room, Waiter, room},
};

const DEAD: usize = 20;

/// What each worker does so often.
const TIMES: usize = 1000;

/// A sleeper announces itself anew after each slice of its sleep: in this time several times.
const FOR_SOME_SLICES: Duration = Duration::from_millis(150);

/// Beginnings and ends of system calls: one call for each of the dead.
const MOST: usize = 2 * DEAD;

fn is_asleep(pid: u32) -> bool {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap();
    call.starts_with(&format!("{} ", libc::SYS_futex))
}

/// Kills sleeping waiters, and counts the system calls of a worker after that.
fn calls_after_deaths<A: Message + Clone>(name: &str, handles: &A, wait: fn(A), worker: fn(A)) {
    let waiters: Vec<_> = (0..DEAD).map(|_| commons::spawn(handles.clone(), wait).unwrap()).collect();
    for waiter in &waiters {
        eventually("a waiter sleeps", || is_asleep(waiter.id()));
    }
    thread::sleep(FOR_SOME_SLICES);
    for waiter in waiters {
        waiter.kill().unwrap();
        reap(&waiter);
    }
    let Some((process, traced)) = at_its_marker(name, handles, worker) else {
        return;
    };
    let mut stops = 0;
    while traced.step_to_call() != Stop::Marker {
        stops += 1;
        assert!(stops < 3 * TIMES, "{name}: a system call each time");
    }
    process.kill().unwrap();
    reap(&process);
    // The marker itself is a call, of which two halves are seen.
    let stops = stops - 2;
    println!("{name}: {} system calls in {TIMES} times after {DEAD} deaths", stops / 2);
    assert!(stops <= MOST, "{name}: {stops} beginnings and ends of system calls");
}

#[test]
fn an_event_is_set_as_if_they_had_never_been() {
    let room = room();
    let wait = |room: Shared<Room>| room.event.wait();
    let worker = |room: Shared<Room>| {
        let marker = Marker::when_traced();
        marker.hit();
        for _ in 0..TIMES {
            room.event.set();
            room.event.clear();
        }
        marker.hit();
    };
    calls_after_deaths("Event::set", &room.clone(), wait, worker);
    let waiter = Waiter::asleep("a living waiter", {
        let room = room.clone();
        move || room.event.wait()
    });
    room.event.set();
    waiter.goes_on();
}

fn wait_for_a_notification(room: Shared<Room>) {
    drop(room.changed.wait(room.lock()));
}

fn after_deaths_in_a_condition(name: &str, worker: fn(Shared<Room>)) {
    let room = room();
    calls_after_deaths(name, &room.clone(), wait_for_a_notification, worker);
    let waiter = Waiter::asleep("a living waiter", {
        let room = room.clone();
        move || wait_for_a_notification(room)
    });
    room.changed.notify_one();
    waiter.goes_on();
}

#[test]
fn one_is_notified_as_if_they_had_never_been() {
    after_deaths_in_a_condition("Condvar::notify_one", |room| {
        let marker = Marker::when_traced();
        marker.hit();
        (0..TIMES).for_each(|_| room.changed.notify_one());
        marker.hit();
    });
}

#[test]
fn all_are_notified_as_if_they_had_never_been() {
    after_deaths_in_a_condition("Condvar::notify_all", |room| {
        let marker = Marker::when_traced();
        marker.hit();
        (0..TIMES).for_each(|_| room.changed.notify_all());
        marker.hit();
    });
}

#[test]
fn messages_are_sent_as_if_they_had_never_been() {
    let queue = Queue::<()>::bounded(10).unwrap();
    let wait = |queue: Queue<()>| drop(queue.recv());
    let worker = |queue: Queue<()>| {
        let marker = Marker::when_traced();
        queue.send_bytes(&[]).unwrap();
        queue.recv_bytes(&mut []).unwrap();
        marker.hit();
        for _ in 0..TIMES {
            queue.send_bytes(&[]).unwrap();
            queue.recv_bytes(&mut []).unwrap();
        }
        marker.hit();
    };
    calls_after_deaths("Queue::send", &queue, wait, worker);
    let waiter = Waiter::asleep("a living receiver", {
        let queue = queue.clone();
        move || queue.recv_bytes(&mut []).unwrap()
    });
    queue.send_bytes(&[]).unwrap();
    waiter.goes_on();
}
