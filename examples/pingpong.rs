//! A ball between two processes: how long a message takes there and back.
//!
//! `cargo run --release --example pingpong -- [ROUNDS]`

use std::time::{Duration, Instant};

use commons::{Connection, Error};

/// Sends back what comes, one higher, until nobody is on the other side.
fn pong(far: Connection<u64, u64>) {
    while let Ok(ball) = far.recv() {
        if far.send(&(ball + 1)).is_err() {
            return;
        }
    }
}

/// One round trip.
fn ping(near: &Connection<u64, u64>, ball: u64) -> commons::Result<u64> {
    near.send(&ball)?;
    Ok(near.recv()?)
}

fn main() -> Result<(), Error> {
    commons::init();
    let rounds = match std::env::args().nth(1).map(|rounds| rounds.parse()) {
        None => 100_000,
        Some(Ok(rounds)) if rounds > 0 => rounds,
        Some(_) => {
            eprintln!("usage: pingpong [ROUNDS]");
            std::process::exit(2);
        }
    };
    let (near, far) = commons::pipe::<u64, u64>()?;
    let other = commons::spawn(far, pong)?;

    let mut ball = 0;
    let mut times: Vec<Duration> = Vec::with_capacity(rounds);
    let begin = Instant::now();
    for _ in 0..rounds {
        let start = Instant::now();
        ball = ping(&near, ball)?;
        times.push(start.elapsed());
    }
    let whole = begin.elapsed();
    drop(near);
    other.join()?;

    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{rounds} round trips, the ball came back as {ball}");
    println!(
        "{:?} each; half of them within {:?}, 99 of 100 within {:?}",
        whole / rounds as u32,
        at(50),
        at(99)
    );
    Ok(())
}
