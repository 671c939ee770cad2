//! Measuring: how often an operation is repeated, in how many rounds, and which round is reported.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use crate::clock;

/// One side of a row: does that many operations and says what they cost together, in the row's unit.
pub(crate) type Contestant = Box<dyn FnMut(u64) -> f64>;

/// A contestant, or why there is none.
pub(crate) type Made = Result<Contestant, String>;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How long a row shall take.
    budget: Duration,
}

impl Plan {
    pub(crate) const FULL: Self = Self { budget: Duration::from_secs(3) };
    pub(crate) const QUICK: Self = Self { budget: Duration::from_millis(500) };
}

/// What a round is, and in which unit it costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Round {
    /// As many operations as take about so long; nanoseconds.
    Time(Duration),
    /// One operation, and how much memory it holds.
    Bytes,
    /// One operation, and how many descriptors it holds.
    Descriptors,
}

/// What a contestant says of the time that its operations took.
pub(crate) fn cost(time: Duration) -> f64 {
    time.as_nanos() as f64
}

/// How long a round shall take. A scheduler hands a CPU to others for a few milliseconds at a time, so
/// of many rounds that are shorter than that most are not interrupted, and the median is of those.
pub(crate) const ROUND: Round = Round::Time(Duration::from_millis(2));

/// The same where there are more members than CPUs: in a shorter one not each would have had its turn,
/// and it would be measured how they begin.
pub(crate) const CROWDED_ROUND: Round = Round::Time(Duration::from_millis(20));

/// A row has no fewer, however long one takes.
const LEAST_ROUNDS: usize = 7;

/// What the rounds of one side gave for each operation, lowest first.
#[derive(Clone, Debug)]
pub(crate) struct Costs(Vec<f64>);

impl Costs {
    fn of(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        Self(rounds)
    }

    pub(crate) fn rounds(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// The rounds that a quarter of all undercut and exceed: how even the rounds were.
    pub(crate) fn quartiles(&self) -> [f64; 2] {
        [self.0[self.0.len() / 4], self.0[self.0.len() * 3 / 4]]
    }
}

/// Times `count` calls in a row, as the clock on the wall has it. Every contestant's result goes into
/// the same black box.
#[inline]
pub(crate) fn repeat<R>(count: u64, operation: impl FnMut() -> R) -> f64 {
    timed_by(clock::now, count, operation)
}

/// As [`repeat`], for what one thread does alone and awake: the time that others have the CPU is left
/// out.
#[inline]
pub(crate) fn repeat_alone<R>(count: u64, operation: impl FnMut() -> R) -> f64 {
    timed_by(clock::own_time, count, operation)
}

#[inline]
fn timed_by<R>(clock: fn() -> Duration, count: u64, mut operation: impl FnMut() -> R) -> f64 {
    let start = clock();
    for _ in 0..count {
        black_box(operation());
    }
    cost(clock() - start)
}

/// Measures both sides in alternating rounds, so that what slows the machine slows both.
pub(crate) fn side_by_side(
    plan: Plan,
    round: Round,
    ours: &mut Contestant,
    peer: &mut Contestant,
) -> [Costs; 2] {
    let (counts, budget) = match round {
        Round::Time(round) => ([calibrate(ours, round), calibrate(peer, round)], plan.budget),
        // Many rounds would give the same again.
        Round::Bytes | Round::Descriptors => ([1, 1], Duration::ZERO),
    };
    let mut rounds = [Vec::new(), Vec::new()];
    let start = Instant::now();
    while rounds[0].len() < LEAST_ROUNDS || start.elapsed() < budget {
        // Neither side always comes second.
        let first = rounds[0].len() % 2;
        for side in [first, 1 - first] {
            let contestant = if side == 0 { &mut *ours } else { &mut *peer };
            rounds[side].push(contestant(counts[side]) / counts[side] as f64);
        }
    }
    rounds.map(Costs::of)
}

/// How often a number of operations is tried before it is believed to fill a round.
const TRIALS: u32 = 5;

/// How many operations fill a round. What is run to find out also warms caches and predictors up.
fn calibrate(contestant: &mut Contestant, round: Duration) -> u64 {
    let mut count = 1;
    loop {
        // The fastest of a few: one that is slow for another reason, as the first call is or one that
        // was interrupted, must not decide, or all rounds would measure the start of a round.
        let fastest = (0..TRIALS).map(|_| contestant(count)).fold(f64::INFINITY, f64::min).max(1.0);
        let wanted = count as f64 * cost(round) / fastest;
        if fastest * 2.0 >= cost(round) {
            return (wanted as u64).max(1);
        }
        count = (wanted as u64).clamp(count * 2, count * 16);
    }
}
