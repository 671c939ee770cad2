//! The sum of `i * n` over `i < 100_000`, for each `n < 10_000`: by one process, then by one worker
//! per CPU with a shared counter and progress of our own.
//!
//! `cargo run --release --example shared_counter -- [TASKS]`

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread::available_parallelism,
    time::{Duration, Instant},
};

use commons::{Shareable, Shared, Value, sync::Versioned};
use indicatif::{ProgressBar, ProgressStyle};

/// What the workers tell while they work.
#[derive(Default, Shareable)]
#[repr(C)]
struct Progress {
    begun: AtomicU64,
    done: AtomicU64,
    /// The largest sum so far, and whose it is.
    largest: Versioned<[u64; 2]>,
}

fn task(n: u64) -> u64 {
    (0..100_000).map(|i: u64| black_box(i) * n).sum()
}

/// Takes tasks until there are none left.
fn work((tasks, total, progress): (u64, Value<u64>, Shared<Progress>)) {
    loop {
        let n = progress.begun.fetch_add(1, Relaxed);
        if n >= tasks {
            return;
        }
        let sum = task(n);
        total.update(|total| *total += sum);
        progress.largest.update(|largest| *largest = [sum, n].max(*largest));
        progress.done.fetch_add(1, Relaxed);
    }
}

/// The same by one worker per CPU.
fn in_parallel(tasks: u64, workers: usize) -> commons::Result<(u64, [u64; 2])> {
    let total = Value::new(0)?;
    let progress = Shared::new(Progress::default())?;
    let start = |_| commons::spawn((tasks, total.clone(), progress.clone()), work);
    let processes = (0..workers).map(start).collect::<commons::Result<Vec<_>>>()?;

    let style = ProgressStyle::with_template("{bar:40} {pos}/{len}, {per_sec}").expect("a valid template");
    let bar = ProgressBar::new(tasks).with_style(style);
    for process in processes {
        while process.wait_timeout(Duration::from_millis(50))?.is_none() {
            bar.set_position(progress.done.load(Relaxed));
        }
        process.join()?;
    }
    bar.finish_and_clear();
    Ok((total.get(), progress.largest.get()))
}

fn main() -> commons::Result<()> {
    commons::init();
    let tasks = std::env::args().nth(1).map_or(10_000, |tasks| tasks.parse().expect("a number of tasks"));

    let start = Instant::now();
    let alone: u64 = (0..tasks).map(task).sum();
    let one = start.elapsed().as_secs_f64();

    let workers = available_parallelism().map_or(1, usize::from);
    let start = Instant::now();
    let (total, [largest, n]) = in_parallel(tasks, workers)?;
    let many = start.elapsed().as_secs_f64();

    assert_eq!(total, alone);
    println!("{total}");
    println!("the largest sum is {largest}, of task {n}");
    println!("1 process {one:.2} s, {workers} processes {many:.2} s: {:.2} times as fast", one / many);
    Ok(())
}
