//! 10,000 sums of 100,000 numbers each: one after the other, in processes, and in threads.
//!
//! `cargo run --release --example parallel_sum -- [TASKS [NUMBERS]]`

use std::{hint::black_box, time::Instant};

use commons::{Backend, Parallel};

/// The sum of `i * n` over the first `numbers` `i`.
fn sum(numbers: &u64, n: u64) -> u64 {
    (0..*numbers).map(|i| black_box(i) * n).sum()
}

fn main() -> commons::Result<()> {
    commons::init();
    let mut sizes = std::env::args().skip(1).map(|size| size.parse().expect("a number"));
    let tasks = sizes.next().unwrap_or(10_000);
    let numbers = sizes.next().unwrap_or(100_000);

    let mut alone = None;
    for backend in [Backend::sequential(), Backend::processes(), Backend::threads()] {
        let start = Instant::now();
        let sums = Parallel::new().backend(backend.clone()).with(numbers).map(0..tasks, sum)?;
        let time = start.elapsed().as_secs_f64();

        let total: u64 = sums.iter().sum();
        let speed = *alone.get_or_insert(time) / time;
        println!("{total} in {time:.2} s, {speed:.2} times as fast, {backend:?}");
    }
    Ok(())
}
