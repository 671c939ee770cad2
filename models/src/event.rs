//! A flag that many wait for.

use loom::thread::yield_now;

use crate::{
    deadline::Deadline,
    raw::event::RawEvent,
    scene::{Death, deaths, schedules, shared, spawn},
    sys::futex,
};

/// Setting it wakes all who wait.
#[test]
fn a_flag_that_was_set_releases() {
    schedules(|| {
        let event = shared(RawEvent::new());
        let waiting = [1, 2].map(|_| {
            let event = event.clone();
            spawn(move || event.wait(Deadline::NEVER))
        });
        event.set();
        for waiting in waiting {
            assert!(waiting.join().unwrap());
        }
    });
}

/// Who slept before the flag was set is released by it, though it is cleared at once.
#[test]
fn a_flag_that_did_not_stay_releases() {
    schedules(|| {
        let event = shared(RawEvent::new());
        let waiting = spawn({
            let event = event.clone();
            move || event.wait(Deadline::NEVER)
        });
        yield_now();
        let sleeps = futex::somebody_sleeps();
        event.set();
        if sleeps {
            event.clear();
        }
        assert!(waiting.join().unwrap());
    });
}

/// A setter that dies has set it or not; if it has, nobody goes on waiting.
#[test]
fn a_dead_setters_flag_is_seen() {
    deaths(Death::MarkedAndTimed, |victim| {
        let event = shared(RawEvent::new());
        let waiting = spawn({
            let event = event.clone();
            move || event.wait(Deadline::NEVER)
        });
        let dying = victim.spawn({
            let event = event.clone();
            move || event.set()
        });
        dying.join().unwrap();
        if !event.is_set() {
            event.set();
        }
        assert!(waiting.join().unwrap());
    });
}
