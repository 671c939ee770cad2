//! A question and its answer: there and back between two.

use std::{
    hint,
    sync::atomic::{AtomicU64, Ordering::*},
    time::Duration,
};

use commons::{Connection, Shared};
use serde::{Deserialize, Serialize};

use crate::{
    clock,
    cpus::Side,
    crew::{Crew, Post},
    measure::{Contestant, Made, ROUND, cost},
    peers::{iceoryx2, python, raw_sync, socket},
    row::{NO_TARGET, Row},
};

const GROUP: &str = "pipe";

const fn row(name: &'static str, peer: &'static str, target: f64, ours: Maker, theirs: Maker) -> Row {
    Row { group: GROUP, name, peer, target, round: ROUND, ours, theirs }
}

type Maker = fn() -> Made;

pub(crate) const ROWS: &[Row] = &[
    row("cache-line", "one-cache-line", 2.00, ours, cache_line),
    row("two-lines", "two-cache-lines", NO_TARGET, ours, two_lines),
    row("iceoryx2", "iceoryx2-busy", 0.30, ours, iceoryx2::round_trip),
    row("raw_sync", "raw_sync-events", 0.30, ours, raw_sync::round_trip),
    row("python", "python-pipe", 0.05, ours, python_pipe),
    row("blocking", "unix-socket", 1.00, || spaced_by(GAP), || socket::round_trip(GAP)),
];

/// The asking member and the answering one, each on a CPU of its own.
pub(crate) const SEATS: [Option<Side>; 2] = [Some(Side::Leader), Some(Side::Partner)];

/// What a member of a pair does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Job<A, B> {
    Ask(A),
    Answer(B),
}

/// The two jobs of a pair.
pub(crate) fn pair<A, B>(ask: A, answer: B) -> [(Option<Side>, Job<A, B>); 2] {
    [(SEATS[0], Job::Ask(ask)), (SEATS[1], Job::Answer(answer))]
}

/// How long nobody asks, so that who answers has gone to sleep.
const GAP: Duration = Duration::from_micros(200);

/// Waits awake.
pub(crate) fn pause(gap: Duration) {
    if gap.is_zero() {
        return;
    }
    let start = clock::now();
    while clock::now() - start < gap {
        hint::spin_loop();
    }
}

/// The time of the round trips without the gaps before them.
pub(crate) fn without_gaps(gap: Duration, mut contestant: Contestant) -> Contestant {
    Box::new(move |count| (contestant(count) - cost(gap) * count as f64).max(0.0))
}

fn ours() -> Made {
    spaced_by(Duration::ZERO)
}

type End = Connection<u64, u64>;
type Ends = Job<(End, Duration), End>;

fn spaced_by(gap: Duration) -> Made {
    let (near, far) = commons::pipe::<u64, u64>().map_err(|error| error.to_string())?;
    let jobs = pair((near, gap), far);
    let crew = Crew::processes(jobs, |(post, job): (Post, Ends)| {
        post.attend(|turn| match &job {
            Job::Ask((end, gap)) => {
                for n in 0..turn.count() {
                    pause(*gap);
                    end.send(&n).expect("the other end is there");
                    assert_eq!(end.recv().expect("the other end is there"), n + 1);
                }
            }
            Job::Answer(end) => {
                for _ in 0..turn.count() {
                    let n = end.recv().expect("the other end is there");
                    end.send(&(n + 1)).expect("the other end is there");
                }
            }
        });
    })?;
    Ok(without_gaps(gap, crew.contestant(1)?))
}

/// Counts up in turn, each in the word that is its own: at least what an answer costs.
fn count_up(there: Shared<AtomicU64>, back: Shared<AtomicU64>) -> Made {
    type Words = [Shared<AtomicU64>; 2];
    let jobs = pair([there.clone(), back.clone()], [back, there]);
    let crew = Crew::processes(jobs, |(post, job): (Post, Job<Words, Words>)| {
        let wait = |word: &AtomicU64, n: u64| {
            while word.load(Acquire) != n {
                hint::spin_loop();
            }
        };
        let mut n = 0;
        post.attend(|turn| {
            for _ in 0..turn.count() {
                n += 2;
                match &job {
                    Job::Ask([there, back]) => {
                        there.store(n - 1, Release);
                        wait(back, n);
                    }
                    Job::Answer([back, there]) => {
                        wait(there, n - 1);
                        back.store(n, Release);
                    }
                }
            }
        });
    })?;
    crew.contestant(1)
}

fn word() -> Result<Shared<AtomicU64>, String> {
    Shared::new(AtomicU64::new(0)).map_err(|error| error.to_string())
}

fn cache_line() -> Made {
    let word = word()?;
    count_up(word.clone(), word)
}

/// As pipes have them: what one side writes the other only reads.
fn two_lines() -> Made {
    count_up(word()?, word()?)
}

/// Python times itself.
fn python_pipe() -> Made {
    python::contestant(
        "from multiprocessing import Pipe, Process
from time import monotonic_ns

near, far = Pipe()

def answer():
    while True:
        far.send(far.recv() + 1)

Process(target=answer, daemon=True).start()

def run(count):
    start = monotonic_ns()
    for number in range(count):
        near.send(number)
        near.recv()
    return monotonic_ns() - start
",
    )
}
