//! Programs are killed while their workers make, open, return and drop names: when all are gone, no name is left.
//!
//! `COMMONS_ROUNDS` says how often each program is killed (20), `COMMONS_SEED` repeats choices.

#![allow(unsafe_code)] // what runs before `commons::init` is named in a section of the program

mod common;

use std::{
    env,
    os::unix::process::parent_id,
    process, thread,
    time::{Duration, Instant},
};

use common::{
    Directory, PATIENCE, Peer,
    chance::{Chance, number, seed},
    play, say,
    watchdog::watchdog,
};
use commons::{ErrorKind, Pool, PoolBuilder, Process, Value, spawn};

commons::init_in_tests!();

const WORKERS: usize = 3;

#[test]
fn role() {
    play(&[
        ("mixed", mixed),
        ("recycled", recycled),
        ("alone", alone),
        ("starting", starting),
        ("leaving", leaving),
    ]);
}

/// Kills the role at random moments.
fn killed_at_random(test: &'static str, role: &str) {
    let _bounded = watchdog(test, 2 * PATIENCE);
    let (directory, mut chance) = (Directory::new(role), Chance::new(seed(test)));
    for round in 0..number("COMMONS_ROUNDS", 20) {
        let mut peer = Peer::new(role, &[("COMMONS_DIR", directory.text())]);
        assert_eq!(peer.line(), "up");
        thread::sleep(Duration::from_micros(chance.below(30_000) as u64));
        let begin = Instant::now();
        peer.kill_and_outlive();
        assert_eq!(directory.entries(), [""; 0], "round {round}");
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(1), "all workers gone after {took:?}");
    }
}

fn own_name(number: u64) -> String {
    format!("own-{}-{number}", process::id())
}

fn work((number, parents): (u64, String)) -> Option<Value<u64>> {
    let own = || Value::create(&own_name(number), number).unwrap();
    match number % 4 {
        0 => return Some(own()),
        1 => drop(own()),
        2 => {
            let _own = own();
            thread::sleep(Duration::from_millis(1));
        }
        _ => match Value::<u64>::open(&parents) {
            Ok(value) => value.update(|value| *value += 1),
            // The parent is gone, and so is this worker in a moment.
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        },
    }
    None
}

fn names_without_end(pool: &PoolBuilder) {
    let parents: Vec<_> = (0..3).map(|number| Value::create(&own_name(number), 0u64).unwrap()).collect();
    let pool = pool.build().unwrap();
    let tasks = (0u64..).map(|number| (number, parents[0].name().unwrap().to_owned()));
    let mut results = pool.map_iter(tasks, work);
    results.by_ref().take(20).for_each(|result| _ = result.unwrap());
    say("up");
    results.for_each(|result| _ = result.unwrap());
}

fn mixed() {
    names_without_end(&Pool::builder().workers(WORKERS));
}

#[test]
fn names_go_with_the_last_worker() {
    killed_at_random("names_go_with_the_last_worker", "mixed");
}

/// Workers that leave and start all the time, and one that stays: a parent without any leaves its names.
fn recycled() {
    let _stays = spawn((), |()| thread::park()).unwrap();
    names_without_end(&Pool::builder().workers(WORKERS).recycle_after(7));
}

#[test]
fn workers_that_leave_or_start_leave_no_names() {
    killed_at_random("workers_that_leave_or_start_leave_no_names", "recycled");
}

/// A worker that makes names as fast as it can.
fn alone() {
    let worker = spawn((), |()| {
        for number in 0.. {
            drop(Value::create(&own_name(number % 10), number).unwrap());
        }
    });
    let worker = worker.unwrap();
    say("up");
    worker.join().unwrap();
}

#[test]
fn a_worker_alone_leaves_no_names() {
    killed_at_random("a_worker_alone_leaves_no_names", "alone");
}

const STARTS_LATE: &str = "COMMONS_TEST_STARTS_LATE";

/// What a worker of the role "starting" does before `commons::init`: it waits until its parent is gone.
extern "C" fn start_late() {
    let Ok(parent) = env::var(STARTS_LATE) else { return };
    let end = Instant::now() + PATIENCE;
    while parent_id().to_string() == parent && Instant::now() < end {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sections with a number run before those without.
#[used]
#[unsafe(link_section = ".init_array.00200")]
static BEFORE_INIT: extern "C" fn() = start_late;

/// Its only worker has not come to `commons::init` when it is killed.
fn starting() {
    let _own = Value::create("own", 0u64).unwrap();
    let me = process::id().to_string();
    let _worker = Process::<()>::builder().env(STARTS_LATE, me).spawn((), |()| ()).unwrap();
    say("up");
    thread::sleep(PATIENCE);
}

#[test]
fn a_worker_that_finds_no_parent_removes_its_names() {
    let directory = Directory::new("starting");
    let mut peer = Peer::new("starting", &[("COMMONS_DIR", directory.text())]);
    assert_eq!(peer.line(), "up");
    assert_eq!(directory.entries().len(), 1);
    peer.kill_and_outlive();
    assert_eq!(directory.entries(), [""; 0]);
}

/// Workers end while threads of theirs make names.
fn leaving() {
    for _ in 0..60 {
        let worker = spawn((), |()| {
            for thread in 0..2 {
                let make = move |number| drop(Value::create(&format!("leaving-{thread}-{number}"), number));
                thread::spawn(move || (0..u64::MAX).for_each(make));
            }
            thread::sleep(Duration::from_millis(3));
        });
        worker.unwrap().join().unwrap();
        assert_eq!(commons::catalog::names().unwrap(), [""; 0]);
    }
}

#[test]
fn a_worker_that_ends_well_leaves_no_names() {
    let _bounded = watchdog("a worker that ends well", 2 * PATIENCE);
    Directory::new("leaving").run("leaving");
}
