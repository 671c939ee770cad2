//! Shared progress: counted exactly by any number of processes, drawn as lines or as bars.

mod common;
#[path = "progress/screen.rs"]
mod screen;
#[path = "progress/terminal.rs"]
mod terminal;

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use common::{
    command, eventually, examples,
    forks::{BOTH, end_of, fork, in_child},
    play, unique,
    workers::{LONG, bounded, has, join, join_all, kill, panic_of},
};
use commons::{ErrorKind, Progress, ProgressLine, Shared, Value, sync::Barrier};

commons::init_in_tests!();

#[test]
fn role() {
    play(&[
        ("one drawing", one_drawing),
        ("two bars", terminal::two_bars),
        ("panic", terminal::panic_with_drawings),
        ("look panics", look_that_panics),
        ("forks", forks),
        ("threads", threads),
    ]);
}

#[test]
fn many_processes_and_threads_count_exactly() {
    let _bounded = bounded("many_processes_and_threads_count_exactly");
    const EACH: u64 = 200_000;
    let done = Progress::new(6 * EACH).unwrap();
    let start = Shared::new(Barrier::new(6)).unwrap();
    let count = |(done, start): (Progress, Shared<Barrier>)| {
        let in_a_thread = || {
            start.wait_timeout(LONG).unwrap();
            (0..EACH).for_each(|_| done.inc(1));
        };
        std::thread::scope(|scope| {
            scope.spawn(in_a_thread);
            scope.spawn(in_a_thread);
        })
    };
    assert!(!done.is_done());
    // All are started before the first is joined.
    let workers: Vec<_> = (0..3).map(|_| commons::spawn((done.clone(), start.clone()), count)).collect();
    join_all(workers);
    assert_eq!((done.position(), done.total(), done.is_done()), (6 * EACH, 6 * EACH, true));
    done.set(10);
    done.set_total(0);
    assert_eq!((done.position(), done.total(), done.is_done()), (10, 0, false));
    assert_eq!(format!("{done:?}"), "Progress { position: 10, total: 0 }");
}

#[test]
fn another_program_opens_it_by_name() {
    let _bounded = bounded("another_program_opens_it_by_name");
    let name = unique("progress");
    let pages = Progress::create(&name, 10).unwrap();
    let position = join(commons::spawn(name.clone(), |name| {
        let pages = Progress::open(&name).unwrap();
        pages.inc(4);
        pages.set_total(20);
        pages.position()
    }));
    assert_eq!((position, pages.position(), pages.total()), (4, 4, 20));
    assert_eq!(Progress::open_or_create(&name, 99).unwrap().total(), 20);
    assert_eq!((pages.name(), pages.info().kind.as_ref()), (Some(name.as_str()), "Progress"));
    assert_eq!(Progress::create(&name, 1).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let wrong = Value::<[u64; 2]>::open(&name).unwrap_err();
    has(wrong, &["Progress", "Value"]);
    drop(pages);
    assert_eq!(Progress::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
}

/// Counts, and tells so, until it is killed.
fn count_on((done, told): (Progress, Shared<AtomicU64>)) {
    while told.fetch_add(1, Relaxed) < u64::MAX {
        done.inc(1);
    }
}

#[test]
fn a_killed_worker_loses_no_count() {
    let _bounded = bounded("a_killed_worker_loses_no_count");
    let done = Progress::new(0).unwrap();
    let told = Shared::new(AtomicU64::new(0)).unwrap();
    let worker = commons::spawn((done.clone(), told.clone()), count_on).unwrap();
    eventually("the worker counts", || told.load(Relaxed) > 1000);
    kill(&worker);
    let (told, counted) = (told.load(Relaxed), done.position());
    assert!(counted == told || counted + 1 == told, "{counted} counted, {told} told");
    let other = |done: Progress| (0..500).for_each(|_| done.inc(2));
    let before = done.position();
    join(commons::spawn(done.clone(), other));
    assert_eq!(done.position(), before + 1000);
}

#[test]
fn a_drawing_may_end_while_others_still_count() {
    let _bounded = bounded("a_drawing_may_end_while_others_still_count");
    let done = Progress::new(0).unwrap();
    let told = Shared::new(AtomicU64::new(0)).unwrap();
    let worker = commons::spawn((done.clone(), told), count_on).unwrap();
    for _ in 0..3 {
        let drawing = done.draw_as("while others count");
        let before = done.position();
        eventually("the worker counts", || done.position() > before);
        drop(drawing);
        let after = done.position();
        eventually("the worker goes on", || done.position() > after);
    }
    kill(&worker);
}

#[test]
fn a_look_that_panics_at_once_tells_the_caller() {
    let said = panic_of(|| commons::draw(|| panic!("no such thing")));
    assert_eq!(said, "no such thing");
}

/// The lines that a role writes to a stderr that is a pipe.
fn lines_of(role: &str) -> Vec<String> {
    let output = examples::output(command(role).stdin(Stdio::null()).stderr(Stdio::piped()));
    let lines = examples::text(&output.stderr);
    assert!(output.status.success() && !lines.contains('\x1b'), "{lines}");
    lines.lines().map(str::to_owned).collect()
}

/// A drawing with everything, which is drawn at least twice.
fn one_drawing() {
    let looks = Arc::new(AtomicU64::new(0));
    let seen = looks.clone();
    let drawing = commons::draw_as("pages\x1b[2J", move || {
        ProgressLine::new(25 * seen.fetch_add(1, Relaxed), 100).message("all\nof them")
    });
    drop(drawing);
    assert_eq!(looks.load(Relaxed), 2);
    let name = unique("label");
    let pages = Progress::create(&name, 0).unwrap();
    let _drawing = pages.draw();
    pages.inc(7);
}

#[test]
fn in_a_pipe_there_are_lines() {
    let lines = lines_of("one drawing");
    assert_eq!(lines[0], "pages [2J: 0 of 100, 0%, all of them");
    has(&lines[1], &["pages [2J: 25 of 100, 25%, ", "/s, after 0 s, all of them"]);
    has(&lines[2], &["-label: 0"]);
    has(&lines[3], &["-label: 7, ", "/s, after 0 s"]);
    assert_eq!(lines.len(), 4);
}

fn forks() {
    for how in BOTH {
        let pages = Progress::new(10).unwrap();
        let drawing = pages.draw_as(&format!("parent {how:?}"));
        let Some(child) = fork(how) else {
            in_child(|| {
                drop(drawing);
                let own = pages.draw_as(&format!("child {how:?}"));
                pages.inc(1);
                drop(own);
            })
        };
        assert_eq!(end_of(child), Ok(0), "{how:?}");
        drop(drawing);
    }
}

#[test]
fn a_forked_child_draws_only_its_own() {
    let lines = lines_of("forks");
    for how in BOTH {
        let of = |who: &str| {
            let label = format!("{who} {how:?}: ");
            lines.iter().filter(|line| line.starts_with(&label)).count()
        };
        assert_eq!((of("parent"), of("child")), (2, 2), "{how:?}: {lines:?}");
    }
    assert_eq!(lines.len(), 8);
}

/// Whether this process has the thread that draws.
fn has_thread() -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.into_iter().filter(|name| name.trim() == "commons-progres").count() == 1
}

fn threads() {
    assert!(!has_thread());
    for _ in 0..3 {
        let pages = Progress::new(10).unwrap();
        let (one, other) = (pages.draw(), pages.draw());
        eventually("the thread is there", has_thread);
        drop(one);
        assert!(has_thread(), "one drawing is left");
        drop(other);
        eventually("the thread goes", || !has_thread());
    }
}

#[test]
fn one_thread_draws_and_goes_with_the_last_drawing() {
    lines_of("threads");
}

fn look_that_panics() {
    let end = Arc::new(AtomicU64::new(0));
    let seen = end.clone();
    let broken = commons::draw_as("broken", move || {
        assert!(seen.load(Relaxed) == 0, "no such thing");
        ProgressLine::new(0, 0)
    });
    let pages = Progress::new(10).unwrap();
    let whole = pages.draw_as("whole");
    end.store(1, Relaxed);
    drop(broken);
    pages.inc(10);
    drop(whole);
}

#[test]
fn a_look_that_panics_ends_its_drawing_alone() {
    let lines = lines_of("look panics");
    assert_eq!(lines.iter().filter(|line| line.starts_with("broken: ")).count(), 1, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("no such thing")), "{lines:?}");
    has(lines.last().unwrap(), &["whole: 10 of 10, 100%, "]);
}
