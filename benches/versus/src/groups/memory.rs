//! What is held while nothing happens, and what grows with the number of values and of tasks.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Command, ExitCode, Stdio},
};

use commons::{Pool, Value};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    measure::{Made, Round},
    row::Row,
};

const GROUP: &str = "memory";

pub(crate) const ROWS: &[Row] = &[
    Row {
        group: GROUP,
        name: "idle-worker",
        peer: "idle-program",
        target: 1.30,
        round: Round::Bytes,
        ours: idle_worker,
        theirs: idle_program,
    },
    Row {
        group: GROUP,
        name: "100-values",
        peer: "one-value",
        target: 1.10,
        round: Round::Bytes,
        ours: bytes_of_100_values,
        theirs: bytes_of_a_value,
    },
    Row {
        group: GROUP,
        name: "10000-values",
        peer: "one-value",
        target: 1.10,
        round: Round::Bytes,
        ours: bytes_of_10000_values,
        theirs: bytes_of_a_value,
    },
    Row {
        group: GROUP,
        name: "100-values-open",
        peer: "one-value",
        target: 1.00,
        round: Round::Descriptors,
        ours: descriptors_of_100_values,
        theirs: descriptors_of_a_value,
    },
    Row {
        group: GROUP,
        name: "10000-values-open",
        peer: "one-value",
        target: 1.00,
        round: Round::Descriptors,
        ours: descriptors_of_10000_values,
        theirs: descriptors_of_a_value,
    },
    Row {
        group: GROUP,
        name: "1000000-tasks",
        peer: "100000-tasks",
        target: 1.05,
        round: Round::Bytes,
        ours: after_1000000_tasks,
        theirs: after_100000_tasks,
    },
];

/// The argument by which this program does nothing.
pub(crate) const DO_NOTHING: &str = "--do-nothing";

/// What this program does then: it says that it is there, and waits until nobody can hear it any more.
pub(crate) fn do_nothing() -> ExitCode {
    // Unlike standard output it keeps no buffer.
    eprintln!("ready");
    let _ = std::io::stdin().read(&mut [0]);
    ExitCode::SUCCESS
}

/// One of two workers that wait for the next task: what is on disk and both have read is not its own.
fn idle_worker() -> Made {
    Ok(Box::new(|_| {
        let pool = Pool::builder().workers(2).chunk(1).build().expect("a pool can be started");
        // Each has done a task.
        let mut met = pool.map(0..2, |_: u32| std::process::id()).expect("no task fails");
        while met.iter().all(|id| *id == met[0]) {
            met.extend(pool.map([0], |_| std::process::id()).expect("no task fails"));
        }
        private_memory(met[0])
    }))
}

/// One of two processes that do nothing.
fn idle_program() -> Made {
    Ok(Box::new(|_| {
        let program = std::env::current_exe().expect("this program has a file");
        let [mut one, mut other] = [(); 2].map(|()| {
            let mut command = Command::new(&program);
            command.arg(DO_NOTHING).stdin(Stdio::piped()).stderr(Stdio::piped());
            let mut process = command.spawn().expect("this program can be started");
            let mut said = String::new();
            let words = process.stderr.take().expect("it is a pipe");
            BufReader::new(words).read_line(&mut said).expect("it says that it is there");
            process
        });
        let memory = private_memory(one.id());
        // Their standard input ends before they are waited for.
        one.wait().and_then(|_| other.wait()).expect("both end");
        memory
    }))
}

/// Bytes that would be free without this process.
fn private_memory(process: u32) -> f64 {
    memory(process, &["Private_Clean:", "Private_Dirty:"])
}

fn resident(process: u32) -> f64 {
    memory(process, &["Rss:"])
}

/// Resident bytes without pages of files: code that runs for the first time belongs to no value.
fn data(process: u32) -> f64 {
    memory(process, &["Pss_Anon:", "Pss_Shmem:"])
}

fn memory(process: u32, kinds: &[&str]) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("it is one of ours");
    let of = |kind: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(kind));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kilobytes.expect("the kernel has counted it") * 1024.0
    };
    kinds.iter().map(|kind| of(kind)).sum()
}

fn bytes_of_a_value() -> Made {
    of_values(1, |(bytes, _)| bytes)
}

fn bytes_of_100_values() -> Made {
    of_values(100, |(bytes, _)| bytes)
}

fn bytes_of_10000_values() -> Made {
    of_values(10_000, |(bytes, _)| bytes)
}

fn descriptors_of_a_value() -> Made {
    of_values(1, |(_, descriptors)| descriptors)
}

fn descriptors_of_100_values() -> Made {
    of_values(100, |(_, descriptors)| descriptors)
}

fn descriptors_of_10000_values() -> Made {
    of_values(10_000, |(_, descriptors)| descriptors)
}

/// What each of so many values holds, in a process that has them and nothing else.
fn of_values(count: usize, which: fn((f64, f64)) -> f64) -> Made {
    Ok(Box::new(move |_| {
        let process = commons::spawn(count, hold_values).expect("a process can be started");
        which(process.join().expect("so many values can be made"))
    }))
}

/// As many as most shells allow at first.
const USUAL_DESCRIPTORS: u64 = 1024;

/// The bytes and the descriptors of each.
fn hold_values(count: usize) -> (f64, f64) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let usual = Rlimit { current: Some(USUAL_DESCRIPTORS), maximum };
    setrlimit(Resource::Nofile, usual).expect("a lower limit is allowed");
    // What the first one brings with it belongs to none.
    let _first = Value::new(0u64).expect("a value can be made");
    let held = || {
        let descriptors = fs::read_dir("/proc/self/fd").expect("there is /proc").count();
        [data(std::process::id()), descriptors as f64]
    };
    held();
    let before = held();
    let values: Vec<_> =
        (0..count as u64).map(|n| Value::new(n).expect("there is room for one more")).collect();
    let after = held();
    drop(values);
    let [bytes, descriptors] = [0, 1].map(|which| (after[which] - before[which]) / count as f64);
    (bytes, descriptors)
}

fn after_100000_tasks() -> Made {
    after_tasks(100_000)
}

fn after_1000000_tasks() -> Made {
    after_tasks(1_000_000)
}

/// What a process and its two workers hold when so many tasks were done, whose results were dropped as
/// they came.
fn after_tasks(count: u64) -> Made {
    Ok(Box::new(move |_| {
        let process = commons::spawn(count, hold_a_pool).expect("a process can be started");
        process.join().expect("no task fails")
    }))
}

fn hold_a_pool(count: u64) -> f64 {
    let pool = Pool::new(2).expect("a pool can be started");
    let mut results = pool.map_iter(0..count, |n| n);
    for _ in 0..count {
        results.next().expect("there is one for each").expect("no task fails");
    }
    let processes = pool.ids().into_iter().chain([std::process::id()]);
    processes.map(resident).sum()
}
