//! The bell: who waits for a change does not sleep through it.

use std::rc::Rc;

use crate::{
    deadline::Deadline,
    primitive::{AtomicU32, Ordering::*},
    raw::bell::Bell,
    scene::{Death, deaths, schedules, shared, spawn},
    sys::futex,
};

/// Something to wait for, and the bell that tells of it.
#[derive(Debug)]
struct Door {
    bell: Bell,
    open: AtomicU32,
}

impl Door {
    fn closed() -> Rc<Self> {
        shared(Self { bell: Bell::new(), open: AtomicU32::new(0) })
    }

    fn open(&self, count: u32) {
        self.open.store(1, Release);
        self.bell.ring(count);
    }

    fn wait(&self) {
        self.bell.wait(Deadline::NEVER, || (self.open.load(Acquire) != 0).then_some(()), || {}).unwrap();
    }
}

/// Either the waker sees the sleeper, or the sleeper the change.
#[test]
fn no_change_is_slept_through() {
    schedules(|| {
        let door = Door::closed();
        let waiting = spawn({
            let door = door.clone();
            move || door.wait()
        });
        door.open(1);
        waiting.join().unwrap();
    });
}

/// A bell for all wakes all.
#[test]
fn all_are_woken() {
    schedules(|| {
        let door = Door::closed();
        let waiting = [1, 2].map(|_| {
            let door = door.clone();
            spawn(move || door.wait())
        });
        door.open(futex::ALL);
        waiting.into_iter().for_each(|waiting| waiting.join().unwrap());
    });
}

/// Two changes, each with a bell for one, wake two.
#[test]
fn each_change_wakes_one() {
    schedules(|| {
        let door = Door::closed();
        let waiting = [1, 2].map(|_| {
            let door = door.clone();
            spawn(move || door.wait())
        });
        door.open(1);
        door.bell.ring(1);
        waiting.into_iter().for_each(|waiting| waiting.join().unwrap());
    });
}

/// A sleeper that dies leaves a token, and nobody else sleeps for ever.
#[test]
fn a_dead_sleeper_keeps_nobody_asleep() {
    deaths(Death::Marked, |victim| {
        let door = Door::closed();
        let dying = victim.spawn({
            let door = door.clone();
            move || door.wait()
        });
        let waiting = spawn({
            let door = door.clone();
            move || door.wait()
        });
        door.open(futex::ALL);
        waiting.join().unwrap();
        dying.join().unwrap();
    });
}

/// A waker that dies between its change and its call delays a sleeper by one slice.
#[test]
fn a_dead_wakers_change_is_seen() {
    deaths(Death::MarkedAndTimed, |victim| {
        let door = Door::closed();
        let waiting = spawn({
            let door = door.clone();
            move || door.wait()
        });
        let dying = victim.spawn({
            let door = door.clone();
            move || door.open(1)
        });
        dying.join().unwrap();
        if door.open.load(Acquire) == 0 {
            // It died before it changed anything, and another does it.
            door.open(1);
        }
        waiting.join().unwrap();
    });
}
