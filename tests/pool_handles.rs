//! Handles in what tasks are given and return: they reach the same object, and when their worker is killed
//! nothing stays that nobody uses.

mod common;

use std::{process, thread, time::Duration};

use common::{
    Directory, Peer, eventually, play,
    processes::{children, kill_child},
    unique,
    workers::{LONG, await_stage, bounded, has, join},
};
use commons::{
    Array, Atomic, AtomicArray, Exit, Pool, Queue, Sender, TaskErrorKind, Value, catalog, channel,
};

commons::init_in_tests!();

#[test]
fn role() {
    play(&[("killed", killed), ("dropped", dropped), ("returned", returned), ("called_off", called_off)]);
}

/// In a process and a directory of its own, which is empty afterwards.
fn alone(role: &str) {
    let directory = Directory::new(role);
    assert!(Peer::new(role, &[("COMMONS_DIR", directory.text())]).ends_well_at_last(), "{role} failed");
    assert_eq!(directory.entries(), [""; 0]);
}

/// The names that exist.
fn names() -> usize {
    std::fs::read_dir(std::env::var("COMMONS_DIR").unwrap()).unwrap().count()
}

type Handles = (Value<u32>, Queue<u32>, Sender<u32>, Array<u32>, AtomicArray<u32>, Value<u32>);

/// Named and unnamed ones; the task says by the first that it runs.
fn park_with((value, queue, sender, array, atomics, unnamed): Handles) -> u32 {
    let n = queue.recv().unwrap();
    sender.send(&n).unwrap();
    array.set(0, n);
    atomics.store(0, n);
    unnamed.set(n);
    value.update(|value| *value += 1);
    loop {
        thread::park();
    }
}

/// The worker is killed in the task; then the handles here are the last ones.
fn killed() {
    let _bounded = bounded("killed");
    for retries in [0, 2] {
        let pool = Pool::builder().workers(1).retries(retries).build().unwrap();
        for _ in 0..3 {
            let value = Value::create("value", 0u32).unwrap();
            let queue = Queue::create("queue", 8).unwrap();
            let array = Array::create("array", 4).unwrap();
            let atomics = AtomicArray::create("atomics", 4).unwrap();
            let unnamed = Value::new(0u32).unwrap();
            let (sender, receiver) = channel(8).unwrap();
            let given =
                (value.clone(), queue.clone(), sender, array.clone(), atomics.clone(), unnamed.clone());
            let task = pool.submit(given, park_with).unwrap();
            for attempt in 1..=retries + 1 {
                queue.send(&(6 + attempt)).unwrap();
                await_stage(&value, attempt);
                assert!(pool.ids().into_iter().any(kill_child));
            }
            let error = task.join().unwrap_err();
            assert_eq!(error.kind(), &TaskErrorKind::Exit(Exit::Signal(9)), "{error}");
            // What it did stays done, and its end of the channel has gone with it.
            for attempt in 1..=retries + 1 {
                assert_eq!(receiver.recv_timeout(LONG).unwrap(), 6 + attempt);
            }
            has(receiver.recv_timeout(LONG).unwrap_err(), &["nobody is left"]);
            let last = 7 + retries;
            assert_eq!((array.get(0).unwrap(), atomics.load(0), unnamed.get()), (last, last, last));
            assert_eq!(names(), 4);
            drop((value, queue, array, atomics));
            eventually("all names are gone", || names() == 0);
        }
        assert_eq!(pool.map(0..9u8, |n| n).unwrap().len(), 9);
    }
    assert_eq!(children(), [0; 0]);
}

#[test]
fn what_a_killed_worker_was_given_is_not_kept() {
    alone("killed");
}

/// The handle in the argument is the last one from the moment of the call.
fn dropped() {
    let _bounded = bounded("dropped");
    let pool = Pool::builder().workers(2).chunk(3).build().unwrap();
    let create = |n: u32| Value::create(&format!("value-{n}"), n).unwrap();
    let results = pool.map((0..20).map(create), |value: Value<u32>| value.get()).unwrap();
    assert!(results.into_iter().eq(0..20));
    eventually("all names are gone", || names() == 0);
    // With a death in each group: the others of the group find theirs.
    let outcomes = pool.outcomes((0..21).map(create), |value: Value<u32>| match value.get() {
        n if n % 3 == 1 => process::abort(),
        n => n,
    });
    for (n, outcome) in (0..).zip(outcomes) {
        match outcome {
            Ok(value) => assert!(value == n && n % 3 != 1),
            Err(error) => {
                assert_eq!((n % 3, error.kind()), (1, &TaskErrorKind::Exit(Exit::Signal(6))), "{error}");
            }
        }
    }
    eventually("all names are gone", || names() == 0);
    // Each attempt finds it.
    let pool = Pool::builder().workers(1).retries(3).build().unwrap();
    let count = pool.submit(create(0), |value: Value<u32>| {
        let before = value.update(|value| std::mem::replace(value, *value + 1));
        if before < 3 { process::abort() } else { value }
    });
    let count = count.unwrap().join().unwrap();
    assert_eq!((count.get(), count.name()), (4, Some("value-0")));
    drop(count);
    eventually("all names are gone", || names() == 0);
}

#[test]
fn the_last_handle_may_be_in_an_argument() {
    alone("dropped");
}

/// A worker makes an object, returns its only handle, and is killed or leaves.
fn returned() {
    let _bounded = bounded("returned");
    // Long before it leaves, and right after.
    for recycle_after in [1, u64::MAX] {
        let pool = Pool::builder().workers(1).recycle_after(recycle_after).build().unwrap();
        for _ in 0..5 {
            let made = pool.map(0..4u32, |n| {
                let value = Value::create(&format!("made-{n}"), n).unwrap();
                let atomic = Atomic::new(n).unwrap();
                (value, atomic)
            });
            for ((value, atomic), n) in made.unwrap().into_iter().zip(0..) {
                assert_eq!((value.get(), atomic.load()), (n, n));
            }
            eventually("all names are gone", || names() == 0);
        }
    }
    // A result that nobody takes, of a worker that is killed: its names go too.
    let pool = Pool::new(1).unwrap();
    let task = pool.submit((), |()| Value::create("untaken", 1u32).unwrap()).unwrap();
    task.wait_timeout(LONG).unwrap();
    assert_eq!(names(), 1);
    drop(task);
    assert!(pool.ids().into_iter().any(kill_child));
    eventually("the name is gone", || names() == 0);
}

#[test]
fn the_last_handle_may_be_in_a_result() {
    alone("returned");
}

/// Tasks that never run keep nothing.
fn called_off() {
    let _bounded = bounded("called_off");
    let gate = Value::new(0u32).unwrap();
    let create = |n: u32| (gate.clone(), Value::create(&format!("value-{n}"), n).unwrap());
    let run = |(gate, value): (Value<u32>, Value<u32>)| {
        await_stage(&gate, 1);
        value.get()
    };
    let pool = Pool::new(1).unwrap();
    let first = pool.submit(create(0), run).unwrap();
    let waiting: Vec<_> = (1..40).map(|n| pool.submit(create(n), run).unwrap()).collect();
    let last = waiting.last().unwrap();
    assert!(last.cancel() && last.wait_timeout(LONG).is_ok());
    eventually("its name is gone", || !catalog::names().unwrap().contains(&"value-39".to_owned()));
    pool.terminate();
    eventually("all names are gone", || names() == 0);
    assert!(first.join().is_err() && waiting.into_iter().all(|task| task.join().is_err()));
    // Nor one that cannot be sent, nor an input that was not taken.
    assert!(pool.submit(create(0), run).is_err());
    let error = pool.map((0..10).map(create), run).unwrap_err();
    assert!(error.to_string().contains("shut down"), "{error}");
    eventually("all names are gone", || names() == 0);
}

#[test]
fn tasks_that_never_run_keep_nothing() {
    alone("called_off");
}

/// A queue of one's own beside the pool's: tasks talk while they run.
#[test]
fn tasks_talk_to_their_parent_while_they_run() {
    let _bounded = bounded("tasks_talk_to_their_parent_while_they_run");
    let pool = Pool::new(2).unwrap();
    let (sender, receiver) = channel::<(u32, u32)>(4).unwrap();
    let tasks: Vec<_> = (0..10u32)
        .map(|n| {
            let task = pool.submit((n, sender.clone()), |(n, sender)| {
                (0..20).for_each(|step| sender.send(&(n, step)).unwrap());
            });
            task.unwrap()
        })
        .collect();
    drop(sender);
    let mut next = [0; 10];
    while let Ok((n, step)) = receiver.recv_timeout(Duration::from_secs(20)) {
        assert_eq!(std::mem::replace(&mut next[n as usize], step + 1), step);
    }
    assert_eq!(next, [20; 10]);
    tasks.into_iter().for_each(|task| task.join().unwrap());
    let name = unique("talk");
    let shared = Value::create(&name, 0u32).unwrap();
    let task = pool.submit(name, |name| Value::<u32>::open(&name).unwrap().set(5)).unwrap();
    task.join().unwrap();
    assert_eq!(shared.get(), 5);
    join(commons::spawn(shared, |shared| assert_eq!(shared.get(), 5)));
}
