//! Single tasks, as in Python's `concurrent.futures`: submitted, taken as they are finished, raced,
//! waited for with patience, and called off.
//!
//! `cargo run --release --example executor -- [LIMIT]`

use std::{ops::Range, time::Duration};

use commons::{Pool, as_completed, wait_any};

/// How many primes there are, by trial division.
fn divide(range: Range<u64>) -> u64 {
    let is_prime = |&n: &u64| n > 1 && (2..).take_while(|d| d * d <= n).all(|d| n % d != 0);
    range.filter(is_prime).count() as u64
}

/// The same, by the sieve of Eratosthenes.
fn sieve(range: Range<u64>) -> u64 {
    let mut prime = vec![true; range.end as usize];
    prime.iter_mut().take(2).for_each(|prime| *prime = false);
    for n in (2..prime.len()).take_while(|n| n * n < range.end as usize) {
        if prime[n] {
            prime[n * n..].iter_mut().step_by(n).for_each(|prime| *prime = false);
        }
    }
    range.filter(|&n| prime[n as usize]).count() as u64
}

fn main() -> commons::Result<()> {
    commons::init();
    let limit: u64 = std::env::args().nth(1).map_or(2_000_000, |limit| limit.parse().expect("a number"));
    let pool = Pool::new(2)?;

    // Many tasks, each as it is finished.
    let parts = (0..10).map(|n| limit * n / 10..limit * (n + 1) / 10);
    let tasks = parts.map(|part| pool.submit(part, divide)).collect::<commons::Result<Vec<_>>>()?;
    let mut primes = 0;
    for task in as_completed(tasks) {
        primes += task.join()?;
    }
    println!("{primes} primes below {limit}");

    // Two ways to the same result: the first one home wins.
    let mut race = vec![pool.submit(0..limit, divide)?, pool.submit(0..limit, sieve)?];
    let first = wait_any(&race);
    println!("{} was first: {}", ["division", "the sieve"][first], race.swap_remove(first).join()?);

    // Nobody waits for ever.
    let endless = (0..1000).map(|_| pool.submit(0..u64::MAX, divide));
    let endless = endless.collect::<commons::Result<Vec<_>>>()?;
    if let Err(error) = endless[0].wait_timeout(Duration::from_millis(100)) {
        println!("{error}");
    }

    // What has not begun is called off; what has begun ends with its worker.
    let called_off = endless.iter().filter(|task| task.cancel()).count();
    println!("{called_off} of {} called off", endless.len());
    pool.terminate();
    Ok(())
}
