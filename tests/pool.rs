//! Pools: results, order, errors and what a death costs.

use std::{
    collections::BTreeSet,
    process,
    time::{Duration, Instant},
};

use commons::{Exit, Failure, Pool, TaskErrorKind, Value};
use rustix::process::{Resource, Rlimit, setrlimit};

commons::init_in_tests!();

fn park<T>() -> T {
    loop {
        std::thread::park();
    }
}

#[test]
fn results_come_in_the_order_of_the_input() {
    let pool = Pool::new(2).unwrap();
    let squares = pool.map(0..10_000u64, |n| n * n).unwrap();
    assert!(squares.into_iter().eq((0..10_000).map(|n| n * n)));
    let texts = pool.map(vec!["a".to_owned(), "bc".to_owned()], |text| text + "!").unwrap();
    assert_eq!(texts, ["a!", "bc!"]);
    assert_eq!(pool.map(Vec::<u8>::new(), |n| n).unwrap(), []);
    let iter = pool.map_iter(0..1000u32, |n| n + 1);
    assert!(iter.map(Result::unwrap).eq(1..=1000));
    let unordered: BTreeSet<u32> = pool.map_unordered(0..1000u32, |n| n).map(Result::unwrap).collect();
    assert_eq!(unordered.len(), 1000);
}

#[test]
fn the_first_error_ends_a_map_and_outcomes_has_all() {
    let pool = Pool::new(2).unwrap();
    let divide = |n: u32| -> Result<u32, Failure> {
        12u32.checked_div(n).ok_or_else(|| Failure::new("division by nothing"))
    };
    let error = pool.try_map(0..100, divide).unwrap_err();
    assert_eq!(error.index(), 0);
    assert!(error.to_string().contains("division by nothing"), "{error}");
    let outcomes = pool.outcomes(0..4u32, |n| if n % 2 == 1 { panic!("odd: {n}") } else { n });
    assert_eq!((&outcomes[0], &outcomes[2]), (&Ok(0), &Ok(2)));
    for odd in [1, 3] {
        let error = outcomes[odd].as_ref().unwrap_err();
        assert_eq!(error.index(), odd);
        let TaskErrorKind::Panicked { message, location, backtrace } = error.kind() else {
            panic!("{error}")
        };
        assert_eq!(message, &format!("odd: {odd}"));
        assert!(location.contains("pool.rs:") && !backtrace.is_empty());
        assert!(error.worker().is_some_and(|id| id != process::id()));
    }
}

#[test]
fn a_death_costs_one_task() {
    let pool = Pool::builder().workers(2).chunk(10).build().unwrap();
    let ran = Value::new(0u64).unwrap();
    let tasks = (0..100u32).map(|n| (n, ran.clone()));
    let outcomes = pool.outcomes(tasks, |(n, ran)| {
        ran.update(|ran| *ran += 1);
        match n {
            7 => process::exit(3),
            33 => process::abort(),
            _ => n,
        }
    });
    for (n, outcome) in (0..).zip(&outcomes) {
        match n {
            7 | 33 => {
                let exit = if n == 7 { Exit::Code(3) } else { Exit::Signal(6) };
                assert_eq!(outcome.as_ref().unwrap_err().kind(), &TaskErrorKind::Exit(exit));
            }
            _ => assert_eq!(outcome, &Ok(n)),
        }
    }
    assert_eq!(ran.get(), 100, "each ran once");
    assert_eq!(pool.map(0..10u32, |n| n).unwrap().len(), 10, "the pool is as it was");
}

#[test]
fn a_late_task_is_killed_alone() {
    let pool = Pool::builder().workers(2).chunk(5).timeout(Duration::from_millis(300)).build().unwrap();
    let outcomes = pool.outcomes(0..20u32, |n| if n == 3 { park() } else { n });
    for (n, outcome) in (0..).zip(outcomes) {
        match n {
            3 => assert_eq!(outcome.unwrap_err().kind(), &TaskErrorKind::TimedOut),
            _ => assert_eq!(outcome, Ok(n)),
        }
    }
}

#[test]
fn terminating_is_quick_whatever_waits() {
    let pool = Pool::new(2).unwrap();
    let tasks: Vec<_> = (0..10_000u32)
        .map(|n| {
            pool.submit(n, |_| -> u32 {
                loop {
                    std::thread::park()
                }
            })
            .unwrap()
        })
        .collect();
    let begin = Instant::now();
    pool.terminate();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert!(tasks.into_iter().all(|task| task.join().is_err()));
    let refused = pool.submit(1, |n: u32| n).unwrap_err();
    assert!(refused.to_string().contains("shut down"), "{refused}");
    let error = pool.map(0..3, |n: u32| n).unwrap_err();
    assert!(error.to_string().contains("task 0") && error.to_string().contains("shut down"), "{error}");
}

#[test]
fn what_had_begun_is_told_from_what_had_not() {
    let pool = Pool::new(1).unwrap();
    let begun = Value::new(0u32).unwrap();
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let task = |begun: Value<u32>| {
                begun.update(|begun| *begun += 1);
                park::<()>()
            };
            pool.submit(begun.clone(), task).unwrap()
        })
        .collect();
    begun.wait_until(|&begun| begun == 1);
    pool.terminate();
    let kinds: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap_err().kind().clone()).collect();
    let cancelled = TaskErrorKind::Cancelled;
    assert_eq!(kinds, [TaskErrorKind::Exit(Exit::Signal(9)), cancelled.clone(), cancelled]);
    assert_eq!(begun.get(), 1);
}

#[test]
fn memory_that_runs_out_is_told_from_other_aborts() {
    let pool = Pool::new(1).unwrap();
    let outcomes = pool.outcomes(0..3u32, |n| {
        let core = Rlimit { current: Some(0), maximum: Some(0) };
        setrlimit(Resource::Core, core).unwrap();
        if n == 1 {
            let limit = Rlimit { current: Some(1 << 30), maximum: Some(1 << 30) };
            setrlimit(Resource::As, limit).unwrap();
            return std::hint::black_box(vec![1u8; 1 << 31]).len();
        }
        if n == 2 { process::abort() } else { 0 }
    });
    assert_eq!(outcomes[0], Ok(0));
    let kind = |n: usize| outcomes[n].as_ref().unwrap_err().kind().clone();
    assert_eq!(kind(1), TaskErrorKind::OutOfMemory(Exit::Signal(6)));
    assert_eq!(kind(2), TaskErrorKind::Exit(Exit::Signal(6)));
}
