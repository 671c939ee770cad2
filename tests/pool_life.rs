//! Pools from their beginning to their end: how they end, what a call that is given up leaves, and who
//! comes and goes meanwhile.

mod common;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::atomic::{AtomicUsize, Ordering::*},
    thread,
    time::{Duration, Instant},
};

use common::{
    Peer, eventually, play,
    processes::{children, is_gone, resident},
    say,
    workers::{LONG, Stage, await_stage, bounded, has},
};
use commons::{AtomicArray, Exit, Message, Pool, Task, TaskError, TaskErrorKind, Value};

commons::init_in_tests!();

const SOON: Duration = Duration::from_secs(2);

#[test]
fn role() {
    play(&[("endless", endless)]);
}

fn park<T>() -> T {
    loop {
        thread::park();
    }
}

/// A task counts that it runs, waits for the gate to open, and counts that it ends.
#[derive(Clone)]
struct Gate {
    open: Stage,
    begun: Stage,
    ended: Stage,
}

type Gated = (u32, (Stage, Stage, Stage));

impl Gate {
    fn new() -> Self {
        let [open, begun, ended] = [0; 3].map(|zero| Value::new(zero).unwrap());
        Self { open, begun, ended }
    }

    fn item(&self, n: u32) -> Gated {
        (n, (self.open.clone(), self.begun.clone(), self.ended.clone()))
    }

    fn items(&self, count: u32) -> impl Iterator<Item = Gated> + use<> {
        let gate = self.clone();
        (0..count).map(move |n| gate.item(n))
    }
}

fn pass((n, (open, begun, ended)): Gated) -> u32 {
    begun.update(|begun| *begun += 1);
    await_stage(&open, 1);
    ended.update(|ended| *ended += 1);
    n
}

fn was_called_off<T: std::fmt::Debug>(outcome: Result<T, TaskError>) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), &TaskErrorKind::Cancelled, "{error}");
}

/// What had begun was killed, with one of two workers, and the rest was called off.
fn ended_with_the_pool<R: Message + std::fmt::Debug>(tasks: Vec<Task<R>>) {
    let kind = |task: Task<R>| task.join().unwrap_err().kind().clone();
    let (killed, rest): (Vec<_>, Vec<_>) =
        tasks.into_iter().map(kind).partition(|kind| *kind == TaskErrorKind::Exit(Exit::Signal(9)));
    assert!(killed.len() <= 2, "{killed:?}");
    assert!(rest.into_iter().all(|kind| kind == TaskErrorKind::Cancelled));
}

#[test]
fn terminating_ends_workers_and_tasks_whatever_waits() {
    let _bounded = bounded("terminating_ends_workers_and_tasks_whatever_waits");
    let pool = Pool::new(2).unwrap();
    let tasks: Vec<_> = (0..10_000u32).map(|n| pool.submit(n, |_| park::<u32>()).unwrap()).collect();
    let ids = pool.ids();
    let start = Instant::now();
    pool.terminate();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert!(ids.into_iter().all(is_gone));
    assert_eq!(pool.ids(), [0; 0]);
    assert!(tasks.iter().all(Task::is_finished));
    ended_with_the_pool(tasks);
    let start = Instant::now();
    pool.terminate();
    pool.shutdown().unwrap();
    pool.cancel().unwrap();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn a_pool_that_is_shut_down_takes_nothing_and_says_so() {
    let _bounded = bounded("a_pool_that_is_shut_down_takes_nothing_and_says_so");
    for pool in [Pool::new(2).unwrap(), Pool::threads(2).unwrap()] {
        let last = pool.submit(4u32, |n| n * n).unwrap();
        pool.shutdown().unwrap();
        pool.shutdown().unwrap();
        assert_eq!(last.join().unwrap(), 16);
        has(pool.submit(1u32, |n| n).unwrap_err(), &["shut down"]);
        has(pool.map(0..3u32, |n| n).unwrap_err(), &["task 0", "shut down"]);
        has(pool.try_map(0..3u32, Ok).unwrap_err(), &["task 0", "shut down"]);
        let outcomes = pool.outcomes(0..3u32, |n| n);
        assert!(outcomes.len() == 3 && outcomes.iter().all(Result::is_err), "{outcomes:?}");
        has(outcomes[0].as_ref().unwrap_err(), &["task 0", "shut down"]);
        let mut iter = pool.map_iter(0u32.., |n| n);
        has(iter.next().unwrap().unwrap_err(), &["task 0", "shut down"]);
        assert!(iter.next().is_none() && iter.next().is_none());
        let mut unordered = pool.map_unordered(0u32.., |n| n);
        has(unordered.next().unwrap().unwrap_err(), &["task 0", "shut down"]);
        assert!(unordered.next().is_none());
        assert_eq!(pool.map(Vec::<u32>::new(), |n| n).unwrap(), []);
    }
}

#[test]
fn a_shutdown_waits_for_all_tasks() {
    let _bounded = bounded("a_shutdown_waits_for_all_tasks");
    let (pool, gate) = (Pool::new(2).unwrap(), Gate::new());
    let tasks: Vec<_> = gate.items(100).map(|item| pool.submit(item, pass).unwrap()).collect();
    let ids = pool.ids();
    thread::scope(|scope| {
        let first = scope.spawn(|| pool.shutdown());
        let second = scope.spawn(|| pool.shutdown());
        eventually("the pool takes no more", || pool.submit(0, |n: u32| n).is_err());
        assert!(!first.is_finished() && !second.is_finished());
        gate.open.set(1);
    });
    assert_eq!(gate.ended.get(), 100);
    assert!(ids.into_iter().all(is_gone));
    assert!(tasks.into_iter().map(|task| task.join().unwrap()).eq(0..100));
}

#[test]
fn a_pool_that_is_dropped_finishes_its_tasks() {
    let _bounded = bounded("a_pool_that_is_dropped_finishes_its_tasks");
    let gate = Gate::new();
    let pool = Pool::new(2).unwrap();
    let tasks: Vec<_> = gate.items(50).map(|item| pool.submit(item, pass).unwrap()).collect();
    let opener = thread::spawn({
        let gate = gate.clone();
        move || {
            await_stage(&gate.begun, 2);
            gate.open.set(1);
        }
    });
    drop(pool);
    assert_eq!((gate.begun.get(), gate.ended.get()), (50, 50));
    assert!(tasks.into_iter().map(|task| task.join().unwrap()).eq(0..50));
    opener.join().unwrap();
}

#[test]
fn a_pool_that_is_dropped_by_a_panic_kills_its_workers() {
    let _bounded = bounded("a_pool_that_is_dropped_by_a_panic_kills_its_workers");
    let gate = Gate::new();
    let (mut tasks, mut ids, start) = (Vec::new(), Vec::new(), Instant::now());
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let pool = Pool::new(2).unwrap();
        tasks.extend(gate.items(50).map(|item| pool.submit(item, pass).unwrap()));
        ids = pool.ids();
        await_stage(&gate.begun, 2);
        panic!("on purpose");
    }));
    assert!(unwound.is_err() && start.elapsed() < SOON, "{:?}", start.elapsed());
    assert!(ids.len() == 2 && ids.into_iter().all(is_gone));
    ended_with_the_pool(tasks);
    assert_eq!(gate.ended.get(), 0);
}

#[test]
fn cancelling_finishes_what_runs_and_calls_off_what_waits() {
    let _bounded = bounded("cancelling_finishes_what_runs_and_calls_off_what_waits");
    for pool in [Pool::new(2).unwrap(), Pool::threads(2).unwrap()] {
        let gate = Gate::new();
        let tasks: Vec<_> = gate.items(100).map(|item| pool.submit(item, pass).unwrap()).collect();
        await_stage(&gate.begun, 2);
        thread::scope(|scope| {
            let canceller = scope.spawn(|| pool.cancel().unwrap());
            eventually("the pool takes no more", || pool.submit(0, |n: u32| n).is_err());
            assert!(!canceller.is_finished());
            gate.open.set(1);
        });
        assert_eq!((gate.begun.get(), gate.ended.get()), (2, 2), "{pool:?}");
        let (done, off): (Vec<_>, Vec<_>) = tasks.into_iter().map(Task::join).partition(Result::is_ok);
        assert_eq!(done, [Ok(0), Ok(1)]);
        off.into_iter().for_each(was_called_off);
    }
}

#[test]
fn cancelling_calls_off_the_rest_of_groups() {
    let _bounded = bounded("cancelling_calls_off_the_rest_of_groups");
    let (pool, gate) = (Pool::builder().workers(2).chunk(20).build().unwrap(), Gate::new());
    thread::scope(|scope| {
        let outcomes = scope.spawn(|| pool.outcomes(gate.items(100), pass));
        await_stage(&gate.begun, 2);
        let canceller = scope.spawn(|| pool.cancel().unwrap());
        eventually("the pool takes no more", || pool.submit(0, |n: u32| n).is_err());
        assert!(!canceller.is_finished());
        gate.open.set(1);
        canceller.join().unwrap();
        let outcomes = outcomes.join().unwrap();
        assert_eq!(gate.ended.get(), gate.begun.get());
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), gate.ended.get() as usize);
        assert!(gate.ended.get() <= 4, "{} tasks began", gate.ended.get());
    });
}

#[test]
fn a_task_that_waits_can_be_called_off_and_one_that_runs_goes_on() {
    let _bounded = bounded("a_task_that_waits_can_be_called_off_and_one_that_runs_goes_on");
    for pool in [Pool::new(1).unwrap(), Pool::threads(1).unwrap()] {
        let gate = Gate::new();
        let mut tasks: Vec<_> = gate.items(50).map(|item| pool.submit(item, pass).unwrap()).collect();
        await_stage(&gate.begun, 1);
        assert!(!tasks[0].cancel(), "it runs");
        let last = tasks.pop().unwrap();
        assert!(last.cancel(), "it waits");
        assert!(last.wait_timeout(LONG).is_ok() && last.is_finished());
        was_called_off(last.join());
        assert!(!tasks[0].is_finished());
        assert!(tasks[0].wait_timeout(Duration::from_millis(1)).is_err());
        gate.open.set(1);
        assert!(tasks.into_iter().map(|task| task.join().unwrap()).eq(0..49));
        assert_eq!(gate.begun.get(), 49, "it never ran");
        let done = pool.submit(0u8, |n| n).unwrap();
        done.wait_timeout(LONG).unwrap();
        assert!(!done.cancel(), "it is done");
        assert_eq!(done.join().unwrap(), 0);
    }
}

#[test]
fn results_that_nobody_reads_any_more_are_not_computed() {
    let _bounded = bounded("results_that_nobody_reads_any_more_are_not_computed");
    let pool = Pool::builder().workers(2).chunk(10).build().unwrap();
    let ran = Value::new(0u32).unwrap();
    for unordered in [false, true] {
        let (gate, pulled) = (Gate::new(), AtomicUsize::new(0));
        let items = gate.items(u32::MAX).inspect(|_| _ = pulled.fetch_add(1, Relaxed));
        if unordered {
            let results = pool.map_unordered(items, pass);
            await_stage(&gate.begun, 2);
            drop(results);
        } else {
            let results = pool.map_iter(items, pass);
            await_stage(&gate.begun, 2);
            drop(results);
        }
        gate.open.set(1);
        // The next call runs behind all that was left.
        assert_eq!(pool.map(0..100u32, |n| n).unwrap().len(), 100);
        eventually("what had begun has ended", || gate.ended.get() == 2);
        assert_eq!(gate.begun.get(), 2, "of {} that were handed out", pulled.load(Relaxed));
        assert!(pulled.load(Relaxed) <= 200, "{} were handed out", pulled.load(Relaxed));
    }
    let first: Vec<u64> = pool.map_iter(0u64.., |n| n).take(3).map(Result::unwrap).collect();
    assert_eq!((first, ran.get()), (vec![0, 1, 2], 0));
}

/// So many tasks of an input that has no end: memory does not grow.
fn endless() {
    const TASKS: u64 = 1_000_000;
    let _bounded = bounded("endless");
    // Groups of a given size; and groups that grow first, until there are six of the largest.
    let given = Pool::builder().workers(2).chunk(100).build().unwrap();
    takes_no_more(&given, TASKS / 10, TASKS, 2 << 20);
    takes_no_more(&Pool::new(2).unwrap(), TASKS, 2 * TASKS, 64 << 20);
    drop(given);
    assert_eq!(children(), [0; 0]);
}

fn takes_no_more(pool: &Pool, first: u64, all: u64, most: u64) {
    for unordered in [false, true] {
        let square = |n: u64| n * n;
        let mut results: Box<dyn Iterator<Item = _>> = if unordered {
            Box::new(pool.map_unordered(0u64.., square))
        } else {
            Box::new(pool.map_iter(0u64.., square))
        };
        let mut take = |tasks: u64| {
            let taken = results.by_ref().take(tasks as usize);
            taken.map(Result::unwrap).fold(0, u64::wrapping_add)
        };
        let (start, early) = (Instant::now(), take(first));
        let before = resident();
        let sum = early.wrapping_add(take(all - first));
        drop(results);
        let grown = resident().saturating_sub(before);
        say(format_args!("{all} tasks in {:?}: {} KiB more", start.elapsed(), grown >> 10));
        assert!(grown < most, "{} KiB more after {all} tasks", grown >> 10);
        if !unordered {
            assert_eq!(sum, (0..all).fold(0u64, |sum, n| sum.wrapping_add(n * n)));
        }
    }
}

#[test]
fn an_endless_input_takes_bounded_memory() {
    assert!(Peer::new("endless", &[]).ends_well_at_last());
}

#[test]
fn an_input_is_taken_a_bounded_number_ahead() {
    let _bounded = bounded("an_input_is_taken_a_bounded_number_ahead");
    for pool in [Pool::new(2).unwrap(), Pool::threads(2).unwrap()] {
        let (gate, pulled) = (Gate::new(), AtomicUsize::new(0));
        let items = gate.items(u32::MAX).inspect(|_| _ = pulled.fetch_add(1, Relaxed));
        let mut results = pool.map_iter(items, pass);
        await_stage(&gate.begun, 2);
        assert!(pulled.load(Relaxed) <= 6, "{} while the first run", pulled.load(Relaxed));
        gate.open.set(1);
        assert_eq!(results.next().unwrap().unwrap(), 0);
        assert!(pulled.load(Relaxed) <= 3000, "{}", pulled.load(Relaxed));
    }
}

#[test]
fn a_worker_leaves_after_its_tasks() {
    let _bounded = bounded("a_worker_leaves_after_its_tasks");
    for chunk in [1, 2, 10] {
        let pool = Pool::builder().workers(1).recycle_after(3).chunk(chunk).build().unwrap();
        let runs = AtomicArray::new(10).unwrap();
        let tasks = (0..10usize).map(|n| (n, runs.clone()));
        let pids = pool.map(tasks, |(n, runs): (usize, AtomicArray<u32>)| {
            runs.fetch_add(n, 1);
            process::id()
        });
        let pids = pids.unwrap();
        assert_eq!(pids.iter().collect::<BTreeSet<_>>().len(), 4, "groups of {chunk}: {pids:?}");
        // What a worker leaves of a group may have to wait for its turn.
        let of = |pid| pids.iter().filter(|&other| other == pid).count();
        assert!(pids.iter().all(|pid| of(pid) <= 3), "groups of {chunk}: {pids:?}");
        assert_eq!(runs.to_vec(), [1; 10], "groups of {chunk}");
    }
}

#[test]
fn a_pool_outlives_the_thread_that_made_it() {
    let _bounded = bounded("a_pool_outlives_the_thread_that_made_it");
    let made = thread::spawn(|| {
        let pool = Pool::new(2).unwrap();
        let task = pool.submit((), |()| process::id()).unwrap();
        task.wait_timeout(LONG).unwrap();
        (pool, task)
    });
    let (pool, task) = made.join().unwrap();
    let ids = pool.ids();
    assert!(ids.contains(&task.join().unwrap()));
    for _ in 0..50 {
        let pids = pool.map(0..20u32, |_| process::id()).unwrap();
        assert!(pids.iter().all(|pid| ids.contains(pid)), "{pids:?} are not {ids:?}");
    }
    assert_eq!(pool.ids(), ids);
}

#[test]
fn idle_workers_leave_and_come_back() {
    let _bounded = bounded("idle_workers_leave_and_come_back");
    let pool = Pool::builder().workers(2).idle_timeout(Duration::from_millis(50)).build().unwrap();
    let mut seen = BTreeSet::new();
    for round in 0..3u32 {
        assert!(pool.map(0..100u32, |n| n + 1).unwrap().into_iter().eq(1..=100));
        assert_eq!(pool.submit(round, |n| n).unwrap().join().unwrap(), round);
        seen.extend(pool.ids());
        eventually("idle workers have left", || pool.ids().is_empty());
    }
    assert!(seen.len() >= 3, "{seen:?}");
    let start = Instant::now();
    pool.shutdown().unwrap();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn many_threads_use_one_pool() {
    let _bounded = bounded("many_threads_use_one_pool");
    let pool = Pool::new(2).unwrap();
    thread::scope(|scope| {
        for lane in 0..8u64 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..10 {
                    let base = lane * 1000 + round;
                    let sums = pool.map((0..50).map(|n| (base, n)), |(base, n)| base + n).unwrap();
                    assert!(sums.into_iter().eq(base..base + 50));
                    let error = pool.map(0..9u64, |n| assert_ne!(n, 5)).unwrap_err();
                    assert_eq!(error.index(), 5);
                }
            });
        }
    });
}
