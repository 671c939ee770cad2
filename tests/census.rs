//! The census counts what `wc` counts, whoever is killed meanwhile.

mod common;
#[path = "census/tree.rs"]
mod tree;

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::ffi::OsStrExt,
    process::{Child, ChildStdout},
    sync::atomic::AtomicU64,
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

const LANES: usize = 256;

// The structure of the example. Two programs with the same one meet.

#[derive(Shareable)]
#[repr(C)]
struct Census {
    tickets: Versioned<Tickets>,
    lanes: [Versioned<Tally>; LANES],
}

#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Tickets {
    last: u64,
    of_lane: [u64; LANES],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Plain)]
#[repr(C)]
struct Tally {
    files: u64,
    lines: u64,
    words: u64,
    bytes: u64,
    longest: u64,
    ticket: u64,
}

impl Census {
    fn files(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.get().files).sum()
    }
}

/// The last line of a census.
fn totals([files, lines, words, bytes, longest]: [u64; 5]) -> String {
    format!("files={files} lines={lines} words={words} bytes={bytes} longest={longest}")
}

#[track_caller]
fn counts(arguments: &[&OsStr], expected: [u64; 5]) {
    let output = output(example("census").args(arguments));
    let (said, complaints) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].starts_with("name=census-") && lines[1].starts_with("workers="), "{said}");
    assert_eq!(lines[2..], [totals(expected)]);
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
    workers: Vec<u32>,
}

impl Running {
    fn start(tree: &Tree, name: &str) -> Self {
        let mut child = example("census").args(["--name", name]).arg(tree.path()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let _watch = bounded("a census");
        let mut running = Self { _watch, child, output, workers: Vec::new() };
        assert_eq!(running.line(), format!("name={name}"));
        running
    }

    /// A census whose structure this process has open, and knows the workers of.
    fn watched(tree: &Tree) -> (Self, Shared<Census>) {
        for _ in 0..50 {
            let name = unique("watched");
            let mut running = Self::start(tree, &name);
            match Shared::open(&name) {
                Ok(census) => {
                    running.hear_of_workers();
                    return (running, census);
                }
                // On a busy machine it may be over before anybody looks.
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
            }
        }
        panic!("every census was over before it could be opened");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn hear_of_workers(&mut self) {
        let line = self.line();
        let pids = line.strip_prefix("workers=").unwrap_or_else(|| panic!("no workers: {line}"));
        self.workers = pids.split(',').map(|pid| pid.parse().unwrap()).collect();
    }

    /// Its last line, and what it complained about.
    fn end(mut self) -> (String, String) {
        let (mut said, mut complaints) = (String::new(), String::new());
        self.output.read_to_string(&mut said).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
        assert!(self.child.wait().unwrap().success(), "{complaints}");
        (said.lines().last().unwrap_or_default().to_owned(), complaints)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
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

/// The workers of a process, the new ones too.
fn children(parent: u32) -> Vec<u32> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| matches!(state(pid), Some((state, of)) if of == parent && state != 'Z')).collect()
}

/// Stops the giving of tickets while it looks, again and again, until `act` has done something or all
/// files are counted. Then no worker can get further than through the file it is in.
fn in_the_middle<R>(census: &Census, files: u64, mut act: impl FnMut(&Tickets) -> Option<R>) -> Option<R> {
    let mut done = None;
    eventually("the middle of a census", || {
        let counted = census.tickets.update(|tickets| {
            let counted = census.files();
            if counted > 0 && counted < files {
                done = act(tickets);
            }
            counted
        });
        done.is_some() || counted == files
    });
    done
}

#[test]
fn the_file_of_a_killed_worker_is_counted_by_another() {
    let tree = Tree::of_large_files();
    let expected = naive(tree.path());
    for _ in 0..20 {
        let (running, census) = Running::watched(&tree);
        let in_a_file = in_the_middle(&census, expected[0], |tickets| {
            let begun = |&lane: &usize| tickets.of_lane[lane] != census.lanes[lane].get().ticket;
            let lane = (0..running.workers.len()).find(begun)?;
            kill(running.workers[lane]);
            eventually("the worker is gone", || is_gone(running.workers[lane]));
            Some(begun(&lane))
        });
        let workers = running.workers.clone();
        let (last, complaints) = running.end();
        assert_eq!(last, totals(expected), "{complaints}");
        let name = file_of(Shared::name(&census).unwrap());
        drop(census);
        assert!(!name.exists());
        if let Some(in_a_file) = in_a_file {
            assert!(complaints.contains("was killed by signal 9"), "it was noticed: {complaints}");
            assert!(
                workers.iter().any(|pid| complaints.contains(&format!("process {pid} "))),
                "{complaints}"
            );
            if in_a_file {
                return;
            }
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
        let (running, census) = Running::watched(&tree);
        let parent = running.child.id();
        for kills in 0..6 {
            // Now the first, now the last of those that run.
            let hit = in_the_middle(&census, expected[0], |_| {
                let workers = children(parent);
                let pid = *workers.get(kills % workers.len().max(1))?;
                kill(pid);
                eventually("the worker is gone", || is_gone(pid));
                Some(())
            });
            killed += usize::from(hit.is_some());
        }
        let (last, complaints) = running.end();
        assert_eq!(last, totals(expected), "{complaints}");
        if killed >= 8 && round > 0 {
            return;
        }
    }
    panic!("{killed} workers were killed in ten runs");
}

#[test]
fn a_killed_census_takes_its_workers_with_it() {
    let tree = Tree::of_large_files();
    let files = naive(tree.path())[0];
    for _ in 0..20 {
        let (mut running, census) = Running::watched(&tree);
        let took = in_the_middle(&census, files, |_| {
            running.child.kill().unwrap();
            let start = Instant::now();
            eventually("the workers are gone", || running.workers.iter().all(|&pid| is_gone(pid)));
            Some(start.elapsed())
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
    for _ in 0..20 {
        let name = unique("alone");
        let mut running = Running::start(&tree, &name);
        running.hear_of_workers();
        // A look does not attach, so those who do are the census and its workers.
        let all = 1 + running.workers.len();
        let mut attached = 0;
        eventually("the workers work", || {
            attached = catalog::inspect(&name).map_or(0, |info| info.attached.len());
            attached == all || running.child.try_wait().unwrap().is_some()
        });
        running.child.kill().unwrap();
        let killed = Instant::now();
        running.child.wait().unwrap();
        eventually("the workers are gone", || running.workers.iter().all(|&pid| is_gone(pid)));
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
        tickets: Versioned<Tickets>,
        lanes: [Versioned<Tally>; LANES - 1],
    }
    let tree = Tree::of_large_files();
    let (running, census) = Running::watched(&tree);
    let error = Shared::<Other>::open(Shared::name(&census).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert!(
        error.to_string().contains("[Versioned<Tally>; 256]") || error.to_string().contains("256 times"),
        "{error}"
    );
    let fields: Vec<_> = Shared::info(&census).fields.into_iter().map(|field| field.name).collect();
    assert_eq!(fields, ["tickets", "lanes[]"]);
    running.end();
    assert_eq!(census.files(), naive(tree.path())[0], "the numbers stay as long as anybody looks");
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
