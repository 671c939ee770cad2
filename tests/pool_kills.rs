//! Workers, and whole programs with their workers, are killed at random moments: every result is there
//! once and right, nothing hangs, and nothing is left.
//!
//! `COMMONS_KILLS` says how many workers are killed (1000), `COMMONS_SEED` repeats choices.

mod common;

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::*},
    thread,
    time::{Duration, Instant},
};

use common::{
    Directory, Peer,
    chance::{Chance, number, seed},
    eventually, play,
    processes::{children, is_gone, kill_child},
    say,
    watchdog::{Watchdog, watchdog},
};
use commons::{AtomicArray, Exit, Pool, PoolBuilder, TaskError, TaskErrorKind};

commons::init_in_tests!();

/// So many tasks are done for each kill.
const TASKS_PER_KILL: usize = 100;

const WORKERS: usize = 3;

#[test]
fn role() {
    play(&[("retried", retried), ("untried", untried), ("sudden", sudden), ("busy", busy)]);
}

fn kills() -> usize {
    number("COMMONS_KILLS", 1000) as usize
}

fn bounded(test: &'static str) -> Watchdog {
    watchdog(test, Duration::from_millis(60_000 + 100 * kills() as u64))
}

/// What a task does: it counts its beginning and its end.
fn work((task, runs): (u32, AtomicArray<u32>)) -> (u32, u64) {
    runs.fetch_add(2 * task as usize, 1);
    // Now and then one takes longer than a kill takes to arrive.
    let looks = if task.is_multiple_of(64) { 20_000 } else { task % 200 };
    let sum = (0..u64::from(looks)).fold(0, |sum, n| std::hint::black_box(sum + n));
    runs.fetch_add(2 * task as usize + 1, 1);
    (task, sum)
}

fn result(task: u32) -> (u32, u64) {
    let looks: u64 = if task.is_multiple_of(64) { 20_000 } else { (task % 200).into() };
    (task, looks * looks.saturating_sub(1) / 2)
}

/// Kills workers while `seen` tasks are done, until there were enough kills or `over`; how many.
fn kill_at_random(
    pool: &Pool,
    kills: usize,
    chance: &mut Chance,
    seen: &AtomicUsize,
    over: &AtomicBool,
) -> usize {
    let mut killed = 0;
    while killed < kills && !over.load(Relaxed) {
        if seen.load(Relaxed) < killed * TASKS_PER_KILL {
            thread::sleep(Duration::from_micros(50));
            continue;
        }
        thread::sleep(Duration::from_micros(chance.below(300) as u64));
        let mut ids = pool.ids();
        chance.shuffle(&mut ids);
        // Now and then all of them die together.
        ids.truncate(if chance.one_in(8) { WORKERS } else { 1 });
        killed += ids.into_iter().filter(|&id| kill_child(id)).count();
    }
    killed
}

/// Tasks under fire: how often each began and ended, what it gave, and how many workers were killed.
struct Battle {
    runs: AtomicArray<u32>,
    outcomes: Vec<Option<Result<(u32, u64), TaskError>>>,
    killed: usize,
}

fn fight(name: &'static str, kills: usize, pool: &PoolBuilder) -> Battle {
    let _bounded = bounded(name);
    let tasks = kills * TASKS_PER_KILL;
    let runs = AtomicArray::create("runs", 2 * tasks).unwrap();
    let mut chance = Chance::new(seed(name));
    let (seen, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut outcomes = vec![None; tasks];
    let pool = pool.build().unwrap();
    let start = Instant::now();
    let killed = thread::scope(|scope| {
        let killer = scope.spawn(|| kill_at_random(&pool, kills, &mut chance, &seen, &over));
        let items = (0..tasks as u32).map(|task| (task, runs.clone()));
        for outcome in pool.map_unordered(items, work) {
            let task = outcome.as_ref().map_or_else(TaskError::index, |(task, _)| *task as usize);
            assert!(outcomes[task].replace(outcome).is_none(), "two results of task {task}");
            seen.fetch_add(1, Relaxed);
        }
        over.store(true, Relaxed);
        killer.join().unwrap()
    });
    say(format_args!("{name}: {killed} workers killed in {tasks} tasks, {:?}", start.elapsed()));
    assert!(killed >= kills * 9 / 10, "only {killed} of {kills} workers were killed");
    assert_eq!(pool.map(0..10u8, |n| n).unwrap().len(), 10, "the pool is usable");
    pool.shutdown().unwrap();
    assert_eq!(children(), [], "no worker is left");
    Battle { runs, outcomes, killed }
}

/// In a process and a directory of its own, of which nothing is left.
fn alone(role: &str) {
    let directory = Directory::new(role);
    let peer = Peer::new(role, &[("COMMONS_DIR", directory.text())]);
    assert!(peer.ends_well_at_last(), "{role} failed");
    assert_eq!(directory.entries(), [""; 0]);
}

fn retried() {
    let battle = fight("retried", kills(), &Pool::builder().workers(WORKERS).retries(1000));
    let mut again = 0;
    for (task, outcome) in (0..).zip(battle.outcomes) {
        assert_eq!(outcome.expect("each task has a result").unwrap(), result(task));
        let [began, ended] = [0, 1].map(|step| battle.runs.load(2 * task as usize + step));
        assert!(ended >= 1 && began >= ended, "task {task} began {began} times and ended {ended} times");
        again += began - 1;
    }
    say(format_args!("retried: {again} tasks ran again"));
    assert!(again as usize <= battle.killed, "{again} tasks ran again after {} deaths", battle.killed);
}

#[test]
fn random_kills_lose_and_double_no_result() {
    alone("retried");
}

/// Without retries nothing runs twice, and each death costs one task at most.
fn untried() {
    let kills = kills() / 3;
    for pool in [Pool::builder().workers(WORKERS), Pool::builder().workers(WORKERS).chunk(16)] {
        let battle = fight("untried", kills, &pool);
        let mut lost = 0;
        for (task, outcome) in (0..).zip(battle.outcomes) {
            let [began, ended] = [0, 1].map(|step| battle.runs.load(2 * task as usize + step));
            let outcome = outcome.expect("each task has an outcome");
            assert!(began <= 1, "task {task} ran {began} times: {outcome:?}");
            match outcome {
                Ok(got) => assert_eq!((got, ended), (result(task), 1)),
                Err(error) => {
                    let killed = TaskErrorKind::Exit(Exit::Signal(9));
                    assert_eq!((error.index(), error.kind()), (task as usize, &killed), "{error}");
                    lost += 1;
                }
            }
        }
        say(format_args!("untried: {lost} tasks lost"));
        assert!(lost <= battle.killed, "{lost} tasks were lost with {} workers", battle.killed);
    }
}

#[test]
fn without_retries_nothing_runs_twice() {
    alone("untried");
}

/// The processes that the peer names, until it says that all are named.
fn named(peer: &mut Peer) -> Vec<u32> {
    std::iter::from_fn(|| peer.line().parse().ok()).collect()
}

fn parent_dies(test: &'static str, role: &str) {
    let _bounded = bounded(test);
    let directory = Directory::new(role);
    for _ in 0..3 {
        let mut peer = Peer::new(role, &[("COMMONS_DIR", directory.text())]);
        let workers = named(&mut peer);
        assert_eq!(workers.len(), WORKERS);
        let start = Instant::now();
        peer.kill();
        eventually("all workers have ended", || workers.iter().all(|&worker| is_gone(worker)));
        let gone = start.elapsed();
        eventually("all names are gone", || directory.entries().is_empty());
        let clean = start.elapsed();
        println!("{role}: workers gone after {gone:?}, names after {clean:?}");
        assert!(clean < Duration::from_secs(1), "workers gone after {gone:?}, names after {clean:?}");
    }
}

fn tell_workers(pool: &Pool) {
    pool.ids().into_iter().for_each(say);
    say("all");
}

fn note(what: impl fmt::Display) -> String {
    format!("note-{what}")
}

/// A program whose workers are all in tasks that do not end.
fn sudden() {
    let pool = Pool::new(WORKERS).unwrap();
    let inside = AtomicArray::create("inside", 1).unwrap();
    let tasks: Vec<_> = (0..100u32)
        .map(|_| {
            pool.submit(inside.clone(), |inside: AtomicArray<u32>| -> () {
                let mine = AtomicArray::<u32>::create(&note(std::process::id()), 1).unwrap();
                inside.fetch_add(0, 1);
                loop {
                    thread::park();
                    mine.load(0);
                }
            })
            .unwrap()
        })
        .collect();
    eventually("all workers are busy", || inside.load(0) as usize == WORKERS);
    tell_workers(&pool);
    tasks.into_iter().for_each(|task| task.join().unwrap());
}

#[test]
fn workers_in_tasks_go_with_their_parent() {
    parent_dies("workers_in_tasks_go_with_their_parent", "sudden");
}

/// A program whose workers take tasks and answer all the time.
fn busy() {
    let pool = Pool::new(WORKERS).unwrap();
    let count = AtomicArray::create("count", 1).unwrap();
    let mut results = pool
        .map_iter(std::iter::repeat_with(|| count.clone()), |count: AtomicArray<u64>| count.fetch_add(0, 1));
    results.by_ref().take(1000).for_each(|result| assert!(result.is_ok()));
    tell_workers(&pool);
    results.for_each(|result| assert!(result.is_ok()));
}

#[test]
fn workers_between_tasks_go_with_their_parent() {
    parent_dies("workers_between_tasks_go_with_their_parent", "busy");
}
