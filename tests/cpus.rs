//! How many CPUs a program may use: really restricted threads and processes, and the variable.

mod common;

use commons::{CpuCount, Process, ProcessError, cpu_count};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::common::{PATIENCE, Peer, command, play, say};

commons::init_in_tests!();

const VARIABLE: &str = "COMMONS_MAX_CPUS";

#[test]
fn role() {
    play(&[("explain", explain)]);
}

/// Says the count, the limit, and the row of the explanation that is about the limit.
fn explain() {
    let cpus = CpuCount::explain();
    assert_eq!(cpus.get(), cpu_count());
    say(cpus.get());
    say(format!("{:?}", cpus.limit()));
    say(cpus.to_string().lines().last().unwrap());
}

/// What `explain` says with this in its environment.
fn with_variable(value: Option<&str>) -> (usize, String, String) {
    let mut command = command("explain");
    match value {
        Some(value) => command.env(VARIABLE, value),
        None => command.env_remove(VARIABLE),
    };
    let mut peer = Peer::start(&mut command);
    let said = (peer.line().parse().unwrap(), peer.line(), peer.line());
    assert!(peer.ends_well());
    said
}

/// From now on this thread runs on one CPU, and so does what it starts.
fn stay_on_one() {
    let all = sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu)).unwrap();
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).unwrap();
}

fn join(process: Process<(usize, usize, usize)>) -> Result<(usize, usize, usize), ProcessError> {
    assert!(process.wait_timeout(PATIENCE).unwrap().is_some(), "{process:?} does not end");
    process.join()
}

#[test]
fn the_count_is_the_least_of_the_limits() {
    let cpus = CpuCount::explain();
    let limits = [Some(cpus.online()), Some(cpus.affinity()), cpus.quota(), cpus.limit()];
    assert_eq!(Some(cpus.get()), limits.into_iter().flatten().min());
    assert_eq!(cpus.affinity(), sched_getaffinity(None).unwrap().count() as usize);
}

#[test]
fn a_thread_that_stays_on_one_cpu_has_one() {
    let before = CpuCount::explain();
    let threads = std::thread::spawn(|| {
        stay_on_one();
        let heir = std::thread::spawn(|| CpuCount::explain().affinity()).join().unwrap();
        (CpuCount::explain(), heir)
    });
    let (cpus, heir) = threads.join().unwrap();
    assert_eq!((cpus.affinity(), cpus.get(), heir), (1, 1, 1));
    assert_eq!(cpus.online(), before.online());
    assert_eq!(CpuCount::explain().affinity(), before.affinity(), "another thread's mask is its own");
}

#[test]
fn a_process_that_stays_on_one_cpu_has_one() {
    let process = commons::spawn((), |()| {
        stay_on_one();
        let cpus = CpuCount::explain();
        (cpus.affinity(), cpus.get(), cpu_count())
    });
    assert_eq!(join(process.unwrap()).unwrap(), (1, 1, 1));
}

#[test]
fn the_variable_lowers_the_count_and_never_raises_it() {
    let (free, limit, row) = with_variable(None);
    assert_eq!(limit, "None");
    assert!(row.ends_with("COMMONS_MAX_CPUS is not set"), "{row}");

    let one = with_variable(Some("1"));
    assert_eq!((one.0, one.1.as_str()), (1, "Some(1)"));

    let many = with_variable(Some("1000000"));
    assert_eq!((many.0, many.1.as_str()), (free, "Some(1000000)"));
}

#[test]
fn a_variable_that_is_no_positive_number_is_ignored_and_said_to_be() {
    let (free, ..) = with_variable(None);
    for value in ["", "0", "-1", "two"] {
        let (count, limit, row) = with_variable(Some(value));
        assert_eq!((count, limit.as_str()), (free, "None"), "{value:?}");
        assert!(row.contains(&format!("{VARIABLE}={value:?} is ignored: expected a whole number")), "{row}");
    }
}
