//! What makes no sense: an error that names the task and the reason, and everything else goes on.

mod common;

use std::{
    panic::panic_any,
    time::{Duration, Instant},
};

use common::{
    Peer, play,
    workers::{bounded, has},
};
use commons::{ErrorKind, Failure, Parallel, Pool, TaskError, TaskErrorKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

commons::init_in_tests!();

#[test]
fn role() {
    play(&[("processes alone", processes_alone)]);
}

/// An argument that cannot be written, or not be read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Item {
    Fine(u32),
    NotWritten,
    PanicsWritten,
    NotRead,
    PanicsRead,
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fine(n) => (0u8, n),
            Self::NotWritten => return Err(ser::Error::custom("not written")),
            Self::PanicsWritten => panic!("a panic in Serialize"),
            Self::NotRead => (1, &0),
            Self::PanicsRead => (2, &0),
        }
        .serialize(to)
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match <(u8, u32)>::deserialize(from)? {
            (0, n) => Ok(Self::Fine(n)),
            (1, _) => Err(de::Error::custom("not read")),
            _ => panic!("a panic in Deserialize"),
        }
    }
}

const ITEMS: [Item; 9] = [
    Item::Fine(0),
    Item::NotWritten,
    Item::Fine(2),
    Item::NotRead,
    Item::PanicsWritten,
    Item::Fine(5),
    Item::PanicsRead,
    Item::NotWritten,
    Item::Fine(8),
];

fn number(item: Item) -> u32 {
    match item {
        Item::Fine(n) => n,
        other => unreachable!("{other:?} arrived"),
    }
}

fn assert_is(item: Item, index: usize, outcome: Result<u32, TaskError>) {
    let error = match (item, outcome) {
        (Item::Fine(n), outcome) => return assert_eq!(outcome, Ok(n)),
        (_, outcome) => outcome.unwrap_err(),
    };
    assert_eq!(error.index(), index, "{error}");
    has(&error, &[&format!("task {index} ")]);
    match (item, error.kind()) {
        (Item::NotWritten, TaskErrorKind::Encode(why)) => has(why, &["not written"]),
        (Item::PanicsWritten, TaskErrorKind::Encode(why)) => has(why, &["a panic in Serialize"]),
        (Item::NotRead, TaskErrorKind::Decode(why)) => has(why, &["not read"]),
        (Item::PanicsRead, TaskErrorKind::Panicked { message, .. }) => {
            assert_eq!(message, "a panic in Deserialize");
        }
        _ => panic!("{item:?}: {error}"),
    }
}

fn is_whole(pool: &Pool) {
    assert!(pool.map(0..50u32, |n| n).unwrap().into_iter().eq(0..50));
}

#[test]
fn arguments_that_cannot_travel_cost_their_tasks() {
    let _bounded = bounded("arguments_that_cannot_travel_cost_their_tasks");
    for chunk in [1, 4, 100] {
        let pool = Pool::builder().workers(2).chunk(chunk).build().unwrap();
        let ids = pool.ids();
        let outcomes = pool.outcomes(ITEMS, number);
        assert_eq!(outcomes.len(), ITEMS.len());
        for ((index, item), outcome) in ITEMS.into_iter().enumerate().zip(outcomes) {
            assert_is(item, index, outcome);
        }
        let results: Vec<_> = pool.map_iter(ITEMS, number).collect();
        assert_eq!(results.len(), ITEMS.len());
        for ((index, item), outcome) in ITEMS.into_iter().enumerate().zip(results) {
            assert_is(item, index, outcome);
        }
        for item in ITEMS {
            assert_is(item, 0, pool.submit(item, number).unwrap().join());
        }
        // Which of them is first is open, but it is one of the bad ones.
        let error = pool.map(ITEMS, number).unwrap_err();
        assert_is(ITEMS[error.index()], error.index(), Err(error));
        is_whole(&pool);
        assert_eq!(pool.ids(), ids, "no worker died of it");
    }
}

#[test]
fn a_panic_with_any_payload_is_told() {
    /// Panics again when it is dropped.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("and again");
        }
    }
    let _bounded = bounded("a_panic_with_any_payload_is_told");
    for pool in [Pool::new(2).unwrap(), Pool::threads(2).unwrap()] {
        let outcomes = pool.outcomes(0..4u32, |n| match n {
            1 => panic_any(7u8),
            2 => panic_any(Bomb),
            n => n,
        });
        assert_eq!((&outcomes[0], &outcomes[3]), (&Ok(0), &Ok(3)));
        for index in [1, 2] {
            let error = outcomes[index].as_ref().unwrap_err();
            has(error, &[&format!("task {index} panicked at "), "pool_input.rs:", "not a string"]);
        }
        is_whole(&pool);
    }
}

fn three_and_a_panic() -> impl Iterator<Item = u32> {
    (0..1000).inspect(|&n| assert!(n < 3, "no item {n}"))
}

#[test]
fn an_input_that_panics_ends_with_a_task_that_tells() {
    let _bounded = bounded("an_input_that_panics_ends_with_a_task_that_tells");
    let chunks = [1, 2, 3, 100].map(|chunk| Pool::builder().workers(2).chunk(chunk).build().unwrap());
    for pool in chunks.into_iter().chain([Pool::new(1).unwrap(), Pool::threads(2).unwrap()]) {
        let check = |outcomes: Vec<Result<u32, TaskError>>| {
            assert_eq!(outcomes.len(), 4);
            assert_eq!(outcomes[..3], [Ok(0), Ok(1), Ok(2)]);
            let error = outcomes[3].as_ref().unwrap_err();
            assert_eq!(error.index(), 3);
            has(error, &["task 3 panicked at ", "pool_input.rs:", "no item 3"]);
        };
        check(pool.outcomes(three_and_a_panic(), |n| n));
        check(pool.map_iter(three_and_a_panic(), |n| n).collect());
        let mut unordered: Vec<_> = pool.map_unordered(three_and_a_panic(), |n| n).collect();
        unordered.sort_by_key(|outcome| *outcome.as_ref().unwrap_or(&u32::MAX));
        check(unordered);
        has(pool.map(three_and_a_panic(), |n| n).unwrap_err(), &["task 3 ", "no item 3"]);
        has(pool.try_map(three_and_a_panic(), Ok).unwrap_err(), &["task 3 ", "no item 3"]);
        is_whole(&pool);
    }
}

/// Where no pool of threads was made before.
fn processes_alone() {
    let outcomes = Pool::new(1).unwrap().outcomes(three_and_a_panic(), |n| n);
    has(outcomes[3].as_ref().unwrap_err(), &["task 3 panicked at ", "pool_input.rs:", "no item 3"]);
}

#[test]
fn the_place_of_a_panic_is_told_in_processes_alone() {
    assert!(Peer::new("processes alone", &[]).ends_well());
}

/// Panics when it is dropped, if its number is odd.
#[derive(Serialize, Deserialize)]
struct Mine(u32);

impl Drop for Mine {
    fn drop(&mut self) {
        assert!(self.0.is_multiple_of(2), "dropped {}", self.0);
    }
}

fn defuse(mine: Mine) -> u32 {
    let n = mine.0;
    std::mem::forget(mine);
    n
}

#[test]
fn an_item_that_panics_when_it_is_dropped_costs_its_task() {
    let _bounded = bounded("an_item_that_panics_when_it_is_dropped_costs_its_task");
    for chunk in [1, 2, 3, 100] {
        let pool = Pool::builder().workers(2).chunk(chunk).build().unwrap();
        let check = |outcomes: Vec<Result<u32, TaskError>>| {
            assert_eq!(outcomes.len(), 20);
            for (n, outcome) in (0..).zip(outcomes) {
                match outcome {
                    Ok(result) => assert!(result == n && n % 2 == 0, "{n}: {result}"),
                    Err(error) => has(error, &[&format!("task {n} "), &format!("dropped {n}")]),
                }
            }
        };
        check(pool.outcomes((0..20).map(Mine), defuse));
        check(pool.map_iter((0..20).map(Mine), defuse).collect());
        let error = pool.submit(Mine(1), defuse).unwrap().join().unwrap_err();
        has(error, &["dropped 1"]);
        is_whole(&pool);
        pool.shutdown().unwrap();
        let refused = pool.outcomes((0..20).map(Mine), defuse);
        assert!(refused.len() == 20 && refused.iter().all(Result::is_err), "{refused:?}");
    }
}

#[test]
fn an_input_that_panics_when_it_is_dropped_costs_nothing() {
    struct Input(u32);
    impl Iterator for Input {
        type Item = u32;
        fn next(&mut self) -> Option<u32> {
            self.0 += 1;
            (self.0 <= 5).then_some(self.0)
        }
    }
    impl Drop for Input {
        fn drop(&mut self) {
            panic!("the input is dropped");
        }
    }
    let _bounded = bounded("an_input_that_panics_when_it_is_dropped_costs_nothing");
    for pool in [Pool::new(2).unwrap(), Pool::threads(2).unwrap()] {
        let results: Vec<_> = pool.map_iter(Input(0), |n| n).map(Result::unwrap).collect();
        assert_eq!(results, [1, 2, 3, 4, 5]);
    }
}

#[test]
fn numbers_of_workers_that_make_no_sense_are_refused() {
    let _bounded = bounded("numbers_of_workers_that_make_no_sense_are_refused");
    for workers in [0, 241, 100_000, usize::MAX] {
        let error = Pool::new(workers).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        has(&error, &["from 1 to 240", &format!("found {workers}")]);
    }
    let error = Pool::threads(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    has(&error, &["at least one thread", "found 0"]);
    let error = Parallel::new().jobs(0).map(0..3u32, |n| n).unwrap_err();
    has(&error, &["task 0 ", "jobs"]);
    let outcomes = Parallel::new().jobs(0).outcomes(0..3u32, |n| n);
    assert!(outcomes.len() == 3 && outcomes.iter().all(Result::is_err), "{outcomes:?}");
    assert!(Parallel::new().jobs(0).map_iter(0u32.., |n| n).next().unwrap().is_err());
    assert_eq!(Parallel::new().jobs(2).map(0..3u32, |n| n).unwrap(), [0, 1, 2]);
}

#[test]
fn settings_out_of_all_bounds_are_bounded() {
    let _bounded = bounded("settings_out_of_all_bounds_are_bounded");
    let settings = [
        Pool::builder().chunk(0),
        Pool::builder().chunk(usize::MAX),
        Pool::builder().retries(u32::MAX),
        Pool::builder().timeout(Duration::MAX),
        Pool::builder().idle_timeout(Duration::MAX),
        Pool::builder().recycle_after(u64::MAX),
        Pool::builder().recycle_after(0),
        Pool::builder().idle_timeout(Duration::ZERO),
    ];
    for setting in settings {
        let start = Instant::now();
        let pool = setting.clone().workers(2).build().unwrap();
        is_whole(&pool);
        let error = pool.map(0..9u32, |n| assert_ne!(n, 4, "four")).unwrap_err();
        assert_eq!((error.index(), start.elapsed() < Duration::from_secs(20)), (4, true), "{setting:?}");
        let task = pool.submit(7u8, |n| n).unwrap();
        task.wait_timeout(Duration::MAX).unwrap();
        assert_eq!(task.join().unwrap(), 7);
    }
}

#[test]
fn a_task_without_any_time_is_late() {
    let _bounded = bounded("a_task_without_any_time_is_late");
    let pool = Pool::builder().workers(2).timeout(Duration::ZERO).build().unwrap();
    let task = pool.submit((), |()| {
        loop {
            std::thread::park();
        }
    });
    let task: commons::Task<()> = task.unwrap();
    assert_eq!(task.join().unwrap_err().kind(), &TaskErrorKind::TimedOut);
}

#[test]
fn a_failure_in_a_failure_is_told() {
    let _bounded = bounded("a_failure_in_a_failure_is_told");
    let pool = Pool::new(1).unwrap();
    let error =
        pool.try_map([0u8], |_| -> Result<u8, Failure> { Err(std::fs::read("/no/such/file").unwrap_err())? });
    has(error.unwrap_err(), &["task 0 failed at ", "pool_input.rs:", "No such file"]);
}
