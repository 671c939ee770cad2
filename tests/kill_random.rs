//! Eight processes work on shared objects, and every few milliseconds one of them is killed.
//!
//! What is shared is made of places: the value, the mutex, blocks of an array that are claimed, wide
//! elements of another array. A place counts, for each of the eight lanes, how often the lane's
//! worker changed it; and it has a total that a half-made change would leave wrong.
//!
//! The oracle is a journal under no lock: for each lane and place what was intended (written before)
//! and what was done (written after). The count of a living lane lies between the two. When its
//! worker was killed the parent reads the one place where they differ and settles it, before
//! there is a new worker: so every change is known, and at the end all counts are exact.

mod common;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::*},
    time::{Duration, Instant},
};

use common::{
    chance::{Chance, number, seed},
    watchdog::watchdog,
};
use commons::{
    Array, Exit, Plain, Process, Shareable, Shared, Value,
    sync::{Mutex, MutexGuard, OwnerDied, TryLockError},
};

commons::init_in_tests!();

const LANES: usize = 8;
const BLOCKS: usize = 8;
const ELEMENTS: usize = 4;
const VALUE: usize = 0;
const MUTEX: usize = 1;
const BLOCK: usize = 2;
const ELEMENT: usize = BLOCK + BLOCKS;
const PLACES: usize = ELEMENT + ELEMENTS;

/// Longer than any wait for a lock takes; each holder is dead or done in far less.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a place holds when it changes whole.
#[derive(Clone, Copy, PartialEq, Debug, Plain)]
#[repr(C)]
struct Counts {
    lanes: [u64; LANES],
    total: u64,
    /// Not all ones and zeroes, so that a mixture of two versions cannot pass.
    check: u64,
}

impl Counts {
    const NONE: Self = Self { lanes: [0; LANES], total: 0, check: 0 };

    fn add(&mut self, lane: usize) {
        self.lanes[lane] += 1;
        self.total += 1;
        self.check = self.total.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn assert_whole(&self, what: &str) {
        let whole = self.lanes.iter().sum::<u64>() == self.total
            && self.check == self.total.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        assert!(whole, "{what} is torn: {self:?}");
    }
}

/// A block in place: counts by lane, then the total.
type Block = [u64; LANES + 1];

/// How far a half-made change got: the total may be one behind.
fn missing(block: &[u64]) -> u64 {
    block[..LANES].iter().sum::<u64>().wrapping_sub(block[LANES])
}

/// Where a worker is, for the statistics, and for how many owners died.
const STARTING: u32 = 0;
const BETWEEN: u32 = 1;
const WANTING: u32 = 2;
const INSIDE: u32 = 3;
const LEAVING: u32 = 4;

#[derive(Shareable)]
#[repr(C)]
struct Lane {
    intended: [AtomicU64; PLACES],
    done: [AtomicU64; PLACES],
    /// `kind * 8 + phase`.
    phase: AtomicU32,
    /// The last worker of this lane that the parent decided to kill.
    condemned: AtomicU32,
}

#[derive(Shareable)]
#[repr(C)]
struct Arena {
    mutex: Mutex<Block>,
    lanes: [Lane; LANES],
    /// Who is inside, by place.
    owners: [AtomicU64; PLACES],
    /// How often the mutex said that an owner died.
    owners_died: AtomicU64,
    panics: AtomicU64,
    stop: AtomicU32,
}

fn arena() -> Arena {
    let zeroes = || [const { AtomicU64::new(0) }; PLACES];
    let lane = |_| Lane {
        intended: zeroes(),
        done: zeroes(),
        phase: AtomicU32::new(0),
        condemned: AtomicU32::new(0),
    };
    Arena {
        mutex: Mutex::new([0; LANES + 1]),
        lanes: std::array::from_fn(lane),
        owners: zeroes(),
        owners_died: AtomicU64::new(0),
        panics: AtomicU64::new(0),
        stop: AtomicU32::new(0),
    }
}

type Objects = (Shared<Arena>, Value<Counts>, Array<u64>, Array<Counts>);

struct Worker {
    arena: Shared<Arena>,
    value: Value<Counts>,
    blocks: Array<u64>,
    elements: Array<Counts>,
    lane: usize,
    number: u32,
    chance: Chance,
}

impl Worker {
    fn lane(&self) -> &Lane {
        &self.arena.lanes[self.lane]
    }

    fn phase(&self, place: usize, phase: u32) {
        self.lane().phase.store(kind(place) * 8 + phase, SeqCst);
    }

    fn intend(&self, place: usize) {
        self.lane().intended[place].fetch_add(1, SeqCst);
    }

    fn done(&self, place: usize) {
        self.lane().done[place].fetch_add(1, SeqCst);
    }

    /// Says that this worker is inside; whoever is said to be there was condemned.
    fn enter(&self, place: usize) {
        self.phase(place, INSIDE);
        let me = u64::from(self.number) * LANES as u64 + self.lane as u64 + 1;
        let before = self.arena.owners[place].swap(me, SeqCst);
        if let Some(before) = before.checked_sub(1) {
            let (lane, number) = (before as usize % LANES, (before / LANES as u64) as u32);
            let condemned = self.arena.lanes[lane].condemned.load(SeqCst);
            assert!(
                condemned >= number,
                "worker {number} of lane {lane} lives and is inside place {place} too"
            );
        }
    }

    fn leave(&self, place: usize) {
        let me = u64::from(self.number) * LANES as u64 + self.lane as u64 + 1;
        assert_eq!(
            self.arena.owners[place].swap(0, SeqCst),
            me,
            "somebody else was inside place {place} too"
        );
        self.phase(place, LEAVING);
    }

    fn change_value(&mut self) {
        self.value.get().assert_whole("the value");
        self.phase(VALUE, WANTING);
        self.intend(VALUE);
        let mut guard = self.value.lock_timeout(PATIENCE).expect("the value's lock is had in time");
        self.enter(VALUE);
        guard.assert_whole("the value");
        guard.add(self.lane);
        linger(&mut self.chance);
        self.leave(VALUE);
        drop(guard);
        self.done(VALUE);
    }

    fn change_mutex(&mut self) {
        self.phase(MUTEX, WANTING);
        self.intend(MUTEX);
        let mut guard = lock(&self.arena);
        self.enter(MUTEX);
        guard[self.lane] += 1;
        linger(&mut self.chance);
        guard[LANES] += 1;
        self.leave(MUTEX);
        drop(guard);
        self.done(MUTEX);
    }

    fn change_blocks(&mut self) {
        let count = 1 + self.chance.below(3);
        let first = self.chance.below(BLOCKS + 1 - count);
        let width = LANES + 1;
        self.phase(BLOCK, WANTING);
        let range = first * width..(first + count) * width;
        if self.chance.one_in(4) {
            let share = self.blocks.share_timeout(range, PATIENCE).expect("the range is shared in time");
            self.phase(BLOCK, INSIDE);
            let before = share.to_vec();
            linger(&mut self.chance);
            assert_eq!(share[..], before, "somebody writes a range that is shared");
            self.phase(BLOCK, LEAVING);
            return;
        }
        let mut claim = self.blocks.claim_timeout(range, PATIENCE).expect("the range is claimed in time");
        for (place, block) in (BLOCK + first..).zip(claim.chunks_exact_mut(width)) {
            self.enter(place);
            // Whoever died here wrote as far as it came.
            assert!(missing(block) <= 1, "two were in block {place}: {block:?}");
            block[LANES] += missing(block);
            self.intend(place);
            block[self.lane] += 1;
            linger(&mut self.chance);
            block[LANES] += 1;
            self.done(place);
            assert_eq!(missing(block), 0, "somebody else writes block {place}: {block:?}");
            self.leave(place);
        }
    }

    fn change_element(&mut self) {
        let element = self.chance.below(ELEMENTS);
        let place = ELEMENT + element;
        self.phase(place, WANTING);
        self.intend(place);
        let elements = self.elements.clone();
        elements.update(element, |counts| {
            self.enter(place);
            counts.assert_whole("an element");
            counts.add(self.lane);
            linger(&mut self.chance);
            self.leave(place);
        });
        self.done(place);
    }
}

/// A short while inside, now and then long enough that others go to sleep.
fn linger(chance: &mut Chance) {
    let looks = if chance.one_in(64) { 20_000 } else { chance.below(40) };
    (0..looks).for_each(|_| std::hint::spin_loop());
}

fn kind(place: usize) -> u32 {
    match place {
        VALUE => 0,
        MUTEX => 1,
        ELEMENT.. => 3,
        _ => 2,
    }
}

/// Locks the mutex, and mends what a dead owner left.
fn lock(arena: &Arena) -> MutexGuard<'_, Block> {
    match arena.mutex.lock_timeout(PATIENCE) {
        Ok(guard) => {
            assert_eq!(missing(&*guard), 0, "a half-made change of the mutex was not told: {:?}", *guard);
            guard
        }
        Err(TryLockError::OwnerDied(died)) => mend(arena, died),
        Err(error) => panic!("the mutex is not had in time: {error}"),
    }
}

fn mend<'a>(arena: &Arena, died: OwnerDied<MutexGuard<'a, Block>>) -> MutexGuard<'a, Block> {
    let mut guard = died.into_guard();
    arena.owners_died.fetch_add(1, SeqCst);
    assert!(missing(&*guard) <= 1, "two changed the mutex: {:?}", *guard);
    guard[LANES] += missing(&*guard);
    MutexGuard::mark_consistent(&mut guard);
    guard
}

/// A panic counts, although the worker may be killed while it still prints it.
fn count_panics(arena: &Shared<Arena>) {
    let (arena, print) = (arena.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        arena.panics.fetch_add(1, SeqCst);
        print(info);
    }));
}

fn work((objects, lane, number, seed): (Objects, usize, u32, u64)) {
    let (arena, value, blocks, elements) = objects;
    count_panics(&arena);
    let mut worker = Worker { arena, value, blocks, elements, lane, number, chance: Chance::new(seed) };
    while worker.arena.stop.load(Relaxed) == 0 {
        worker.lane().phase.store(BETWEEN, SeqCst);
        if worker.chance.one_in(2) {
            // Eight of these want the two or so processors that the parent needs too.
            std::thread::sleep(Duration::from_micros(worker.chance.below(400) as u64));
        }
        match worker.chance.below(4) {
            0 => worker.change_value(),
            1 => worker.change_mutex(),
            2 => worker.change_blocks(),
            _ => worker.change_element(),
        }
    }
}

/// The parent's side.
struct Oracle {
    objects: Objects,
    workers: Vec<(Process<()>, u32)>,
    started: u32,
    chance: Chance,
    kills: BTreeMap<u32, u64>,
    cut: u64,
    kept: u64,
}

impl Oracle {
    fn arena(&self) -> &Arena {
        &self.objects.0
    }

    fn start(&mut self, lane: usize) -> (Process<()>, u32) {
        self.started += 1;
        self.arena().lanes[lane].phase.store(STARTING, SeqCst);
        let arguments = (self.objects.clone(), lane, self.started, self.chance.next());
        (commons::spawn(arguments, work).unwrap(), self.started)
    }

    fn progress(&self) -> u64 {
        self.arena().lanes.iter().flat_map(|lane| &lane.done).map(|done| done.load(SeqCst)).sum()
    }

    /// How often the lane has changed the place.
    fn count(&self, place: usize, lane: usize) -> u64 {
        let (arena, value, blocks, elements) = &self.objects;
        match place {
            VALUE => {
                let value = value.get();
                value.assert_whole("the value");
                value.lanes[lane]
            }
            MUTEX => lock(arena)[lane],
            ELEMENT.. => {
                let element = elements.get(place - ELEMENT).unwrap();
                element.assert_whole("an element");
                element.lanes[lane]
            }
            _ => {
                let start = (place - BLOCK) * (LANES + 1);
                let share = blocks.share_timeout(start..start + LANES + 1, PATIENCE);
                share.expect("a block is shared in time")[lane]
            }
        }
    }

    /// After a death: the one change that may have been made or not, is or is not.
    fn settle(&mut self, lane: usize) {
        let journal = &self.arena().lanes[lane];
        let both = |place: usize| (journal.intended[place].load(SeqCst), journal.done[place].load(SeqCst));
        let open: Vec<_> = (0..PLACES).filter(|&place| both(place).0 != both(place).1).collect();
        assert!(open.len() <= 1, "lane {lane} was in several places: {open:?}");
        let Some(&place) = open.first() else { return };
        let (intended, done) = both(place);
        assert_eq!(intended, done + 1, "lane {lane} wrote its journal wrong");
        let count = self.count(place, lane);
        assert!(
            count == done || count == intended,
            "place {place}, lane {lane}: {count}, not {done} or {intended}"
        );
        journal.intended[place].store(count, SeqCst);
        journal.done[place].store(count, SeqCst);
        if count == done { self.cut += 1 } else { self.kept += 1 }
    }

    /// Any lane; half of the time one whose worker is inside, if there is one soon.
    fn victim(&mut self) -> usize {
        let lane = self.chance.below(LANES);
        if self.chance.one_in(2) {
            return lane;
        }
        let phase = |lane: &usize| self.arena().lanes[*lane].phase.load(SeqCst) % 8;
        let inside = |lane: &usize| matches!(phase(lane), INSIDE | LEAVING);
        let look = || (lane..lane + LANES).map(|lane| lane % LANES).find(inside);
        let found = (0..20).find_map(|_| look().or_else(|| (std::thread::yield_now(), None).1));
        found.unwrap_or(lane)
    }

    fn kill(&mut self, lane: usize) {
        let (worker, number) = &self.workers[lane];
        let journal = &self.arena().lanes[lane];
        assert_eq!(worker.exit(), None, "worker {number} of lane {lane} ended by itself");
        journal.condemned.store(*number, SeqCst);
        worker.kill().unwrap();
        let exit = worker.wait_timeout(PATIENCE).unwrap().expect("a killed worker ends");
        let phase = journal.phase.load(SeqCst);
        assert_eq!(exit, Exit::Signal(9), "worker {number} of lane {lane} failed before it was killed");
        assert_eq!(self.arena().panics.load(SeqCst), 0, "a worker panicked, see above");
        *self.kills.entry(phase).or_default() += 1;
        self.settle(lane);
        self.workers[lane] = self.start(lane);
    }

    fn killed(&self, kind: u32, phases: &[u32]) -> u64 {
        phases.iter().map(|phase| self.kills.get(&(kind * 8 + phase)).unwrap_or(&0)).sum()
    }
}

#[test]
fn random_kills_lose_double_tear_and_block_nothing() {
    let kills = number("COMMONS_KILLS", 2000);
    let seed = seed("kill_random");
    let _watchdog = watchdog("kill_random", Duration::from_millis(120_000 + 100 * kills));
    let objects = (
        Shared::new(arena()).unwrap(),
        Value::new(Counts::NONE).unwrap(),
        Array::new(BLOCKS * (LANES + 1)).unwrap(),
        Array::from_slice(&[Counts::NONE; ELEMENTS]).unwrap(),
    );
    let (workers, chance) = (Vec::new(), Chance::new(seed));
    let mut oracle = Oracle { objects, workers, started: 0, chance, kills: BTreeMap::new(), cut: 0, kept: 0 };
    oracle.workers = (0..LANES).map(|lane| oracle.start(lane)).collect();

    let start = Instant::now();
    for kill in 0..kills {
        // Now and then several die together.
        if !oracle.chance.one_in(4) {
            let (before, since) = (oracle.progress(), Instant::now());
            while oracle.progress() == before {
                assert!(since.elapsed() < PATIENCE, "nothing moves any more after {kill} kills");
                std::thread::yield_now();
            }
            let pause = Duration::from_micros(oracle.chance.below(4000) as u64);
            std::thread::sleep(pause);
        }
        let lane = oracle.victim();
        oracle.kill(lane);
    }
    oracle.arena().stop.store(1, SeqCst);
    for (worker, number) in oracle.workers.drain(..) {
        assert_eq!(
            worker.wait_timeout(PATIENCE).unwrap(),
            Some(Exit::Code(0)),
            "worker {number} does not end well"
        );
    }

    assert_eq!(oracle.arena().panics.load(SeqCst), 0, "a worker panicked, see above");
    drop(lock(oracle.arena())); // whoever died last is told too
    for lane in 0..LANES {
        for place in 0..PLACES {
            let journal = &oracle.arena().lanes[lane];
            let (intended, done) = (journal.intended[place].load(SeqCst), journal.done[place].load(SeqCst));
            assert_eq!(intended, done, "place {place}, lane {lane}: a change was begun and not ended");
            assert_eq!(oracle.count(place, lane), done, "place {place}, lane {lane}: lost or doubled");
        }
    }
    let died = oracle.arena().owners_died.load(SeqCst);
    let (inside, around) = (oracle.killed(1, &[INSIDE]), oracle.killed(1, &[WANTING, INSIDE, LEAVING]));
    assert!((inside..=around).contains(&died), "{died} OwnerDied, and {inside} to {around} owners died");

    let updates = oracle.progress();
    println!("{kills} kills in {:?}, {updates} updates, {died} OwnerDied", start.elapsed());
    println!("cut off by a kill: {} before the change, {} after it", oracle.cut, oracle.kept);
    println!(
        "killed while starting {}, between {}",
        oracle.killed(0, &[STARTING]),
        oracle.killed(0, &[BETWEEN])
    );
    for (kind, name) in ["value", "mutex", "claims", "elements"].into_iter().enumerate() {
        let by = [WANTING, INSIDE, LEAVING].map(|phase| oracle.killed(kind as u32, &[phase]));
        println!("killed at {name}: {} wanting, {} inside, {} leaving", by[0], by[1], by[2]);
    }
}
