//! The sum of `i * n` over `i < 100_000`, for each `n < 10_000`: by one process, then by one worker
//! per CPU with a shared counter and a progress structure of our own.
//!
//! `cargo run --release --example shared_counter`

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread::available_parallelism,
    time::{Duration, Instant},
};

use commons::{Process, Shareable, Shared, Value, sync::Versioned};
use indicatif::{ProgressBar, ProgressStyle};

const TASKS: u64 = 10_000;

/// What the workers tell while they work.
#[derive(Default, Shareable)]
#[repr(C)]
struct Progress {
    next: AtomicU64,
    done: AtomicU64,
    /// The task with the largest sum so far, and that sum.
    largest: Versioned<[u64; 2]>,
}

fn task(n: u64) -> u64 {
    (0..100_000).map(|i: u64| black_box(i) * n).sum()
}

/// Takes tasks until there are none left.
fn work((total, progress): (Value<u64>, Shared<Progress>)) {
    loop {
        let n = progress.next.fetch_add(1, Relaxed);
        if n >= TASKS {
            return;
        }
        let sum = task(n);
        total.update(|total| *total += sum);
        progress
            .largest
            .update(|largest| *largest = [*largest, [n, sum]].into_iter().max_by_key(|l| l[1]).unwrap());
        progress.done.fetch_add(1, Relaxed);
    }
}

fn main() -> commons::Result<()> {
    commons::init();
    let begin = Instant::now();
    let alone: u64 = (0..TASKS).map(task).sum();
    let one = begin.elapsed();

    let workers = available_parallelism().map_or(1, usize::from);
    let total = Value::new(0u64)?;
    let progress = Shared::new(Progress::default())?;
    let begin = Instant::now();
    let spawn = |_| commons::spawn((total.clone(), progress.clone()), work);
    let mut processes: Vec<Process<()>> = (0..workers).map(spawn).collect::<Result<_, _>>()?;

    let bar = ProgressBar::new(TASKS)
        .with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec}").unwrap());
    while let Some(process) = processes.pop() {
        while process.wait_timeout(Duration::from_millis(50))?.is_none() {
            bar.set_position(progress.done.load(Relaxed));
        }
        process.join()?;
    }
    bar.finish_and_clear();
    let many = begin.elapsed();

    assert_eq!(total.get(), alone);
    let [n, sum] = progress.largest.get();
    println!("{}", total.get());
    println!("the largest sum is {sum}, of task {n}");
    println!(
        "1 process {:.2} s, {workers} processes {:.2} s: {:.2} times as fast",
        one.as_secs_f64(),
        many.as_secs_f64(),
        one.as_secs_f64() / many.as_secs_f64()
    );
    Ok(())
}
