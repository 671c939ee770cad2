//! Our locks among the C library's robust mutexes, in dying processes: both are on one list of the
//! kernel, and every lock of either kind that was held is marked, and no other.
//!
//! # Safety
//! Calls the C library's mutexes.

#![allow(unsafe_code)]

mod common;

use std::{
    mem::{self, MaybeUninit},
    sync::atomic::{AtomicU32, AtomicU64, Ordering::*},
    thread,
    time::{Duration, Instant},
};

use common::{
    chance::{Chance, number, seed},
    scene::end_of,
    watchdog::watchdog,
};
use commons::{
    Exit, Shareable, Shared,
    sync::{Mutex, MutexGuard, TryLockError},
};

commons::init_in_tests!();

/// Locks of each kind, for each thread.
const CELLS: usize = 8;
const THREADS: usize = 2;

/// Room for a `pthread_mutex_t`.
#[derive(Shareable)]
#[repr(C)]
struct Theirs([AtomicU64; 5]);

const _: () = assert!(size_of::<libc::pthread_mutex_t>() <= size_of::<Theirs>());

impl Theirs {
    fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 5])
    }

    fn pointer(&self) -> *mut libc::pthread_mutex_t {
        (&raw const *self).cast_mut().cast()
    }

    fn call(&self, call: unsafe extern "C" fn(*mut libc::pthread_mutex_t) -> i32) -> i32 {
        // SAFETY: large and aligned enough, in shared memory that stays mapped, initialised by `init`.
        unsafe { call(self.pointer()) }
    }

    /// In place: robust, for all processes.
    fn init(&self) {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the four calls get attributes that the first one makes, and room for a mutex.
        let refused = unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) };
        assert_eq!(refused, 0);
        // SAFETY: as above.
        unsafe { libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED) };
        // SAFETY: as above.
        unsafe { libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST) };
        // SAFETY: as above.
        let refused = unsafe { libc::pthread_mutex_init(self.pointer(), attributes.as_ptr()) };
        assert_eq!(refused, 0);
    }

    fn lock(&self) {
        assert_eq!(self.call(libc::pthread_mutex_lock), 0);
    }

    fn unlock(&self) {
        assert_eq!(self.call(libc::pthread_mutex_unlock), 0);
    }

    /// Whether the kernel has marked it; free and whole afterwards.
    fn owner_died(&self) -> bool {
        match self.call(libc::pthread_mutex_trylock) {
            0 => {
                self.unlock();
                false
            }
            libc::EOWNERDEAD => {
                assert_eq!(self.call(libc::pthread_mutex_consistent), 0);
                self.unlock();
                true
            }
            error => panic!("a mutex of the C library is neither free nor marked: error {error}"),
        }
    }
}

/// What one thread uses and says.
#[derive(Shareable)]
#[repr(C)]
struct Part {
    ours: [Mutex<u64>; CELLS],
    theirs: [Theirs; CELLS],
    /// Which it holds: ours, then theirs.
    held: AtomicU32,
    /// The one that it locks or releases just now, plus one.
    moving: AtomicU32,
    ready: AtomicU32,
}

type Parts = Shared<[Part; THREADS]>;

fn parts() -> Parts {
    let part = |_| Part {
        ours: std::array::from_fn(|_| Mutex::new(0)),
        theirs: std::array::from_fn(|_| Theirs::new()),
        held: AtomicU32::new(0),
        moving: AtomicU32::new(0),
        ready: AtomicU32::new(0),
    };
    let parts = Shared::new(std::array::from_fn(part)).unwrap();
    parts.iter().flat_map(|part| &part.theirs).for_each(Theirs::init);
    parts
}

/// Locks and releases at random, `steps` times or for ever; what it holds then stays held.
fn mix(part: &Part, chance: &mut Chance, steps: usize) {
    let mut guards = [const { None::<MutexGuard<'_, u64>> }; CELLS];
    for _ in 0..steps {
        let cell = chance.below(2 * CELLS);
        part.moving.store(cell as u32 + 1, SeqCst);
        let held = part.held.load(SeqCst) & (1 << cell) != 0;
        match (cell.checked_sub(CELLS), held) {
            (None, false) => guards[cell] = Some(part.ours[cell].lock().expect("it was mended")),
            (None, true) => guards[cell] = None,
            (Some(cell), false) => part.theirs[cell].lock(),
            (Some(cell), true) => part.theirs[cell].unlock(),
        }
        part.held.fetch_xor(1 << cell, SeqCst);
        part.moving.store(0, SeqCst);
        part.ready.store(1, SeqCst);
    }
    mem::forget(guards);
}

/// How a process ends.
const KILLED: usize = 0;
const EXITS_AMONG_OTHERS: usize = 1;
const EXITS_WHEN_ALL_ARE_DONE: usize = 2;
const EXITS_WHEN_A_THREAD_HAS_ENDED: usize = 3;

fn live((parts, seed, end): (Parts, u64, usize)) {
    let mut chance = Chance::new(seed);
    let steps = if end == KILLED { usize::MAX } else { 1 + chance.below(200) };
    let mut others = Chance::new(chance.next());
    thread::scope(|scope| {
        let parts = &parts;
        let second = scope.spawn(move || {
            let steps = if end == EXITS_AMONG_OTHERS { usize::MAX } else { steps };
            mix(&parts[1], &mut others, steps);
            parts[1].ready.store(2, SeqCst);
            if end != EXITS_WHEN_A_THREAD_HAS_ENDED {
                loop {
                    thread::park();
                }
            }
        });
        mix(&parts[0], &mut chance, steps);
        match end {
            EXITS_WHEN_ALL_ARE_DONE => {
                common::eventually("both are done", || parts[1].ready.load(SeqCst) == 2);
            }
            EXITS_WHEN_A_THREAD_HAS_ENDED => second.join().unwrap(),
            _ => {}
        }
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    });
}

/// What was found when processes had died.
#[derive(Debug, Default)]
struct Found {
    marked: usize,
    free: usize,
    moving: usize,
}

/// Compares every lock with what the dead thread said of it, and mends it.
fn check(part: &Part, found: &mut Found) {
    let (held, moving) = (part.held.swap(0, SeqCst), part.moving.swap(0, SeqCst));
    part.ready.store(0, SeqCst);
    for cell in 0..2 * CELLS {
        let marked = match cell.checked_sub(CELLS) {
            Some(theirs) => part.theirs[theirs].owner_died(),
            None => match part.ours[cell].try_lock() {
                Ok(_) => false,
                Err(TryLockError::OwnerDied(died)) => {
                    MutexGuard::mark_consistent(&mut died.into_guard());
                    true
                }
                Err(error) => panic!("lock {cell} is neither free nor marked: {error}"),
            },
        };
        if moving == cell as u32 + 1 {
            found.moving += 1;
            continue;
        }
        let kind = if cell < CELLS { "ours" } else { "theirs" };
        assert_eq!(marked, held & (1 << cell) != 0, "{kind}, lock {}: held {held:b}", cell % CELLS);
        if marked { found.marked += 1 } else { found.free += 1 }
    }
}

#[test]
fn every_lock_that_was_held_is_marked_and_no_other() {
    let (processes, seed) = (number("COMMONS_MIX", 300) as usize, seed("pthread_mix"));
    let _watchdog = watchdog("pthread_mix", Duration::from_millis(60_000 + 200 * processes as u64));
    let start = Instant::now();
    let line = |line: usize| {
        let mut chance = Chance::new(seed + line as u64);
        let (parts, mut found, mut ends) = (parts(), Found::default(), [0; 4]);
        for _ in 0..processes / 2 {
            let end = if chance.one_in(2) { KILLED } else { 1 + chance.below(3) };
            ends[end] += 1;
            let worker = commons::spawn((parts.clone(), chance.next(), end), live).unwrap();
            if end == KILLED {
                common::eventually("it works", || parts.iter().all(|part| part.ready.load(SeqCst) > 0));
                thread::sleep(Duration::from_micros(chance.below(500) as u64));
                worker.kill().unwrap();
            }
            let expected = if end == KILLED { Exit::Signal(9) } else { Exit::Code(0) };
            assert_eq!(end_of(&worker), expected);
            parts.iter().for_each(|part| check(part, &mut found));
        }
        (found, ends)
    };
    let found = thread::scope(|scope| [0, 1].map(|at| scope.spawn(move || line(at))).map(|line| line.join()));
    for found in found {
        let (found, ends) = found.unwrap();
        println!("{ends:?} processes killed, exited in three ways: {found:?}");
    }
    println!("{:?}", start.elapsed());
}
