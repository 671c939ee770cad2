//! `Parallel`: contexts, backends, settings, and what a user sees.

use std::{
    collections::BTreeSet,
    process,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use commons::{
    Backend, Parallel, ProgressLine, Shareable, Shared, TaskErrorKind, Value, delayed, sync::Versioned,
};

commons::init_in_tests!();

#[derive(Default, Shareable)]
#[repr(C)]
struct Census {
    files: AtomicU64,
    longest: Versioned<[u64; 2]>,
}

/// The first program of the design.
#[test]
fn a_counter_and_progress_of_ones_own() {
    let hits = Value::new(0u64).unwrap();
    let state = Shared::new(Census::default()).unwrap();
    let squares = Parallel::new()
        .progress_of(&state, |s| ProgressLine::new(s.files.load(Relaxed), 10_000))
        .with((hits.clone(), state.clone()))
        .map(0..10_000u64, |(hits, state), n| {
            hits.update(|h| *h += 1);
            state.files.fetch_add(1, Relaxed);
            state.longest.update(|[longest, _]| *longest = (*longest).max(n));
            n * n
        })
        .unwrap();
    assert_eq!((hits.get(), squares.len(), state.files.load(Relaxed)), (10_000, 10_000, 10_000));
    assert_eq!(state.longest.get()[0], 9_999);
}

#[test]
fn a_state_is_made_once_in_each_worker() {
    let made = Value::new(0u64).unwrap();
    let ids: BTreeSet<(u32, u32)> = Parallel::new()
        .jobs(2)
        .init((made.clone(), vec![7u8; 10_000]), |(made, bytes)| {
            made.update(|made| *made += 1);
            assert_eq!(bytes.len(), 10_000);
            (process::id(), 0u32)
        })
        .map_unordered(0..500u32, |(id, count), _| {
            *count += 1;
            (*id, *count)
        })
        .map(Result::unwrap)
        .collect();
    assert_eq!(ids.len(), 500, "each worker counts on in its own state");
    assert!((1..=2).contains(&made.get()));
}

#[test]
fn a_state_that_cannot_be_made_is_told_for_each_task() {
    let outcomes =
        Parallel::new().jobs(2).init((), |()| -> u8 { panic!("no model") }).outcomes(0..3u32, |_, n| n);
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let error = outcome.unwrap_err();
        assert_eq!(error.index(), n);
        assert!(error.to_string().contains("no model"), "{error}");
    }
}

#[test]
fn all_backends_give_the_same() {
    struct Each;
    impl commons::Executor for Each {
        fn workers(&self) -> usize {
            3
        }
        fn execute(&self, task: Box<dyn FnOnce() + Send>) {
            std::thread::spawn(task);
        }
    }
    let backends =
        [Backend::processes(), Backend::threads(), Backend::sequential(), Backend::custom(Each).unwrap()];
    for backend in backends {
        let parallel = || Parallel::new().jobs(2).backend(backend.clone());
        let sums = parallel().with(10u64).map(0..200u64, |ten, n| ten + n).unwrap();
        assert!(sums.into_iter().eq(10..210), "{backend:?}");
        let error = parallel().map(0..9u32, |n| assert_ne!(n, 4, "four")).unwrap_err();
        assert_eq!(error.index(), 4, "{backend:?}: {error}");
        assert!(error.to_string().contains("parallel.rs:"), "{backend:?}: {error}");
        let mut items = 0u64..;
        let first: Vec<u64> = parallel()
            .init(1u64, |one| one)
            .map_iter(items.by_ref(), |one, n| n + *one)
            .take(5)
            .map(Result::unwrap)
            .collect();
        assert_eq!(first, [1, 2, 3, 4, 5]);
        assert!(items.next().unwrap() < 10_000, "{backend:?} takes a bounded number ahead");
        let all =
            parallel().run([delayed(|n: u32| n as usize, 3), delayed(|s: String| s.len(), "ab".into())]);
        assert_eq!(all.unwrap(), [3, 2]);
        assert_eq!(parallel().reduce(0..1000u64, |n| n, 0, |a, b| a + b).unwrap(), 499_500);
        let fails = |n: u64| if n == 250 { panic!("on purpose") } else { n };
        let error = parallel().chunk(100).reduce(0..1000, fails, 0, |a, b| a + b).unwrap_err();
        assert_eq!(error.index(), 200, "the first item of its group");
    }
}

#[test]
fn what_makes_no_sense_is_told_with_the_task() {
    let none = Parallel::new().jobs(0).map(0..3, |n: u32| n).unwrap_err();
    assert!(none.to_string().contains("task 0"), "{none}");
    let input = (0..10u32).inspect(|&n| assert!(n < 3, "no more"));
    let outcomes = Parallel::new().jobs(2).outcomes(input, |n| n);
    assert_eq!(outcomes.len(), 4);
    assert_eq!(outcomes[..3], [Ok(0), Ok(1), Ok(2)]);
    let error = outcomes[3].as_ref().unwrap_err();
    assert!(error.index() == 3 && error.to_string().contains("no more"), "{error}");
}

#[test]
fn a_task_that_kills_its_worker_runs_again() {
    let tries = Value::new(0u32).unwrap();
    let results = Parallel::new()
        .jobs(2)
        .retries(2)
        .with(tries.clone())
        .map(0..20u32, |tries, n| {
            if n == 5
                && tries.update(|tries| {
                    *tries += 1;
                    *tries
                }) < 3
            {
                process::abort();
            }
            n
        })
        .unwrap();
    assert!(results.into_iter().eq(0..20));
    assert_eq!(tries.get(), 3);
    let late = Parallel::new().jobs(2).timeout(Duration::from_millis(200)).outcomes(0..4u32, |n| {
        if n == 2 {
            loop {
                std::thread::park();
            }
        }
        n
    });
    assert_eq!(late[2].as_ref().unwrap_err().kind(), &TaskErrorKind::TimedOut);
    assert_eq!(late[3], Ok(3));
}

#[test]
fn a_late_thread_is_left_alone() {
    let threads = Parallel::new().jobs(2).backend(Backend::threads()).timeout(Duration::from_millis(100));
    let outcomes = threads.outcomes(0..6u32, |n| {
        if n == 1 {
            loop {
                std::thread::park();
            }
        }
        n
    });
    for (n, outcome) in (0..).zip(outcomes) {
        match n {
            1 => assert_eq!(outcome.unwrap_err().kind(), &TaskErrorKind::TimedOut),
            _ => assert_eq!(outcome, Ok(n)),
        }
    }
}

#[test]
fn calls_in_calls_make_no_more_processes() {
    let inner = Parallel::new().jobs(2).map(0..4u32, |n| {
        let ids = Parallel::new().map(0..5u32, |_| process::id()).unwrap();
        (n, ids.into_iter().all(|id| id == process::id()))
    });
    assert!(inner.unwrap().into_iter().all(|(_, same)| same));
}
