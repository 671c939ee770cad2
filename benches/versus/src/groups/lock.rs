//! A lock around a number: alone, and with another process that wants it too.

use commons::{Shared, sync::Mutex};

use crate::{
    cpus,
    crew::{Crew, Post},
    measure::{Made, ROUND, repeat, repeat_alone},
    peers::{mapping::Mapping, pthread, raw_sync, standard},
    row::Row,
};

const GROUP: &str = "lock";

pub(crate) const ROWS: &[Row] = &[
    Row {
        group: GROUP,
        name: "std",
        peer: "std-mutex",
        target: 1.10,
        round: ROUND,
        ours: alone,
        theirs: standard::mutex,
    },
    Row {
        group: GROUP,
        name: "pthread",
        peer: "pthread-robust",
        target: 0.65,
        round: ROUND,
        ours: alone,
        theirs: pthread_alone,
    },
    Row {
        group: GROUP,
        name: "raw_sync",
        peer: "raw_sync",
        target: 0.30,
        round: ROUND,
        ours: alone,
        theirs: raw_sync::mutex,
    },
    Row {
        group: GROUP,
        name: "contended",
        peer: "pthread-robust",
        target: 0.80,
        round: ROUND,
        ours: contended,
        theirs: pthread_contended,
    },
];

type Counter = Shared<Mutex<u64>>;

#[inline(always)]
fn increment(counter: &Counter) -> u64 {
    let mut guard = counter.lock().expect("no owner has died");
    *guard += 1;
    *guard
}

fn alone() -> Made {
    let counter = Shared::new(Mutex::new(0)).map_err(|error| error.to_string())?;
    Ok(Box::new(move |count| repeat_alone(count, || increment(&counter))))
}

/// Half of the increments in one process, half in another, both starting at once.
fn contended() -> Made {
    let counter: Counter = Shared::new(Mutex::new(0)).map_err(|error| error.to_string())?;
    let crew = Crew::processes(cpus::apart(&counter), |(post, counter): (Post, Counter)| {
        post.attend(|turn| {
            repeat(turn.count() / 2, || increment(&counter));
        });
    })?;
    crew.contestant(2)
}

fn pthread_alone() -> Made {
    let counter = pthread::Counter::create(Mapping::create(pthread::Counter::SIZE)?)?;
    Ok(Box::new(move |count| repeat_alone(count, || counter.increment())))
}

fn pthread_contended() -> Made {
    let mapping = Mapping::create(pthread::Counter::SIZE)?;
    let path = mapping.path();
    let counter = pthread::Counter::create(mapping)?;
    let crew = Crew::processes(cpus::apart(&path), |(post, path): (Post, String)| {
        let mapping = Mapping::open(&path).expect("the leader keeps the file open");
        let counter = pthread::Counter::of_other(mapping);
        post.attend(|turn| {
            repeat(turn.count() / 2, || counter.increment());
        });
    })?;
    let mut contestant = crew.contestant(2)?;
    Ok(Box::new(move |count| {
        // The members open what this process holds.
        let _held = &counter;
        contestant(count)
    }))
}
