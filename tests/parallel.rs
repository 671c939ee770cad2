//! `Parallel`: contexts, backends, settings, and what a user sees.

mod common;

use std::{
    cell::Cell,
    collections::BTreeSet,
    mem, process,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use common::{
    command, play,
    workers::{bounded, has},
};
use commons::{
    Backend, Parallel, ProgressLine, Shareable, Shared, TaskErrorKind, Value, delayed, sync::Versioned,
};

commons::init_in_tests!();

#[test]
fn role() {
    play(&[("shown", shown)]);
}

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

/// Twice, by one function or another.
fn twice(n: u32) -> commons::Delayed<u32> {
    match n % 3 {
        0 => delayed(|n: u32| n * 2, n),
        1 => delayed(|(n, m): (u32, u32)| n + m, (n, n)),
        _ => delayed(|text: String| text.parse::<u32>().unwrap() * 2, n.to_string()),
    }
}

#[test]
fn different_functions_have_what_one_has() {
    let _bounded = bounded("different_functions_have_what_one_has");
    // In groups: of each function, and across them.
    for parallel in [Parallel::new(), Parallel::new().chunk(7), Parallel::new().backend(Backend::threads())] {
        let grouped = (0..3000).map(|n| twice(if n % 100 < 50 { n / 100 * 3 } else { n }));
        let results = parallel.clone().jobs(2).run(grouped).unwrap();
        let twice = |n: u32| if n % 100 < 50 { n / 100 * 6 } else { n * 2 };
        assert!(results.into_iter().eq((0..3000).map(twice)));
    }
    let tries = Value::new(0u32).unwrap();
    let aborts_once = |tries: Value<u32>| {
        let tries = tries.update(|tries| mem::replace(tries, *tries + 1));
        if tries == 0 { process::abort() } else { tries }
    };
    let calls = (0..20).map(|n| if n == 5 { delayed(aborts_once, tries.clone()) } else { twice(n) });
    assert_eq!(Parallel::new().jobs(2).retries(1).run(calls).unwrap()[4..7], [8, 1, 12]);
}

#[test]
fn a_call_that_is_late_is_given_up_whatever_its_function() {
    let _bounded = bounded("a_call_that_is_late_is_given_up_whatever_its_function");
    let never_ends = |_: String| -> u32 {
        loop {
            std::thread::park();
        }
    };
    for backend in [Backend::processes(), Backend::threads()] {
        let calls = [twice(1), delayed(never_ends, String::new()), twice(2)];
        let parallel = Parallel::new().jobs(2).backend(backend).timeout(Duration::from_millis(300));
        let error = parallel.run(calls).unwrap_err();
        assert_eq!((error.index(), error.kind()), (1, &TaskErrorKind::TimedOut));
    }
}

fn shown() {
    Parallel::new().jobs(2).verbose(11).progress(true).run((0..4).map(twice)).unwrap();
}

#[test]
fn calls_are_shown_whatever_their_function() {
    let _bounded = bounded("calls_are_shown_whatever_their_function");
    let output = command("shown").stderr(process::Stdio::piped()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    has(
        &told,
        &["with 2 concurrent workers.", "Done 1 out of 4 |", "Done 4 out of 4 | elapsed: ", "finished"],
    );
    has(&told, &["4 of 4, 100%"]);
}

#[test]
fn calls_are_taken_a_bounded_number_ahead_and_called_off() {
    let _bounded = bounded("calls_are_taken_a_bounded_number_ahead_and_called_off");
    for backend in [Backend::processes(), Backend::threads(), Backend::sequential()] {
        let taken = Cell::new(0);
        let fails_late = |n: u32| if n < 10 { n } else { panic!("late") };
        let calls = (0..100_000u32).inspect(|_| taken.set(taken.get() + 1));
        let calls = calls.map(|n| if n % 2 == 0 { twice(n % 10) } else { delayed(fails_late, n) });
        let parallel = Parallel::new().jobs(2).backend(backend.clone()).max_look_ahead(2);
        has(parallel.run(calls).unwrap_err(), &["late"]);
        assert!(taken.get() < 1000, "{backend:?}: {} taken", taken.get());
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Runs nothing before it is told to.
#[derive(Clone, Default)]
struct Later(Arc<Mutex<Vec<Job>>>);

impl commons::Executor for Later {
    fn workers(&self) -> usize {
        2
    }

    fn execute(&self, task: Job) {
        self.0.lock().unwrap().push(task);
    }
}

#[test]
fn an_input_of_calls_that_panics_ends_with_an_error_and_nothing_begins_then() {
    let _bounded = bounded("an_input_of_calls_that_panics_ends_with_an_error_and_nothing_begins_then");
    let ran = Value::new(0u32).unwrap();
    let count = |ran: Value<u32>| ran.update(|ran| *ran += 1);
    let later = Later::default();
    for backend in [Backend::custom(later.clone()).unwrap(), Backend::processes()] {
        let calls = (0..60).map(|n| match n {
            0..5 => delayed(count, ran.clone()),
            _ => panic!("no more"),
        });
        let error = Parallel::new().jobs(2).backend(backend).run(calls).unwrap_err();
        assert_eq!(error.index(), 5);
        has(error, &["task 5 panicked at ", "parallel.rs:", "no more"]);
        if !later.0.lock().unwrap().is_empty() {
            mem::take(&mut *later.0.lock().unwrap()).into_iter().for_each(|task| task());
            assert_eq!(ran.get(), 0);
        }
    }
}
