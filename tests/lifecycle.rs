//! Creators, openers, leavers, removers and `kill -9` on one name: no object is lost or revived.
//!
//! Several processes of two threads each do random things to one name in a directory of their own,
//! and processes are killed at random all the while. What is true is kept in a mapped file that only
//! the test uses:
//!
//! - **lost**: a thread has an object, nobody began to remove the name since before it got it, and
//!   opening the name does not find that object; or another thread does not find an object that one
//!   thread had all the while.
//! - **revived**: opening finds an object that was known to be gone before the opening began. It is
//!   known to be gone when somebody who has seen it left and then did not find the name.
//!
//! `COMMONS_LIFECYCLE_SECONDS` is how long it runs (5), `COMMONS_LIFECYCLE_SEED` repeats choices.

#![allow(unsafe_code)]

mod common;

use std::{
    fs::OpenOptions,
    os::unix::process::ExitStatusExt,
    process::Child,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant, SystemTime},
};

use common::{Directory, command, eventually};
use commons::{Atomic, ErrorKind, catalog};
use memmap2::{MmapOptions, MmapRaw};

const NAME: &str = "one";
const PROCESSES: usize = 4;
const THREADS: usize = 2;
const ACTORS: usize = PROCESSES * THREADS;
const OBJECTS: usize = 1 << 22;

/// What is true, in memory that the test's processes share.
struct Truth(MmapRaw);

/// The words of [`Truth`].
mod word {
    use super::{ACTORS, OBJECTS};

    pub(crate) const STOP: usize = 0;
    /// The last number that was given to an object.
    pub(crate) const NUMBER: usize = 1;
    /// Goes up before a name is removed with [`catalog::remove`](commons::catalog::remove).
    pub(crate) const REMOVALS: usize = 2;
    /// Goes up before a process is killed, and when what it had is forgotten: odd in between.
    pub(crate) const KILLS: usize = 3;
    /// Goes up when an object is known to be gone.
    pub(crate) const ENDS: usize = 4;
    pub(crate) const COUNTS: usize = 8;
    /// Per actor: 1 while it removes.
    pub(crate) const REMOVING: usize = 32;
    /// Per actor: the object that it has, and above that how many removals had begun before; else 0.
    pub(crate) const HAS: usize = REMOVING + ACTORS;
    /// Per object: when it was known to be gone.
    pub(crate) const GONE: usize = HAS + ACTORS;
    pub(crate) const ALL: usize = GONE + OBJECTS;
}

const COUNTS: [&str; 10] = [
    "created",
    "opened",
    "not found",
    "already there",
    "removed",
    "swept",
    "checked by holders",
    "checked by others",
    "known gone",
    "checked for revival",
];

impl Truth {
    fn open() -> Self {
        let path = std::env::var("TRUTH").unwrap();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        file.set_len(8 * word::ALL as u64).unwrap();
        Self(MmapOptions::new().len(8 * word::ALL).map_raw(&file).unwrap())
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < word::ALL);
        let word = self.0.as_mut_ptr().wrapping_add(8 * index).cast::<AtomicU64>();
        // SAFETY: inside the mapping, aligned as the mapping is; everybody uses it as an atomic.
        unsafe { &*word }
    }

    fn get(&self, index: usize) -> u64 {
        self.word(index).load(SeqCst)
    }

    fn set(&self, index: usize, value: u64) {
        self.word(index).store(value, SeqCst);
    }

    fn add(&self, index: usize) -> u64 {
        self.word(index).fetch_add(1, SeqCst) + 1
    }

    fn count(&self, what: &str) {
        self.add(word::COUNTS + COUNTS.iter().position(|name| *name == what).unwrap());
    }

    fn nobody_removes(&self) -> bool {
        (0..ACTORS).all(|actor| self.get(word::REMOVING + actor) == 0)
    }

    fn had(&self) -> Vec<u64> {
        (0..ACTORS).map(|actor| self.get(word::HAS + actor)).collect()
    }
}

/// A small generator (xorshift64*, Vigna): the same seed, the same choices.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

#[test]
fn role() {
    common::play(&[("actors", actors), ("last", last)]);
}

/// Nobody has anything any more; what the killed left goes when somebody looks.
fn last() {
    assert_eq!(Atomic::<u64>::open(NAME).unwrap_err().kind(), ErrorKind::NotFound);
}

/// One process: threads that do random things until the test says stop.
fn actors() {
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let (process, seed) = (number("PROCESS"), number("SEED"));
    let truth = Truth::open();
    thread::scope(|scope| {
        for i in 0..THREADS as u64 {
            let (truth, actor) = (&truth, (process * THREADS as u64 + i) as usize);
            scope.spawn(move || {
                let random = Random((seed ^ (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1);
                // Everything that is wrong ends the process, and its status ends the test.
                if std::panic::catch_unwind(move || Actor { truth, actor, random, last: 0 }.run()).is_err() {
                    std::process::exit(99);
                }
            });
        }
    });
}

struct Actor<'a> {
    truth: &'a Truth,
    actor: usize,
    random: Random,
    /// The object that this thread had last.
    last: u64,
}

impl std::panic::UnwindSafe for Actor<'_> {}

impl Actor<'_> {
    fn run(mut self) {
        while self.truth.get(word::STOP) == 0 {
            match self.random.below(64) {
                0 => self.remove(),
                1..4 => self.sweep(),
                4..24 => self.create(),
                24..34 => self.open_or_create(),
                _ => self.open(),
            }
        }
    }

    fn new_number(&self) -> u64 {
        let number = self.truth.add(word::NUMBER);
        assert!((number as usize) < OBJECTS, "more objects than the test has room for; run it shorter");
        number
    }

    fn create(&mut self) {
        let (removals, quiet) = self.removals();
        let number = self.new_number();
        match Atomic::create(NAME, number) {
            Ok(made) => {
                self.truth.count("created");
                self.hold(made, removals, quiet);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.truth.count("already there"),
            Err(error) => panic!("create: {error}"),
        }
    }

    fn open_or_create(&mut self) {
        let (removals, quiet) = self.removals();
        let ends = self.truth.get(word::ENDS);
        let got = Atomic::open_or_create(NAME, self.new_number()).expect("open_or_create");
        self.not_revived(got.load(), ends);
        self.hold(got, removals, quiet);
    }

    fn open(&mut self) {
        let (removals, quiet) = self.removals();
        let (ends, kills, had) = (self.truth.get(word::ENDS), self.truth.get(word::KILLS), self.truth.had());
        match Atomic::<u64>::open(NAME) {
            Ok(got) => {
                self.truth.count("opened");
                self.not_revived(got.load(), ends);
                self.hold(got, removals, quiet);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.truth.count("not found");
                // Somebody had an object before and after, so it was there all the while; and nobody
                // removed its name since.
                let still = |(had, has): (&u64, u64)| *had != 0 && *had == has && has >> 32 == removals;
                let there = had.iter().zip(self.truth.had()).any(still);
                let undisturbed = quiet && removals == self.truth.get(word::REMOVALS);
                if undisturbed && kills % 2 == 0 && kills == self.truth.get(word::KILLS) {
                    self.truth.count("checked by others");
                    assert!(!there, "lost: {had:?} is held, but: {error}");
                }
                self.end_of_last();
            }
            Err(error) => panic!("open: {error}"),
        }
    }

    /// What this thread saw before and has left is gone, now that the name leads nowhere.
    fn end_of_last(&mut self) {
        let gone = word::GONE + std::mem::take(&mut self.last) as usize;
        if gone != word::GONE && self.truth.get(gone) == 0 {
            let end = self.truth.add(word::ENDS);
            let _ = self.truth.word(gone).compare_exchange(0, end, SeqCst, SeqCst);
            self.truth.count("known gone");
        }
    }

    fn not_revived(&self, number: u64, ends: u64) {
        let gone = self.truth.get(word::GONE + number as usize);
        self.truth.count("checked for revival");
        assert!(
            gone == 0 || gone > ends,
            "revived: object {number} was gone at {gone}, and opened after {ends}"
        );
    }

    /// Has an object for a while, and looks whether others would find it.
    fn hold(&mut self, held: Atomic<u64>, removals: u64, quiet: bool) {
        let number = held.load();
        let undisturbed = || quiet && removals == self.truth.get(word::REMOVALS);
        let has = if quiet { number | removals << 32 } else { 0 };
        self.truth.set(word::HAS + self.actor, has);
        for _ in 0..self.random.below(4) {
            match self.random.below(3) {
                0 => thread::yield_now(),
                1 => thread::sleep(Duration::from_micros(self.random.below(300))),
                _ => {
                    let found = Atomic::<u64>::open(NAME).map(|found| found.load());
                    if undisturbed() {
                        self.truth.count("checked by holders");
                        assert!(
                            matches!(found, Ok(n) if n == number),
                            "lost: {number} is held, found {found:?}"
                        );
                    }
                }
            }
            assert_eq!(held.load(), number, "an object changed its number");
        }
        self.truth.set(word::HAS + self.actor, 0);
        drop(held);
        self.last = number;
    }

    fn remove(&mut self) {
        self.truth.set(word::REMOVING + self.actor, 1);
        self.truth.add(word::REMOVALS);
        match catalog::remove(NAME) {
            Ok(()) => self.truth.count("removed"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "remove: {error}"),
        }
        self.truth.set(word::REMOVING + self.actor, 0);
    }

    fn sweep(&mut self) {
        for _ in catalog::sweep().expect("sweep") {
            self.truth.count("swept");
        }
    }

    /// How many removals began, and whether none is under way.
    fn removals(&self) -> (u64, bool) {
        // In this order: who removes says so first, and counts second.
        let removals = self.truth.get(word::REMOVALS);
        (removals, self.truth.nobody_removes())
    }
}

#[test]
fn no_object_is_lost_or_revived() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("COMMONS_LIFECYCLE_SECONDS").unwrap_or(5);
    let time = || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.subsec_nanos());
    let seed = number("COMMONS_LIFECYCLE_SEED").unwrap_or_else(|| time().into());
    println!("seed {seed}, {seconds} s, {PROCESSES} processes of {THREADS} threads");

    let (directory, aside) = (Directory::new("lifecycle"), Directory::new("truth"));
    let path = aside.path().join("truth");
    // SAFETY: this test file has one test that reads the environment, and this is it.
    unsafe { std::env::set_var("TRUTH", &path) };
    let truth = Truth::open();
    let mut random = Random(seed | 1);
    let start = |process: usize, random: &mut Random| -> Child {
        let seed = random.below(1 << 30).to_string();
        let mut command = command("actors");
        command.env("COMMONS_DIR", directory.path()).env("TRUTH", &path);
        command.env("PROCESS", process.to_string()).env("SEED", seed).spawn().unwrap()
    };
    let mut processes: Vec<_> = (0..PROCESSES).map(|i| start(i, &mut random)).collect();
    let mut failed = None;
    let mut kills = 0;
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end && failed.is_none() {
        thread::sleep(Duration::from_millis(1 + random.below(15)));
        let i = random.below(PROCESSES as u64) as usize;
        failed = processes.iter_mut().find_map(|process| process.try_wait().unwrap());
        if failed.is_some() {
            break;
        }
        truth.add(word::KILLS);
        processes[i].kill().unwrap();
        let status = processes[i].wait().unwrap();
        if status.signal() != Some(9) {
            failed = Some(status);
        }
        truth.add(word::REMOVALS);
        for actor in i * THREADS..(i + 1) * THREADS {
            truth.set(word::HAS + actor, 0);
            truth.set(word::REMOVING + actor, 0);
        }
        truth.add(word::KILLS);
        kills += 1;
        processes[i] = start(i, &mut random);
    }
    truth.set(word::STOP, 1);
    for process in &mut processes {
        eventually("the actors end", || process.try_wait().unwrap().is_some());
        let status = process.wait().unwrap();
        failed = failed.or((!status.success()).then_some(status));
    }
    let count = |(i, what)| format!("{} {what}", truth.get(word::COUNTS + i));
    let counts: Vec<_> = COUNTS.iter().enumerate().map(count).collect();
    println!("{kills} kills, {}", counts.join(", "));
    assert_eq!(failed, None, "an actor failed; what it said is above");
    assert!(kills > 0 && COUNTS.iter().enumerate().all(|(i, _)| truth.get(word::COUNTS + i) > 0 || i == 5));
    directory.run("last");
    assert_eq!(directory.entries(), [""; 0], "left over");
}
