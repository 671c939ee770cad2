//! The mutex and the events of the crate `raw_sync`: process-shared, not robust.
//!
//! # Safety
//! The crate places its objects at an address that it is given, and its guard is a pointer.

#![allow(unsafe_code)]

use raw_sync::{
    Timeout,
    events::{Event, EventImpl, EventInit, EventState},
    locks::{LockInit, Mutex},
};

use super::mapping::Mapping;
use crate::{
    crew::{Crew, Post},
    groups::pipe::{Job, pair},
    measure::{Made, repeat_alone},
};

/// Adds one to a number in shared memory, under the lock.
pub(crate) fn mutex() -> Made {
    let mapping = Mapping::create(4096)?;
    let number = mapping.start();
    // SAFETY: inside the mapping, behind the number.
    let lock = unsafe { number.add(64) };
    // SAFETY: zeroed, aligned memory, room enough for both, mapped as long as the lock is used.
    let (lock, _) = unsafe { Mutex::new(lock, number) }.map_err(|error| error.to_string())?;
    let increment = move || {
        let guard = lock.lock().expect("the lock is initialised");
        // SAFETY: the number, aligned and mapped; the guard holds the lock, and the reference ends first.
        let number = unsafe { &mut *guard.cast::<u64>() };
        *number += 1;
        *number
    };
    Ok(Box::new(move |count| {
        // The mapping lives as long as this closure.
        let _mapped = &mapping;
        repeat_alone(count, &increment)
    }))
}

/// Two events that two processes set in turn.
pub(crate) fn round_trip() -> Made {
    let mapping = Mapping::create(4096)?;
    for place in PLACES {
        // SAFETY: inside the mapping.
        let place = unsafe { mapping.start().add(place) };
        // SAFETY: zeroed, aligned memory, room enough.
        unsafe { Event::new(place, true) }.map_err(|error| error.to_string())?;
    }
    let crew = Crew::processes(pair(mapping.path(), mapping.path()), take_turns)?;
    let mut contestant = crew.contestant(1)?;
    Ok(Box::new(move |count| {
        // The members open what this process holds.
        let _mapped = &mapping;
        contestant(count)
    }))
}

const PLACES: [usize; 2] = [0, 2048];

fn take_turns((post, job): (Post, Job<String, String>)) {
    let (path, asks) = match &job {
        Job::Ask(path) => (path, true),
        Job::Answer(path) => (path, false),
    };
    let mapping = Mapping::open(path).expect("the leader holds it");
    // SAFETY: inside the mapping.
    let places = PLACES.map(|place| unsafe { mapping.start().add(place) });
    // SAFETY: the leader has made the events, and the mapping outlives them.
    let [there, back] = places.map(|place| unsafe { Event::from_existing(place) });
    let [there, back] = [there, back].map(|made| made.expect("it was made").0);
    let set = |event: &dyn EventImpl| event.set(EventState::Signaled).expect("it was made");
    let wait = |event: &dyn EventImpl| event.wait(Timeout::Infinite).expect("the other member sets it");
    post.attend(|turn| {
        for _ in 0..turn.count() {
            if asks {
                set(&*there);
                wait(&*back);
            } else {
                wait(&*there);
                set(&*back);
            }
        }
    });
}
