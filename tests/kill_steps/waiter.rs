//! Another process waits for the lock while its owner dies.

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering::*},
    thread,
    time::Duration,
};

use commons::{Exit, Process, Shareable, Shared, Value};
use rustix::time::{ClockId, clock_gettime};

use super::{
    harness::{Died, LONG, Scene, eventually, kill_after_every_instruction, reap},
    ptrace::Marker,
    value::{Wide, died, next},
};

/// A waiter that was woken goes on within this time after the death of the owner, where 100 ms are
/// promised: one that was not finds out by itself at the end of its slice, which may last 50 ms.
const WOKEN: Duration = Duration::from_millis(20);

/// On a busy machine a waiter that was woken may wait for a processor, and so may the worker that is
/// to die. That is chance, and not so often in a row.
const CHANCES: u32 = 5;

/// The slices of a waiter grow from 1 ms; after this time it has just begun one of 50 ms.
const UNTIL_LONG_SLICES: Duration = Duration::from_millis(68);

/// What the waiter tells.
#[derive(Default, Shareable)]
#[repr(C)]
struct Told {
    began: AtomicU64,
    ended: AtomicU64,
    /// On the monotonic clock, which all processes share.
    ended_at: AtomicU64,
}

type Handles = (Value<Wide>, Value<u64>, Shared<Told>);

/// Updates the value once whenever the round has grown; round `u64::MAX` is the last.
fn wait_and_update((value, rounds, told): Handles) {
    let mut done = 0;
    loop {
        done = rounds.wait_until_timeout(|&round| round > done, LONG).unwrap();
        if done == u64::MAX {
            return;
        }
        told.began.store(done, Release);
        value.update(next);
        told.ended_at.store(now().as_nanos() as u64, Relaxed);
        told.ended.store(done, Release);
    }
}

fn now() -> Duration {
    clock_gettime(ClockId::Monotonic).try_into().unwrap()
}

struct Waiter {
    value: Value<Wide>,
    rounds: Value<u64>,
    told: Shared<Told>,
    process: Process<()>,
    /// How long it has slept when the steps go on.
    sleeps_for: Duration,
    known: u64,
    round: u64,
    asked: bool,
    /// Whether it waited in the moment of the death.
    waits: bool,
    death: Duration,
    latencies: Vec<Duration>,
    late: u32,
}

impl Waiter {
    fn new(sleeps_for: Duration) -> Self {
        let value = Value::new([1; 8]).unwrap();
        let rounds = Value::new(0).unwrap();
        let told = Shared::new(Told::default()).unwrap();
        let handles = (value.clone(), rounds.clone(), told.clone());
        let process = commons::spawn(handles, wait_and_update).unwrap();
        Self {
            value,
            rounds,
            told,
            process,
            sleeps_for,
            known: 1,
            round: 0,
            asked: false,
            waits: false,
            death: Duration::ZERO,
            latencies: Vec::new(),
            late: 0,
        }
    }

    /// Has the waiter update the value. Returns when it sleeps, or has done so.
    fn ask(&mut self) {
        self.asked = true;
        self.round += 1;
        self.rounds.set(self.round);
        eventually("the waiter waits", || self.has_ended() || (self.has_begun() && self.is_asleep()));
    }

    fn has_begun(&self) -> bool {
        self.told.began.load(Acquire) == self.round
    }

    fn has_ended(&self) -> bool {
        self.told.ended.load(Acquire) == self.round
    }

    fn is_asleep(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('S')
    }
}

impl Scene for Waiter {
    const MARKERS: u32 = 2;

    fn at_marker(&mut self) {
        self.ask();
        assert!(!self.has_ended(), "two have the lock");
        thread::sleep(self.sleeps_for);
    }

    fn before_death(&mut self) {
        if !self.asked {
            self.ask();
        }
        self.asked = false;
        self.waits = !self.has_ended();
        self.death = now();
    }

    fn check(&mut self) -> Died {
        eventually("the waiter has the lock", || self.has_ended());
        if self.waits {
            let latency = Duration::from_nanos(self.told.ended_at.load(Relaxed)).saturating_sub(self.death);
            self.late = if latency < WOKEN { 0 } else { self.late + 1 };
            assert!(self.late < CHANCES, "not woken: {latency:?} after the death, and late {CHANCES} times");
            self.latencies.push(latency);
        }

        // The waiter has added one to what the worker left.
        let seen = self.value.get();
        let died = died(seen.map(|word| word - 1), self.known + 1);
        let guard = self.value.try_lock().expect("somebody holds the lock");
        assert_eq!(*guard, seen);
        drop(guard);
        self.known = seen[0];
        died
    }

    fn again(&mut self) -> bool {
        self.late != 0
    }
}

/// The marker in the middle stands where the worker holds the lock: the steps before it are made
/// before anybody waits, those after it while the waiter sleeps.
fn deaths_beside_a_waiter(name: &str, sleeps_for: Duration) {
    let worker = |value: Value<Wide>| {
        let marker = Marker::when_traced();
        value.update(next);
        marker.hit();
        value.update(|value| {
            next(value);
            marker.hit();
        });
        marker.hit();
    };
    let mut waiter = Waiter::new(sleeps_for);
    let value = waiter.value.clone();
    kill_after_every_instruction(name, &value, worker, &mut waiter);
    waiter.rounds.set(u64::MAX);
    assert_eq!(reap(&waiter.process), Exit::Code(0));
    let mut latencies = waiter.latencies;
    latencies.sort();
    if let Some(longest) = latencies.last() {
        let (count, median) = (latencies.len(), latencies[latencies.len() / 2]);
        println!("{name}: it went on {median:?} (median), {longest:?} (longest) after {count} deaths");
    }
}

#[test]
fn a_waiter_that_has_just_fallen_asleep_goes_on() {
    deaths_beside_a_waiter("Value::update, a new waiter", Duration::ZERO);
}

#[test]
fn a_waiter_in_a_long_slice_is_woken() {
    deaths_beside_a_waiter("Value::update, an old waiter", UNTIL_LONG_SLICES);
}
