//! Good tasks among bad ones: a panic, an exit, an abort, a kill and too much memory. Each bad task is
//! an error of its own, and all the others have their results.
//!
//! `cargo run --release --example errors`

use std::process;

use commons::Parallel;
use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};

/// What it is, and what to do.
type Task = (&'static str, fn() -> u64);

const TASKS: [Task; 9] = [
    ("a sum", || (1..=100).sum()),
    ("a panic", || panic!("this task wants to be told apart")),
    ("a product", || (1..=20).product()),
    ("an exit", || process::exit(3)),
    ("an abort", || process::abort()),
    ("a kill", || {
        kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
        unreachable!("it is dead")
    }),
    ("a division by zero", || (0..3).map(|n| 6 / n).sum()),
    ("too much memory", || {
        const GIB: u64 = 1 << 30;
        setrlimit(Resource::As, Rlimit { current: Some(GIB), maximum: Some(GIB) }).expect("a lower limit");
        vec![1u8; 2 * GIB as usize].into_iter().map(u64::from).sum()
    }),
    ("a count", || "good tasks are done".split(' ').count() as u64),
];

fn main() {
    commons::init();
    let outcomes = Parallel::new().outcomes(0..TASKS.len(), |n| TASKS[n].1());

    let good = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    for ((name, _), outcome) in TASKS.iter().zip(outcomes) {
        match outcome {
            Ok(result) => println!("{name:20} {result}"),
            Err(error) => println!("{name:20} {error}"),
        }
    }
    println!("{good} of {} tasks have a result", TASKS.len());
}
