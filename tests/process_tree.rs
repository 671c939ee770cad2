//! `kill_tree`: a process and all that descends from it, and nobody else.

mod common;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use common::{
    eventually,
    workers::{LONG, bounded, join},
};
use commons::{Exit, Process, Sender};
use rustix::{
    io::Errno,
    process::{Signal, WaitOptions, getpid, set_child_subreaper, waitpid},
};

commons::init_in_tests!();

fn park() -> ! {
    loop {
        thread::park();
    }
}

/// From now on whoever is orphaned below this process becomes its child, so that it sees them end.
fn adopt_orphans() {
    set_child_subreaper(Some(getpid())).unwrap();
}

/// Runs a test in a process of its own, which adopts whoever is orphaned below it.
fn alone(test: &'static str, run: fn(())) {
    let _bounded = bounded(test);
    join(commons::spawn((), run));
}

/// Kills the tree of `root` and collects the orphans, all of which were killed; their pids.
///
/// The process has no other children than `root`, and `others` that live on.
fn kill_tree(root: &Process<()>, others: usize) -> BTreeSet<u32> {
    let start = Instant::now();
    root.kill_tree().unwrap();
    assert!(start.elapsed() < Duration::from_secs(10), "it took {:?}", start.elapsed());
    assert_eq!(root.wait_timeout(LONG).unwrap(), Some(Exit::Signal(9)));
    let mut orphans = BTreeSet::new();
    eventually("all orphans end", || match waitpid(None, WaitOptions::NOHANG) {
        Err(error) => {
            assert_eq!((error, others), (Errno::CHILD, 0));
            true
        }
        Ok(Some((pid, status))) => {
            assert_eq!(status.terminating_signal(), Some(Signal::KILL.as_raw()), "{pid:?}");
            orphans.insert(pid.as_raw_nonzero().get().cast_unsigned());
            false
        }
        Ok(None) => children() == others,
    });
    orphans
}

/// How many children this process has now, dead ones too.
fn children() -> usize {
    let me = std::process::id().to_string();
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter(|stat| stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1) == Some(&me)).count()
}

/// A worker with a worker and a shell below it, which has a `sleep` and another shell with one.
fn family(tell: Sender<u32>) {
    let script = "sleep 1000 & echo $!; sh -c 'sleep 1000 & echo $!; wait' & echo $!; wait";
    let mut shell = Command::new("sh");
    let mut shell = shell.args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    tell.send(&shell.id()).unwrap();
    for line in BufReader::new(shell.stdout.take().unwrap()).lines().take(3) {
        tell.send(&line.unwrap().parse().unwrap()).unwrap();
    }
    let worker = commons::spawn((), |()| park()).unwrap();
    let worker: Process<()> = worker;
    tell.send(&worker.id()).unwrap();
    shell.wait().unwrap();
}

#[test]
fn the_whole_tree_goes_and_nobody_else() {
    alone("the_whole_tree_goes_and_nobody_else", |()| {
        adopt_orphans();
        // Beside the tree: a worker and a program of the same parent.
        let beside: Process<()> = commons::spawn((), |()| park()).unwrap();
        let mut program = Command::new("sleep").arg("1000").spawn().unwrap();
        let (tell, told) = commons::channel(8).unwrap();
        let root = commons::spawn(tell, family).unwrap();
        let expected: BTreeSet<u32> = (0..5).map(|_| told.recv_timeout(LONG).unwrap()).collect();
        assert_eq!(kill_tree(&root, 2), expected);
        assert!(!beside.is_finished());
        assert_eq!(program.try_wait().unwrap(), None);
        // It is fine to do it again.
        root.kill_tree().unwrap();
        program.kill().unwrap();
        program.wait().unwrap();
        beside.kill_tree().unwrap();
        assert_eq!(beside.wait_timeout(LONG).unwrap(), Some(Exit::Signal(9)));
    });
}

/// Lets a tree grow until it has told of ten processes, then kills it; nobody is left.
fn growing(test: &'static str, grow: fn(Sender<u32>)) {
    let _bounded = bounded(test);
    let most = join(commons::spawn(grow_at(grow), |grow| {
        adopt_orphans();
        let mut most = 0;
        for _ in 0..5 {
            let (tell, told) = commons::channel(1000).unwrap();
            let root = commons::spawn((tell, grow), |(tell, grow)| GROW[grow](tell)).unwrap();
            (0..10).for_each(|_| {
                told.recv_timeout(LONG).unwrap();
            });
            most = most.max(kill_tree(&root, 0).len());
        }
        most
    }));
    println!("{test}: {most} processes at most");
    assert!(most >= 10);
}

const GROW: [fn(Sender<u32>); 2] = [by_shells, by_threads];

fn grow_at(grow: fn(Sender<u32>)) -> usize {
    GROW.iter().position(|&other| std::ptr::fn_addr_eq(other, grow)).unwrap()
}

/// A shell that starts shells, which start others; far more than are told of.
fn by_shells(tell: Sender<u32>) {
    let script = "i=0; while [ $((i += 1)) -lt 300 ]; do sh -c 'sh -c \"sleep 1000\" & sleep 1000' & echo $!; done; wait";
    let mut shell = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    for line in BufReader::new(shell.stdout.take().unwrap()).lines() {
        let _ = tell.try_send(&line.unwrap().parse().unwrap());
    }
    shell.wait().unwrap();
}

/// Threads that never stop starting programs.
fn by_threads(tell: Sender<u32>) {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut programs = Vec::new();
                loop {
                    let program = Command::new("sleep").arg("1000").spawn().unwrap();
                    let _ = tell.try_send(&program.id());
                    programs.push(program);
                }
            });
        }
    });
}

/// The kernel wakes a worker when the thread ends that started it.
#[test]
fn a_tree_goes_although_the_thread_that_started_it_ends_meanwhile() {
    alone("a tree whose starter ends", |()| {
        adopt_orphans();
        for round in 0..30 {
            let (tell, told) = mpsc::channel();
            let starter = thread::spawn(move || {
                let root = commons::spawn((), |()| -> () {
                    let mut programs = Vec::new();
                    loop {
                        programs.push(Command::new("sleep").arg("1000").spawn().unwrap());
                        thread::sleep(Duration::from_micros(100));
                    }
                });
                tell.send(root.unwrap()).unwrap();
                thread::sleep(Duration::from_micros(5000 + 100 * round));
            });
            let root = told.recv_timeout(LONG).unwrap();
            thread::sleep(Duration::from_millis(5));
            kill_tree(&root, 0);
            starter.join().unwrap();
        }
    });
}

/// As above, for threads of the tree itself.
#[test]
fn a_tree_goes_although_threads_in_it_end_meanwhile() {
    alone("a tree whose threads end", |()| {
        adopt_orphans();
        for _ in 0..20 {
            let root = commons::spawn((), |()| -> () {
                let start = || drop(commons::spawn((), |()| -> () { park() }));
                (0..8).for_each(|_| thread::spawn(start).join().unwrap());
                loop {
                    thread::spawn(start).join().unwrap();
                }
            });
            let root = root.unwrap();
            thread::sleep(Duration::from_millis(15));
            let start = Instant::now();
            kill_tree(&root, 0);
            assert!(start.elapsed() < Duration::from_secs(4), "it took {:?}", start.elapsed());
        }
    });
}

#[test]
fn a_tree_of_shells_that_grows_meanwhile_goes() {
    growing("a_tree_of_shells_that_grows_meanwhile_goes", by_shells);
}

#[test]
fn a_tree_that_grows_by_many_threads_goes() {
    growing("a_tree_that_grows_by_many_threads_goes", by_threads);
}
