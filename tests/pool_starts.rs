//! Workers that end before they come to their first order: an error that says so, at once, for pools
//! that are new and for those that were well before; no hang, no bomb of processes.
//!
//! Without the test harness: this file's own `main` plays these programs, as the variable says.

mod common;

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Output, abort, exit},
    time::{Duration, Instant},
};

use common::{processes::kill_child, watchdog::watchdog, workers::has};
use commons::{Pool, TaskErrorKind};

/// Which program to play.
const PART: &str = "COMMONS_TEST_PART";
/// Workers end at once while there is a file of this name, and each leaves a line in it.
const FILE: &str = "COMMONS_TEST_FILE";

fn main() {
    match env::var(PART).as_deref() {
        Ok("exits") => never_well(|| exit(7)),
        Ok("aborts") => never_well(|| abort()),
        Ok("leaves") => never_well(|| exit(0)),
        Ok("later") => well_at_first(),
        Ok("idle") => idle(),
        _ => judge(),
    }
}

fn is_worker() -> bool {
    env::args().nth(1).is_some_and(|argument| argument == "--commons-worker")
}

fn file() -> PathBuf {
    PathBuf::from(env::var_os(FILE).unwrap())
}

/// As a library's constructor may do it, before `main` comes to `commons::init()`.
fn end_if_there_is_a_file(end: fn()) {
    if is_worker()
        && let Ok(before) = fs::read_to_string(file())
    {
        fs::write(file(), before + "a worker\n").unwrap();
        end();
    }
}

/// How many workers have ended too early.
fn ended() -> usize {
    fs::read_to_string(file()).unwrap().lines().count()
}

/// No worker ever starts: each call says why, and the pool can be shut down.
fn never_well(end: fn()) {
    if !is_worker() {
        fs::write(file(), "").unwrap();
    }
    end_if_there_is_a_file(end);
    commons::init();
    let _bounded = watchdog("never_well", Duration::from_secs(20));
    let pool = Pool::new(2).unwrap();
    for _ in 0..3 {
        let before = ended();
        let error = pool.map(0..100u32, |n| n).unwrap_err();
        assert!(matches!(error.kind(), TaskErrorKind::Refused(_)), "{error}");
        println!("{error}");
        let outcomes = pool.outcomes(0..10u32, |n| n);
        assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
        assert!(pool.submit(1u8, |n| n).unwrap().join().is_err());
        assert!(ended() < before + 100, "{} workers were started", ended() - before);
    }
    // It is as if it had never been: now they start.
    fs::remove_file(file()).unwrap();
    assert!(pool.map(0..100u32, |n| n).unwrap().into_iter().eq(0..100));
    pool.shutdown().unwrap();
}

/// The first workers start, those that come for them do not.
fn well_at_first() {
    end_if_there_is_a_file(|| exit(7));
    commons::init();
    let _bounded = watchdog("well_at_first", Duration::from_secs(20));
    let pool = Pool::new(2).unwrap();
    assert!(pool.map(0..100u32, |n| n).unwrap().into_iter().eq(0..100));
    fs::write(file(), "").unwrap();
    let outcomes = pool.outcomes(0..100u32, |n| if n % 10 == 5 { abort() } else { n });
    // Two tasks each cost a worker, and then there is none.
    let exits =
        outcomes.iter().filter(|it| matches!(it, Err(e) if matches!(e.kind(), TaskErrorKind::Exit(_))));
    assert_eq!(exits.count(), 2);
    let refused = outcomes.iter().filter_map(|it| it.as_ref().err());
    let refused: Vec<_> = refused.filter(|e| matches!(e.kind(), TaskErrorKind::Refused(_))).collect();
    println!("{}", refused[0]);
    fs::remove_file(file()).unwrap();
    assert!(pool.map(0..100u32, |n| n).unwrap().into_iter().eq(0..100));
}

/// Workers die while nobody has a task, and none comes for them: the pool does not try for ever.
fn idle() {
    end_if_there_is_a_file(|| exit(7));
    commons::init();
    let _bounded = watchdog("idle", Duration::from_secs(20));
    let pool = Pool::new(2).unwrap();
    assert!(pool.map(0..100u32, |n| n).unwrap().into_iter().eq(0..100));
    fs::write(file(), "").unwrap();
    pool.ids().into_iter().for_each(|id| assert!(kill_child(id)));
    let (mut seen, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_millis(500) {
        assert!(seen < 20, "{seen} workers were started for nothing");
        if ended() != seen {
            (seen, since) = (ended(), Instant::now());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("{}", pool.map(0..100u32, |n| n).unwrap_err());
    drop(pool);
}

fn play(part: &str) -> (String, Output) {
    let start = Instant::now();
    let directory = common::Directory::new(part);
    let mut command = Command::new(env::current_exe().unwrap());
    command.env(PART, part).env(FILE, directory.path().join("file"));
    let output = command.output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(20), "{part} took {:?}", start.elapsed());
    assert!(output.status.success(), "{part}: {output:?}");
    (String::from_utf8(output.stdout.clone()).unwrap(), output)
}

fn judge() {
    for (part, end) in [("exits", "exit code 7"), ("aborts", "signal 6"), ("leaves", "exit code 0")] {
        let (said, output) = play(part);
        assert_eq!(said.lines().count(), 3, "{output:?}");
        said.lines().for_each(|line| has(line, &["task ", " was not begun", end, "before it took over"]));
    }
    let (said, _) = play("later");
    has(said, &["was not begun", "exit code 7"]);
    let (said, _) = play("idle");
    has(said, &["was not begun", "exit code 7"]);
    println!("workers that end before their first order: 5 programs played");
}
