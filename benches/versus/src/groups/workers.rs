//! Processes that are started for one function, and workers that run many. The functions do nothing: what
//! is measured is what it costs to have them run elsewhere.

use commons::{Parallel, Pool};

use crate::{
    measure::{CROWDED_ROUND, Made, ROUND, repeat},
    peers::{command, python},
    row::Row,
};

const GROUP: &str = "workers";

/// Enough to work side by side, and no more than a small machine has CPUs.
const WORKERS: usize = 2;

/// The tasks of one call, on both sides: what a call costs besides its tasks counts as well.
const TASKS: u64 = 10_000;

pub(crate) const ROWS: &[Row] = &[
    Row {
        group: GROUP,
        name: "command",
        peer: "Command",
        target: 2.50,
        round: ROUND,
        ours: spawn_and_join,
        theirs: command::nothing,
    },
    Row {
        group: GROUP,
        name: "python-spawn",
        peer: "python-spawn",
        target: 0.06,
        round: ROUND,
        ours: spawn_and_join,
        theirs: python_spawn,
    },
    Row {
        group: GROUP,
        name: "map-10000",
        peer: "python-pool",
        target: 0.03,
        round: CROWDED_ROUND,
        ours: map_one_by_one,
        theirs: python_map,
    },
    Row {
        group: GROUP,
        name: "submit",
        peer: "python-apply",
        target: 0.15,
        round: CROWDED_ROUND,
        ours: submit,
        theirs: python_apply,
    },
    Row {
        group: GROUP,
        name: "parallel-10000",
        peer: "joblib",
        target: 0.03,
        round: CROWDED_ROUND,
        ours: parallel,
        theirs: joblib,
    },
];

fn spawn_and_join() -> Made {
    Ok(Box::new(|count| {
        repeat(count, || {
            let process = commons::spawn((), |()| ()).expect("a process can be started");
            process.join().expect("it ends well");
        })
    }))
}

/// One operation is a whole call, in which each task goes to a worker alone.
fn map_one_by_one() -> Made {
    let pool = Pool::builder().workers(WORKERS).chunk(1).build().map_err(|error| error.to_string())?;
    Ok(Box::new(move |count| repeat(count, || pool.map(0..TASKS, |n| n).expect("no task fails"))))
}

/// The next task is submitted when the last one's result is there.
fn submit() -> Made {
    let pool = Pool::new(WORKERS).map_err(|error| error.to_string())?;
    Ok(Box::new(move |count| {
        repeat(count, || {
            let task = pool.submit(7u64, |n| n).expect("the pool is open");
            task.join().expect("it does not fail")
        })
    }))
}

/// One operation is a whole call, in which as many tasks go together as turn out well. The workers stay from
/// call to call, as joblib's do.
fn parallel() -> Made {
    Ok(Box::new(|count| {
        repeat(count, || {
            let parallel = Parallel::new().jobs(WORKERS as i64);
            parallel.map(0..TASKS, |n| n).expect("no task fails")
        })
    }))
}

/// What Python's workers run is built into Python, so that they find it without a file.
fn python_spawn() -> Made {
    python_repeats(
        "from multiprocessing import get_context\ncontext = get_context('spawn')",
        "process = context.Process(target=abs, args=(7,)); process.start(); process.join()",
    )
}

fn python_map() -> Made {
    python_with_pool(&format!("pool.map(abs, range({TASKS}), chunksize=1)"))
}

fn python_apply() -> Made {
    python_with_pool("pool.apply(abs, (7,))")
}

fn python_with_pool(work: &str) -> Made {
    python_repeats(&format!("from multiprocessing import Pool\npool = Pool({WORKERS})"), work)
}

/// Does `work`, a line, again and again, after `before`.
fn python_repeats(before: &str, work: &str) -> Made {
    python::contestant(&format!(
        "from time import perf_counter_ns
{before}

def run(count):
    start = perf_counter_ns()
    for _ in range(count):
        {work}
    return perf_counter_ns() - start
"
    ))
}

fn joblib() -> Made {
    python::joblib_contestant(&format!(
        "from joblib import Parallel, delayed
from time import perf_counter_ns

def run(count):
    start = perf_counter_ns()
    for _ in range(count):
        Parallel(n_jobs={WORKERS})(delayed(abs)(n) for n in range({TASKS}))
    return perf_counter_ns() - start
"
    ))
}
