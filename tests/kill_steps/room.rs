//! One of each lock in a room that the test, its waiters and its workers share.

use std::{
    fs,
    sync::{
        atomic::{AtomicU32, AtomicU64, Ordering::*},
        mpsc::{Receiver, channel},
    },
    thread,
    time::Instant,
};

use commons::{
    Shareable, Shared,
    sync::{Barrier, Condvar, Event, Mutex, MutexGuard, Once, ReentrantLock, RwLock, Semaphore},
};
use rustix::thread::gettid;

use super::{
    harness::{Died, Scene, eventually},
    queue::PROMPT,
};

const ONCES: usize = 4000;

#[derive(Shareable)]
#[repr(C)]
pub(crate) struct Room {
    pub(crate) rwlock: RwLock<[u64; 4], 4>,
    pub(crate) nested: ReentrantLock<[u64; 4]>,
    pub(crate) semaphore: Semaphore,
    pub(crate) barrier: Barrier<4>,
    pub(crate) trio: Barrier<4>,
    pub(crate) event: Event,
    pub(crate) mutex: Mutex<u64>,
    pub(crate) changed: Condvar,
    /// A fresh one for each worker.
    pub(crate) onces: [Once; ONCES],
    pub(crate) turn: AtomicU32,
    pub(crate) runs: AtomicU32,
    /// Whether the worker has done what it was to do.
    done: AtomicU64,
}

pub(crate) fn room() -> Shared<Room> {
    let room = Room {
        rwlock: RwLock::with_capacity([1; 4]),
        nested: ReentrantLock::new([1; 4]),
        semaphore: Semaphore::new(1),
        barrier: Barrier::with_capacity(2),
        trio: Barrier::with_capacity(3),
        event: Event::new(),
        mutex: Mutex::new(0),
        changed: Condvar::new(),
        onces: [const { Once::new() }; ONCES],
        turn: AtomicU32::new(0),
        runs: AtomicU32::new(0),
        done: AtomicU64::new(0),
    };
    Shared::new(room).unwrap()
}

impl Room {
    /// The worker has done what it was to do.
    #[inline]
    pub(crate) fn say_done(&self) {
        self.done.store(1, Release);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Acquire) != 0
    }

    /// Whether the worker had done what it was to do; forgets it.
    pub(crate) fn died(&self) -> Died {
        if self.done.swap(0, AcqRel) == 0 { Died::Before } else { Died::After }
    }

    /// The mutex, in which a worker may have died but never changes anything.
    #[track_caller]
    pub(crate) fn lock(&self) -> MutexGuard<'_, u64> {
        match self.mutex.lock_timeout(PROMPT) {
            Ok(guard) => guard,
            Err(commons::sync::TryLockError::OwnerDied(died)) => {
                let mut guard = died.into_guard();
                MutexGuard::mark_consistent(&mut guard);
                guard
            }
            Err(error) => panic!("the mutex is not had in time: {error}"),
        }
    }

    /// The once of this turn.
    pub(crate) fn once(&self) -> &Once {
        &self.onces[self.turn.load(Relaxed) as usize]
    }
}

/// A scene of its end alone, with a stride.
pub(crate) struct Every<C>(pub(crate) u64, pub(crate) C);

impl<C: FnMut() -> Died> Scene for Every<C> {
    fn stride(&self) -> u64 {
        self.0
    }

    fn check(&mut self) -> Died {
        (self.1)()
    }
}

/// A scene of three parts. The worker is killed after each of at most `STEPS` steps from its first
/// marker, or from where it sleeps after that.
pub(crate) struct Parts<const ASLEEP: bool, const STEPS: u64, B, S, C> {
    pub(crate) before: B,
    pub(crate) start: S,
    pub(crate) check: C,
    pub(crate) stride: u64,
}

/// To the last marker.
pub(crate) const TO_THE_END: u64 = u64::MAX;

impl<const ASLEEP: bool, const STEPS: u64, B: FnMut(), S: FnMut(), C: FnMut() -> Died> Scene
    for Parts<ASLEEP, STEPS, B, S, C>
{
    const ASLEEP: bool = ASLEEP;
    const STEPS: u64 = STEPS;
    // A sleeper may have slept once or several times, and who works beside others finds them asleep or
    // not, and a lock free or not.
    const JITTER: u64 = if ASLEEP { u64::MAX / 2 } else { 2000 };

    fn stride(&self) -> u64 {
        self.stride
    }

    fn before_start(&mut self) {
        (self.before)();
    }

    fn at_start(&mut self) {
        (self.start)();
    }

    fn check(&mut self) -> Died {
        (self.check)()
    }
}

/// A thread that waits for something.
pub(crate) struct Waiter<R> {
    what: &'static str,
    tid: i32,
    result: Receiver<R>,
}

impl<R: Send + 'static> Waiter<R> {
    /// A thread that waits, and sleeps already.
    pub(crate) fn asleep(what: &'static str, wait: impl FnOnce() -> R + Send + 'static) -> Self {
        let waiter = Self::start(what, wait);
        eventually("a waiter sleeps", || waiter.is_asleep());
        waiter
    }

    pub(crate) fn start(what: &'static str, wait: impl FnOnce() -> R + Send + 'static) -> Self {
        let ((tell, told), (done, result)) = (channel(), channel());
        thread::spawn(move || {
            tell.send(gettid().as_raw_nonzero().get()).unwrap();
            let _ = done.send(wait());
        });
        Self { what, tid: told.recv().unwrap(), result }
    }

    fn is_asleep(&self) -> bool {
        let call = fs::read_to_string(format!("/proc/self/task/{}/syscall", self.tid)).unwrap();
        let number = call.split(' ').next().and_then(|number| number.parse().ok());
        number == Some(libc::SYS_futex) || number == Some(libc::SYS_futex_waitv)
    }

    /// What it has waited for; it comes soon.
    #[track_caller]
    pub(crate) fn goes_on(self) -> R {
        let start = Instant::now();
        self.result.recv_timeout(PROMPT).unwrap_or_else(|error| {
            panic!("{} does not go on: {error} after {:?}", self.what, start.elapsed())
        })
    }
}
