//! Several processes, or threads, that work on a round together while their leader sleeps.
//!
//! A turn: the leader says how much is to be done and wakes its crew; each says that it is here and
//! waits, awake, for the others; all work; the last one that has ended wakes the leader. A turn takes
//! as long as from the first start to the last end, by a clock that all of them share. If each has a
//! CPU of its own, a turn in which other work kept one from it is taken again.

use std::{
    sync::atomic::{AtomicU64, Ordering::*},
    thread::{self, JoinHandle},
    time::Duration,
};

use commons::{Message, Process, Shareable, Shared, Value};
use serde::{Deserialize, Serialize};

use crate::{
    clock,
    cpus::{self, Side},
    measure::{Contestant, Made, cost},
};

/// What all of them look at. Turns are numbered from 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Muster {
    turn: Value<u64>,
    /// How many have ended, in all turns.
    ended: Value<u64>,
    marks: Shared<Marks>,
}

#[derive(Default, Debug, Shareable)]
#[repr(C)]
struct Marks {
    count: AtomicU64,
    /// How many have come, in all turns.
    here: AtomicU64,
    /// The turn that a member has stopped.
    stopped: AtomicU64,
    /// The first start and the last end of the turn, and how long others kept a member from its CPU at
    /// the most, in nanoseconds.
    from: AtomicU64,
    to: AtomicU64,
    kept_waiting: AtomicU64,
}

/// Instead of a turn: go home.
const LEAVE: u64 = u64::MAX;

/// Nobody works longer at a round.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a turn is taken until there is one without others. On a machine that is busy enough there
/// is none, and the last one counts.
const TRIES: u32 = 10;

/// A member's place in a crew.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Post {
    muster: Muster,
    crew: u64,
    seat: Option<Side>,
}

/// What a member is to do.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    number: u64,
    marks: &'a Marks,
}

impl Turn<'_> {
    pub(crate) fn count(&self) -> u64 {
        self.marks.count.load(Relaxed)
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// For a member that works for as long as another one.
    #[inline]
    pub(crate) fn goes_on(&self) -> bool {
        self.marks.stopped.load(Relaxed) != self.number
    }

    /// For that other one, when it has done its count.
    pub(crate) fn stop(&self) {
        self.marks.stopped.store(self.number, Relaxed);
    }
}

impl Post {
    /// The member's life: turn after turn, until the leader dismisses it.
    pub(crate) fn attend(self, mut work: impl FnMut(&Turn<'_>)) {
        let _seat = self.seat.and_then(cpus::take);
        let Muster { turn, ended, marks } = &self.muster;
        let mut last = 0;
        loop {
            let number = turn.wait_until(|&turn| turn > last);
            if number == LEAVE {
                return;
            }
            let before = clock::kept_waiting();
            marks.here.fetch_add(1, AcqRel);
            while marks.here.load(Acquire) < number * self.crew {
                thread::yield_now();
            }
            marks.from.fetch_min(nanoseconds(clock::now()), Relaxed);
            work(&Turn { number, marks });
            marks.to.fetch_max(nanoseconds(clock::now()), Relaxed);
            marks.kept_waiting.fetch_max(nanoseconds(clock::kept_waiting() - before), Relaxed);
            ended.update(|ended| *ended += 1);
            last = number;
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}

/// Members, who leave when this is dropped.
#[derive(Debug)]
pub(crate) struct Crew {
    muster: Muster,
    who: Vec<Member>,
    /// Whether each has a CPU of its own.
    apart: bool,
}

#[derive(Debug)]
enum Member {
    Process(Process<()>),
    Thread(JoinHandle<()>),
}

impl Crew {
    /// A process for each job; `None` leaves it to the scheduler on which CPU it runs.
    pub(crate) fn processes<J: Message>(
        jobs: impl IntoIterator<Item = (Option<Side>, J)>,
        attend: fn((Post, J)),
    ) -> Result<Self, String> {
        Self::of(jobs, |post, job| {
            commons::spawn((post, job), attend).map(Member::Process).map_err(|error| error.to_string())
        })
    }

    /// A thread for each job, for peers that stay within a process.
    pub(crate) fn threads<J: Send + 'static>(
        jobs: impl IntoIterator<Item = (Option<Side>, J)>,
        attend: fn((Post, J)),
    ) -> Result<Self, String> {
        Self::of(jobs, |post, job| Ok(Member::Thread(thread::spawn(move || attend((post, job))))))
    }

    fn of<J>(
        jobs: impl IntoIterator<Item = (Option<Side>, J)>,
        hire: impl Fn(Post, J) -> Result<Member, String>,
    ) -> Result<Self, String> {
        let muster = || {
            let (turn, ended) = (Value::new(0)?, Value::new(0)?);
            Ok(Muster { turn, ended, marks: Shared::new(Marks::default())? })
        };
        let muster = muster().map_err(|error: commons::Error| error.to_string())?;
        let jobs = Vec::from_iter(jobs);
        let mut seats = Vec::from_iter(jobs.iter().filter_map(|(seat, _)| *seat));
        seats.dedup();
        let apart = seats.len() == jobs.len();
        let mut crew = Self { muster: muster.clone(), who: Vec::new(), apart };
        let members = jobs.len() as u64;
        for (seat, job) in jobs {
            crew.who.push(hire(Post { muster: muster.clone(), crew: members, seat }, job)?);
        }
        Ok(crew)
    }

    /// The time in which they did a turn, with others hardly at work beside them.
    fn turn(&self, count: u64) -> Duration {
        let mut tries = 0;
        loop {
            let (elapsed, kept_waiting) = self.try_turn(count);
            tries += 1;
            if !self.apart || kept_waiting <= elapsed / 10 || tries == TRIES {
                return elapsed;
            }
        }
    }

    fn try_turn(&self, count: u64) -> (Duration, Duration) {
        let Muster { turn, ended, marks } = &self.muster;
        marks.count.store(count, Relaxed);
        marks.from.store(u64::MAX, Relaxed);
        marks.to.store(0, Relaxed);
        marks.kept_waiting.store(0, Relaxed);
        let number = turn.update(|turn| {
            *turn += 1;
            *turn
        });
        let all = number * self.who.len() as u64;
        ended.wait_until_timeout(|&ended| ended >= all, PATIENCE).expect("all of them end their turn");
        let read = |mark: &AtomicU64| Duration::from_nanos(mark.load(Relaxed));
        (read(&marks.to) - read(&marks.from), read(&marks.kept_waiting))
    }

    /// A contestant that does `count` operations, or a few more, so that each of `share` members does as
    /// many.
    pub(crate) fn contestant(self, share: u64) -> Made {
        let contestant: Contestant = Box::new(move |count| {
            let whole = count.next_multiple_of(share);
            // As if the few more had not been.
            cost(self.turn(whole)) * count as f64 / whole as f64
        });
        Ok(contestant)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.muster.turn.set(LEAVE);
        for member in self.who.drain(..) {
            let ended = match member {
                Member::Process(process) => process.join().map_err(|error| error.to_string()),
                Member::Thread(thread) => thread.join().map_err(|_| "it panicked".to_owned()),
            };
            if let Err(why) = ended {
                eprintln!("a member of a row's crew has failed: {why}");
            }
        }
    }
}
