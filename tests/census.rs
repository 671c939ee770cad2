//! The census counts what `wc` counts, whoever is killed meanwhile.

mod common;
#[path = "census/tree.rs"]
mod tree;

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Child, ChildStdout},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use common::{
    eventually,
    examples::{example, output, text},
    file_of, unique,
    watchdog::Watchdog,
    workers::bounded,
};
use commons::{ErrorKind, Plain, Shareable, Shared, catalog, sync::Versioned};
use rustix::process::{Pid, Signal, kill_process};
use tree::{Tree, naive, wc};

// The structure of the example. Two programs with the same one meet.

#[derive(Shareable)]
#[repr(C)]
struct Census {
    begun: AtomicU64,
    total: Versioned<Tally>,
}

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
struct Tally {
    files: u64,
    lines: u64,
    words: u64,
    bytes: u64,
    longest: u64,
}

/// What was complained about, without the progress.
fn complaints_in(said: &str) -> String {
    said.split_inclusive('\n').filter(|line| line.starts_with("census: ")).collect()
}

/// The last line of a census.
fn totals([files, lines, words, bytes, longest]: [u64; 5]) -> String {
    format!("files={files} lines={lines} words={words} bytes={bytes} longest={longest}")
}

#[track_caller]
fn counts(arguments: &[&OsStr], expected: [u64; 5]) {
    let output = output(example("census").args(arguments));
    let (said, complaints) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && complaints_in(complaints).is_empty(), "{complaints}");
    let files = expected[0];
    assert!(files == 0 || complaints.contains(&format!("{files} of {files}, 100%, ")), "{complaints}");
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].starts_with("name=census-"), "{said}");
    assert_eq!(lines[1..], [totals(expected)]);
}

#[test]
fn text_is_counted_as_wc_does() {
    let tree = Tree::of_text();
    let expected = naive(tree.path());
    let [files, lines, words, bytes, _] = expected;
    assert_eq!(wc(tree.path()), [lines, words, bytes]);
    assert!(files > 20 && lines > 500 && words > 5_000);
    counts(&[tree.path().as_os_str()], expected);
    // No DIR: the current one.
    let output = output(example("census").current_dir(tree.path()));
    assert_eq!(text(&output.stdout).lines().last(), Some(totals(expected).as_str()));
}

#[test]
fn odd_files_are_counted_and_what_is_no_file_is_left_alone() {
    let tree = Tree::of_oddities();
    let expected = naive(tree.path());
    let [.., lines, _, bytes, _] = expected;
    let [wc_lines, _, wc_bytes] = wc(tree.path());
    assert_eq!([lines, bytes], [wc_lines, wc_bytes]);
    counts(&[tree.path().as_os_str()], expected);
}

#[test]
fn nothing_is_counted_as_nothing() {
    let tree = Tree::new();
    counts(&[tree.path().as_os_str()], [0; 5]);
    tree.write("a/b/empty", b"");
    counts(&[tree.path().as_os_str()], [1, 0, 0, 0, 0]);
    tree.write("a/one", b"x");
    counts(&[tree.path().as_os_str()], [2, 0, 1, 1, 1]);
}

/// A census on its way, and in time. It is killed when this is dropped.
struct Running {
    _watch: Watchdog,
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    fn start(tree: &Tree, name: &str) -> Self {
        let mut child = example("census").args(["--name", name]).arg(tree.path()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let _watch = bounded("a census");
        let mut running = Self { _watch, child, output };
        let mut line = String::new();
        running.output.read_line(&mut line).unwrap();
        assert_eq!(line, format!("name={name}\n"));
        running
    }

    /// A census whose structure this process has open.
    fn watched(tree: &Tree) -> (Self, Shared<Census>) {
        for _ in 0..50 {
            let name = unique("watched");
            let running = Self::start(tree, &name);
            match Shared::open(&name) {
                Ok(census) => return (running, census),
                // On a busy machine it may be over before anybody looks.
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
            }
        }
        panic!("every census was over before it could be opened");
    }

    /// Its workers, the new ones too.
    fn workers(&self) -> Vec<u32> {
        let pids =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mine =
            |pid: &u32| matches!(state(*pid), Some((state, of)) if of == self.child.id() && state != 'Z');
        pids.filter(mine).collect()
    }

    fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Stops a worker that is in the middle of a file, if the census does not end before.
    fn stopped_worker(&mut self, tree: &Tree) -> Option<u32> {
        let mut found = None;
        eventually("a worker in a file, or the end", || {
            found = self.workers().into_iter().find(|&pid| {
                // It may be gone at any moment: then it was not in a file.
                let _ = signal(pid, Signal::STOP);
                eventually("it has stopped", || {
                    is_gone(pid) || state(pid).is_some_and(|(state, _)| state == 'T')
                });
                let in_a_file = has_open(pid, tree.path());
                if !in_a_file {
                    let _ = signal(pid, Signal::CONT);
                }
                in_a_file
            });
            found.is_some() || self.is_over()
        });
        found
    }

    /// Its last line, and what it complained about.
    fn end(mut self) -> (String, String) {
        let (mut said, mut complaints) = (String::new(), String::new());
        self.output.read_to_string(&mut said).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
        assert!(self.child.wait().unwrap().success(), "{complaints}");
        (said.lines().last().unwrap_or_default().to_owned(), complaints_in(&complaints))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(pid: u32, signal: Signal) -> rustix::io::Result<()> {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal)
}

/// Whether a process has a file below a directory open.
fn has_open(pid: u32, directory: &Path) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file.starts_with(directory))
}

/// The state and the parent of a process, if there is one.
fn state(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn is_gone(pid: u32) -> bool {
    state(pid).is_none_or(|(state, _)| state == 'Z')
}

#[test]
fn the_file_of_a_killed_worker_is_counted_by_another() {
    let tree = Tree::of_large_files();
    let expected = naive(tree.path());
    for _ in 0..20 {
        let (mut running, census) = Running::watched(&tree);
        let killed = running.stopped_worker(&tree).inspect(|&pid| {
            assert!(census.total.get().files < expected[0], "the file that it is in is not counted");
            signal(pid, Signal::KILL).unwrap();
            eventually("the worker is gone", || is_gone(pid));
        });
        let (last, complaints) = running.end();
        assert_eq!(last, totals(expected), "{complaints}");
        let name = file_of(Shared::name(&census).unwrap());
        assert_eq!(census.begun.load(Relaxed) - expected[0], u64::from(killed.is_some()), "{complaints}");
        drop(census);
        assert!(!name.exists());
        if killed.is_some() {
            assert_eq!(complaints, "census: files begun again, because their workers were killed: 1\n");
            return;
        }
    }
    panic!("no worker was ever killed in the middle of a file");
}

#[test]
fn many_killed_workers_change_nothing() {
    let tree = Tree::of_large_files();
    let expected = naive(tree.path());
    let mut killed = 0;
    for round in 0..10 {
        let (mut running, census) = Running::watched(&tree);
        for kill in 0..6 {
            // Now one in the middle of a file, now one wherever it is.
            let victim = if kill % 2 == 0 {
                running.stopped_worker(&tree)
            } else {
                running.workers().get(kill / 2 % 2).copied()
            };
            let hit = victim.is_some_and(|pid| signal(pid, Signal::KILL).is_ok());
            killed += usize::from(hit && !running.is_over());
        }
        let (last, complaints) = running.end();
        assert_eq!(last, totals(expected), "{complaints}");
        assert_eq!(census.total.get().files, expected[0]);
        if killed >= 8 && round > 0 {
            return;
        }
    }
    panic!("{killed} workers were killed in ten runs");
}

#[test]
fn a_killed_census_takes_its_workers_with_it() {
    let tree = Tree::of_large_files();
    for _ in 0..20 {
        let (mut running, census) = Running::watched(&tree);
        // Without the one that is stopped it cannot end by itself.
        let took = running.stopped_worker(&tree).map(|_| {
            let workers = running.workers();
            running.child.kill().unwrap();
            let start = Instant::now();
            eventually("the workers are gone", || workers.iter().all(|&pid| is_gone(pid)));
            start.elapsed()
        });
        drop(running);
        let name = file_of(Shared::name(&census).unwrap());
        drop(census);
        assert!(!name.exists(), "the last one to leave takes the name");
        if let Some(took) = took {
            assert!(took < Duration::from_secs(1), "the workers lived on for {took:?}");
            return;
        }
    }
    panic!("the census was never killed in the middle");
}

#[test]
fn a_killed_census_that_nobody_watches_leaves_nothing() {
    let tree = Tree::of_large_files();
    // A look does not attach, so those who do are the census and its workers.
    let all = 1 + commons::cpu_count();
    for _ in 0..20 {
        let name = unique("alone");
        let mut running = Running::start(&tree, &name);
        let mut attached = 0;
        eventually("the workers work", || {
            attached = catalog::inspect(&name).map_or(0, |info| info.attached.len());
            attached == all || running.is_over()
        });
        let workers = running.workers();
        running.child.kill().unwrap();
        let killed = Instant::now();
        running.child.wait().unwrap();
        eventually("the workers are gone", || workers.iter().all(|&pid| is_gone(pid)));
        assert!(killed.elapsed() < Duration::from_secs(1), "the workers lived on for {:?}", killed.elapsed());
        assert!(!file_of(&name).exists());
        if attached == all {
            return;
        }
    }
    panic!("the census was never killed in the middle");
}

#[test]
fn others_see_the_numbers_only_with_the_same_structure() {
    #[derive(Shareable)]
    #[repr(C)]
    struct Other {
        begun: AtomicU64,
        total: Versioned<[u64; 5]>,
    }
    let tree = Tree::of_large_files();
    let (running, census) = Running::watched(&tree);
    let error = Shared::<Other>::open(Shared::name(&census).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert!(error.to_string().contains("Versioned<Tally>"), "{error}");
    let fields: Vec<_> = Shared::info(&census).fields.into_iter().map(|field| field.name).collect();
    assert_eq!(fields, ["begun", "total"]);
    running.end();
    assert_eq!(census.total.get().files, naive(tree.path())[0], "the numbers stay as long as anybody looks");
}

#[track_caller]
fn fails(arguments: &[&OsStr], code: i32, words: &[&str]) {
    let output = output(example("census").args(arguments));
    let complaints = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(code), ""), "{complaints}");
    for word in words {
        assert!(complaints.contains(word), "{word:?} is not in: {complaints}");
    }
}

#[test]
fn a_name_that_is_taken_and_bad_arguments_are_told() {
    let tree = Tree::new();
    tree.write("file", b"x");
    let directory = tree.path().as_os_str();
    let file = tree.path().join("file");
    let usage = "usage: census [--name NAME] [DIR]";
    let name = unique("taken");
    let _taken = Shared::create(&name, AtomicU64::new(0)).unwrap();
    let os = OsStr::new;
    fails(&[os("--name"), os(&name), directory], 1, &[&name, "taken"]);
    fails(&[os("--name"), os("a/b"), directory], 1, &["\"a/b\"", "`/`"]);
    fails(&[os("--name")], 2, &["--name needs a name", usage]);
    fails(&[os("--name"), OsStr::from_bytes(b"\xFF"), directory], 2, &["\\xFF", "UTF-8", usage]);
    fails(&[os("--fast"), directory], 2, &["--fast", usage]);
    fails(&[directory, directory], 2, &["unexpected", usage]);
    fails(&[file.as_os_str()], 2, &["is not a directory", usage]);
    fails(&[os("/no/such/place")], 2, &["/no/such/place", "is not a directory", usage]);
}
