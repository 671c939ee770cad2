//! A value that others read and change.

use std::sync::Arc;

use commons::{Atomic, Value};

use crate::{
    crew::{Crew, Post, Turn},
    groups::{
        pipe::{Job, pair},
        queue::Line,
    },
    measure::{Made, ROUND, repeat, repeat_alone},
    peers::{python, standard},
    row::Row,
};

const GROUP: &str = "value";

pub(crate) const ROWS: &[Row] = &[
    Row {
        group: GROUP,
        name: "update",
        peer: "std-mutex",
        target: 1.60,
        round: ROUND,
        ours: update,
        theirs: standard::mutex,
    },
    Row {
        group: GROUP,
        name: "get",
        peer: "std-rwlock",
        target: 0.50,
        round: ROUND,
        ours: get,
        theirs: standard::rwlock_read,
    },
    Row {
        group: GROUP,
        name: "get-while-written",
        peer: "parking_lot-rwlock",
        target: 0.50,
        round: ROUND,
        ours: get_while_written,
        theirs: parking_lot_read_while_written,
    },
    Row {
        group: GROUP,
        name: "fetch_add",
        peer: "AtomicU64",
        target: 1.05,
        round: ROUND,
        ours: fetch_add,
        theirs: standard::fetch_add,
    },
    Row {
        group: GROUP,
        name: "python",
        peer: "python-value",
        target: 0.02,
        round: ROUND,
        ours: update,
        theirs: python_value,
    },
];

fn update() -> Made {
    let value = Value::new(0u64).map_err(|error| error.to_string())?;
    Ok(Box::new(move |count| {
        repeat_alone(count, || {
            value.update(|number| {
                *number += 1;
                *number
            })
        })
    }))
}

fn get() -> Made {
    let value = Value::new(7u64).map_err(|error| error.to_string())?;
    Ok(Box::new(move |count| repeat_alone(count, || value.get())))
}

/// One reads and the other writes the same.
type Both<T> = Job<T, T>;

/// Another process does nothing but write.
fn get_while_written() -> Made {
    let value = Value::new([0u64; 8]).map_err(|error| error.to_string())?;
    let crew = Crew::processes(pair(value.clone(), value), |(post, job): (Post, Both<Value<Line>>)| {
        post.attend(|turn| match &job {
            Job::Ask(value) => read(turn, || value.get()),
            Job::Answer(value) => write(turn, |number| value.set([number; 8])),
        });
    })?;
    crew.contestant(1)
}

/// Another thread does nothing but write: this lock is for one process.
fn parking_lot_read_while_written() -> Made {
    type Lock = Arc<parking_lot::RwLock<Line>>;
    let lock: Lock = Arc::new(parking_lot::RwLock::new([0; 8]));
    let crew = Crew::threads(pair(lock.clone(), lock), |(post, job): (Post, Both<Lock>)| {
        post.attend(|turn| match &job {
            Job::Ask(lock) => read(turn, || *lock.read()),
            Job::Answer(lock) => write(turn, |number| *lock.write() = [number; 8]),
        });
    })?;
    crew.contestant(1)
}

fn read<R>(turn: &Turn<'_>, get: impl FnMut() -> R) {
    repeat(turn.count(), get);
    turn.stop();
}

fn write(turn: &Turn<'_>, set: impl Fn(u64)) {
    while turn.goes_on() {
        set(turn.number());
    }
}

fn fetch_add() -> Made {
    let atomic = Atomic::new(0u64).map_err(|error| error.to_string())?;
    Ok(Box::new(move |count| repeat_alone(count, || atomic.fetch_add(1))))
}

/// Python times itself, so its start and the pipes to it do not count.
fn python_value() -> Made {
    python::contestant(
        "from multiprocessing import Value
from time import thread_time_ns

value = Value('Q')

def run(count):
    start = thread_time_ns()
    for _ in range(count):
        with value.get_lock():
            value.value += 1
    return thread_time_ns() - start
",
    )
}
