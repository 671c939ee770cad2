//! What comes when: the same tasks, some long and some short, by `map_iter` in the order of the input
//! and by `map_unordered` as they are finished.
//!
//! `cargo run --release --example imap_order -- [NUMBER...]`

use std::time::Instant;

use commons::{Pool, TaskError};

/// A number and its prime factors, by trial division: soon done unless the last two are large.
fn factors(n: u64) -> (u64, Vec<u64>) {
    let (mut left, mut divisor, mut factors) = (n, 2, Vec::new());
    while divisor * divisor <= left {
        if left % divisor == 0 {
            factors.push(divisor);
            left /= divisor;
        } else {
            divisor += 1;
        }
    }
    factors.push(left);
    (n, factors)
}

fn show(
    name: &str,
    results: impl Iterator<Item = Result<(u64, Vec<u64>), TaskError>>,
) -> commons::Result<()> {
    println!("{name}");
    let start = Instant::now();
    for result in results {
        let (n, factors) = result?;
        println!("{:6.3} s  {n} = {factors:?}", start.elapsed().as_secs_f64());
    }
    Ok(())
}

fn main() -> commons::Result<()> {
    commons::init();
    let given = std::env::args().skip(1).map(|number| number.parse().expect("a number"));
    let mut numbers: Vec<u64> = given.collect();
    if numbers.is_empty() {
        numbers.extend(1_000_000_000_000_037..1_000_000_000_000_049);
    }

    let pool = Pool::new(4)?;
    show("map_iter", pool.map_iter(numbers.clone(), factors))?;
    show("map_unordered", pool.map_unordered(numbers, factors))
}
