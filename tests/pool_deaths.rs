//! Each way in which a task can go wrong, at each moment at which it can: the right error, soon, for that
//! task alone; the pool goes on, and nothing runs twice that need not.
//!
//! # Safety
//! Writes where there is no memory, which is what a worker is to die of.

#![allow(unsafe_code)]

mod common;

use std::{
    fmt, process,
    time::{Duration, Instant},
};

use common::{
    processes::{limit_memory, no_core_file},
    workers::{LONG, bounded},
};
use commons::{AtomicArray, Exit, Failure, Pool, TaskError, TaskErrorKind, Value};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

commons::init_in_tests!();

/// The error of a task that went wrong is there by then.
const SOON: Duration = Duration::from_secs(2);

const TASKS: u32 = 40;
/// The one that goes wrong: neither the first nor the last of its group.
const BAD: u32 = 13;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Way {
    Err,
    Panic,
    Exit,
    Abort,
    Kill,
    Segv,
    Memory,
}

const WAYS: [Way; 7] = [Way::Err, Way::Panic, Way::Exit, Way::Abort, Way::Kill, Way::Segv, Way::Memory];
const DEADLY: [Way; 5] = [Way::Exit, Way::Abort, Way::Kill, Way::Segv, Way::Memory];

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Moment {
    Decoding,
    Running,
    Encoding,
}

const MOMENTS: [Moment; 3] = [Moment::Decoding, Moment::Running, Moment::Encoding];

const SAID: &str = "on purpose";

impl Way {
    /// Goes wrong; returns only where that is to return an error.
    fn go(self) {
        no_core_file();
        match self {
            Self::Err => return,
            Self::Panic => panic!("{SAID}"),
            Self::Exit => process::exit(7),
            Self::Abort => process::abort(),
            Self::Kill => kill_process(getpid(), Signal::KILL).unwrap(),
            // SAFETY: not memory of this process, which is what this process is to die of.
            Self::Segv => unsafe { std::ptr::without_provenance_mut::<u8>(16).write_volatile(1) },
            Self::Memory => exhaust(),
        }
        unreachable!("{self:?} ends the process")
    }

    fn assert_is(self, moment: Moment, kind: &TaskErrorKind) {
        let right = match (self, moment, kind) {
            (Self::Err, Moment::Decoding, TaskErrorKind::Decode(why))
            | (Self::Err, Moment::Encoding, TaskErrorKind::Encode(why)) => why.contains(SAID),
            (Self::Err, Moment::Running, TaskErrorKind::Failed(failure)) => failure.message() == SAID,
            (Self::Panic, _, TaskErrorKind::Panicked { message, location, backtrace }) => {
                message == SAID && location.contains("pool_deaths.rs:") && !backtrace.is_empty()
            }
            (Self::Memory, _, kind) => is_out_of_memory(kind),
            (Self::Exit, _, TaskErrorKind::Exit(exit)) => *exit == Exit::Code(7),
            (Self::Abort, _, TaskErrorKind::Exit(exit)) => *exit == Exit::Signal(6),
            (Self::Kill, _, TaskErrorKind::Exit(exit)) => *exit == Exit::Signal(9),
            (Self::Segv, _, TaskErrorKind::Exit(exit)) => *exit == Exit::Signal(11),
            _ => false,
        };
        assert!(right, "{self:?} while {moment:?}: {kind:?}");
    }
}

/// What an allocation that fails makes of its task.
fn is_out_of_memory(kind: &TaskErrorKind) -> bool {
    matches!(kind, TaskErrorKind::OutOfMemory(Exit::Signal(6)))
}

/// Takes memory until there is none.
fn exhaust() {
    limit_memory();
    let mut taken = Vec::new();
    while taken.len() < 1 << 12 {
        taken.push(std::hint::black_box(vec![1u8; 1 << 20]));
    }
}

/// What a task does wrong, and how often each of its steps was begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Deed {
    task: u32,
    wrong: Option<(Way, Moment)>,
    begun: AtomicArray<u32>,
}

impl Deed {
    /// Begins a step; whether it is to fail.
    fn begin(&self, moment: Moment) -> bool {
        self.begun.fetch_add(self.task as usize * MOMENTS.len() + moment as usize, 1);
        let wrong = self.wrong.filter(|(_, at)| *at == moment);
        wrong.is_some_and(|(way, _)| {
            way.go();
            true
        })
    }
}

/// An argument.
#[derive(Clone, Debug, Serialize)]
struct Given(Deed);

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let deed = Deed::deserialize(from)?;
        if deed.begin(Moment::Decoding) { Err(de::Error::custom(SAID)) } else { Ok(Self(deed)) }
    }
}

/// A result; its deed is not sent.
#[derive(Debug)]
struct Got(u32, Option<Deed>);

impl Serialize for Got {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.1.as_ref().unwrap().begin(Moment::Encoding) {
            return Err(ser::Error::custom(SAID));
        }
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Got {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(u32::deserialize(from)?, None))
    }
}

/// Runs; what is to fail here was seen to before.
fn run(Given(deed): Given) -> Got {
    deed.begin(Moment::Running);
    Got(deed.task * deed.task, Some(deed))
}

fn try_run(Given(deed): Given) -> Result<Got, Failure> {
    if deed.begin(Moment::Running) {
        return Err(Failure::new(SAID));
    }
    Ok(Got(deed.task * deed.task, Some(deed)))
}

/// How often the steps of the tasks were begun.
struct Begun(AtomicArray<u32>);

impl Begun {
    fn new() -> Self {
        Self(AtomicArray::new(TASKS as usize * MOMENTS.len()).unwrap())
    }

    fn tasks(&self, wrong: (Way, Moment)) -> impl Iterator<Item = Given> + use<> {
        let begun = self.0.clone();
        (0..TASKS).map(move |task| {
            let wrong = (task == BAD).then_some(wrong);
            Given(Deed { task, wrong, begun: begun.clone() })
        })
    }

    fn of(&self, task: u32) -> [u32; 3] {
        std::array::from_fn(|step| self.0.load(task as usize * MOMENTS.len() + step))
    }

    /// Each good task did each step once; the bad one each up to the bad one so often.
    fn assert_each_once(&self, moment: Moment, bad: u32, what: &dyn fmt::Debug) {
        for task in 0..TASKS {
            let expected = if task == BAD {
                std::array::from_fn(|step| if step <= moment as usize { bad } else { 0 })
            } else {
                [1; 3]
            };
            assert_eq!(self.of(task), expected, "{what:?}: task {task}");
        }
    }
}

fn assert_one_bad(outcomes: Vec<(Result<Got, TaskError>, Duration)>, way: Way, moment: Moment) {
    assert_eq!(outcomes.len(), TASKS as usize, "{way:?} while {moment:?}");
    for (task, (outcome, came)) in (0..).zip(outcomes) {
        match outcome {
            Ok(got) => assert_eq!((got.0, task != BAD), (task * task, true)),
            Err(error) => {
                assert_eq!((error.index(), task), (BAD as usize, BAD), "{error}");
                way.assert_is(moment, error.kind());
                assert!(error.worker().is_some_and(|id| id != process::id()), "{error}");
                assert!(error.to_string().starts_with(&format!("task {BAD} ")), "{error}");
                assert!(came < SOON, "{error}: only after {came:?}");
            }
        }
    }
}

fn pool_is_whole(pool: &Pool) {
    assert!(pool.map(0..TASKS, |n| n + 1).unwrap().into_iter().eq(1..=TASKS));
}

/// Every way at every moment, one after the other in one pool.
fn matrix(test: &'static str, pool: &Pool) {
    let _bounded = bounded(test);
    for (way, moment) in WAYS.into_iter().flat_map(|way| MOMENTS.map(|moment| (way, moment))) {
        if (way, moment) == (Way::Err, Moment::Running) {
            continue;
        }
        let (begun, start) = (Begun::new(), Instant::now());
        let results = pool.map_iter(begun.tasks((way, moment)), run);
        let outcomes = results.map(|outcome| (outcome, start.elapsed())).collect();
        assert_one_bad(outcomes, way, moment);
        begun.assert_each_once(moment, 1, &(way, moment));
        pool_is_whole(pool);
    }
}

#[test]
fn one_task_goes_wrong_among_single_ones() {
    let pool = Pool::builder().workers(2).chunk(1).build().unwrap();
    matrix("one_task_goes_wrong_among_single_ones", &pool);
}

#[test]
fn one_task_goes_wrong_in_a_group() {
    let pool = Pool::builder().workers(2).chunk(10).build().unwrap();
    matrix("one_task_goes_wrong_in_a_group", &pool);
}

#[test]
fn one_worker_is_enough() {
    let pool = Pool::new(1).unwrap();
    matrix("one_worker_is_enough", &pool);
}

#[test]
fn a_function_that_returns_an_error() {
    let _bounded = bounded("a_function_that_returns_an_error");
    for chunk in [1, 10] {
        let pool = Pool::builder().workers(2).chunk(chunk).build().unwrap();
        let (begun, start) = (Begun::new(), Instant::now());
        let error = pool.try_map(begun.tasks((Way::Err, Moment::Running)), try_run).unwrap_err();
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        assert_eq!(error.index(), BAD as usize, "{error}");
        Way::Err.assert_is(Moment::Running, error.kind());
        pool_is_whole(&pool);
        assert_eq!(begun.of(BAD), [1, 1, 0]);
        assert!((0..TASKS).all(|task| begun.of(task).iter().all(|&times| times <= 1)));
        // Through `outcomes` it is a result like another.
        let outcomes = pool.outcomes([1u8, 0], |n| 6u8.checked_div(n).ok_or_else(|| Failure::new(SAID)));
        assert_eq!(outcomes[1].as_ref().unwrap().as_ref().unwrap_err().message(), SAID);
    }
}

/// Retries are for workers that died, and for nothing else.
#[test]
fn a_death_is_tried_again_and_an_error_is_not() {
    let _bounded = bounded("a_death_is_tried_again_and_an_error_is_not");
    let pool = Pool::builder().workers(2).chunk(10).retries(2).build().unwrap();
    for way in [Way::Err, Way::Panic, Way::Kill, Way::Memory] {
        let (begun, moment) =
            (Begun::new(), if way == Way::Err { Moment::Decoding } else { Moment::Running });
        let outcomes = pool.outcomes(begun.tasks((way, moment)), run);
        let outcomes = outcomes.into_iter().map(|outcome| (outcome, Duration::ZERO)).collect();
        assert_one_bad(outcomes, way, moment);
        begun.assert_each_once(moment, if DEADLY.contains(&way) { 3 } else { 1 }, &way);
    }
    pool_is_whole(&pool);
}

#[test]
fn retries_without_end_end_with_a_result() {
    let _bounded = bounded("retries_without_end_end_with_a_result");
    let pool = Pool::builder().workers(1).retries(u32::MAX).build().unwrap();
    let tries = Value::new(0u32).unwrap();
    let late = pool.submit(tries.clone(), |tries| {
        let before = tries.update(|tries| std::mem::replace(tries, *tries + 1));
        if before < 20 {
            Way::Kill.go();
        }
        before
    });
    assert_eq!(late.unwrap().join().unwrap(), 20);
    assert_eq!(tries.get(), 21);
}

#[test]
fn all_tasks_go_wrong() {
    let _bounded = bounded("all_tasks_go_wrong");
    let pool = Pool::builder().workers(2).chunk(5).build().unwrap();
    let outcomes = pool.outcomes(WAYS.repeat(3), |way| {
        way.go();
        panic!("{SAID}")
    });
    let outcomes: Vec<Result<(), _>> = outcomes;
    assert_eq!(outcomes.len(), 21);
    for ((index, way), outcome) in WAYS.repeat(3).into_iter().enumerate().zip(outcomes) {
        let (error, way) = (outcome.unwrap_err(), if way == Way::Err { Way::Panic } else { way });
        assert_eq!(error.index(), index);
        way.assert_is(Moment::Running, error.kind());
    }
    pool_is_whole(&pool);
}

/// A result that cannot be read where it arrives.
#[derive(Debug, PartialEq)]
enum Poison {
    Fine(u32),
    Panics,
    Fails,
}

impl Serialize for Poison {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fine(n) => (0u8, n),
            Self::Panics => (1, &0),
            Self::Fails => (2, &0),
        }
        .serialize(to)
    }
}

impl<'de> Deserialize<'de> for Poison {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match <(u8, u32)>::deserialize(from)? {
            (0, n) => Ok(Self::Fine(n)),
            (1, _) => panic!("{SAID}"),
            _ => Err(de::Error::custom(SAID)),
        }
    }
}

#[test]
fn a_result_that_cannot_be_read_here_costs_its_task() {
    let _bounded = bounded("a_result_that_cannot_be_read_here_costs_its_task");
    let pool = Pool::builder().workers(2).chunk(4).build().unwrap();
    let make = |n: u32| match n % 10 {
        3 => Poison::Panics,
        7 => Poison::Fails,
        _ => Poison::Fine(n),
    };
    let check = |index: usize, outcome: Result<Poison, TaskError>| match (index % 10, outcome) {
        (3 | 7, Err(error)) => {
            assert_eq!(error.index(), index, "{error}");
            assert!(matches!(error.kind(), TaskErrorKind::Decode(why) if why.contains(SAID)), "{error}");
        }
        (3 | 7, Ok(fine)) => panic!("{fine:?}"),
        (_, outcome) => assert_eq!(outcome, Ok(Poison::Fine(index as u32))),
    };
    let start = Instant::now();
    pool.outcomes(0..TASKS, make).into_iter().enumerate().for_each(|(index, it)| check(index, it));
    pool.map_iter(0..TASKS, make).enumerate().for_each(|(index, it)| check(index, it));
    // Which of them is seen first is open.
    let error = pool.map(0..TASKS, make).unwrap_err();
    check(error.index(), Err(error));
    for index in [3, 7] {
        let task = pool.submit(index, make).unwrap();
        task.wait_timeout(LONG).unwrap();
        let error = task.join().unwrap_err();
        assert!(matches!(error.kind(), TaskErrorKind::Decode(_)), "{error}");
    }
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    pool_is_whole(&pool);
}
