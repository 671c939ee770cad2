//! One of each kind of lock, and a way to tell how far the processes that use them are.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::*},
    time::Duration,
};

use commons::{
    Array, ErrorKind, Exit, Message, Process, Shareable, Shared, Value,
    sync::{Mutex, MutexGuard, TryLockError},
};

use super::{PATIENCE, eventually};

/// What must happen soon. A handed-on lock is had in milliseconds; a loaded machine takes longer.
pub const SOON: Duration = Duration::from_secs(5);

#[derive(Shareable)]
#[repr(C)]
pub struct Stage {
    pub mutex: Mutex<[u64; 2]>,
    /// How far the other process is.
    step: AtomicU32,
    /// How far it may go.
    cue: AtomicU32,
    pub facts: [AtomicU64; 8],
}

/// What a test and its workers share. Cloned and sent, it is the same.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct Scene {
    pub stage: Shared<Stage>,
    pub value: Value<[u64; 4]>,
    pub array: Array<u64>,
}

impl Scene {
    pub fn new() -> Self {
        let stage = Stage {
            mutex: Mutex::new([0; 2]),
            step: AtomicU32::new(0),
            cue: AtomicU32::new(0),
            facts: [const { AtomicU64::new(0) }; 8],
        };
        let stage = Shared::new(stage).unwrap();
        Self { stage, value: Value::new([0; 4]).unwrap(), array: Array::new(8).unwrap() }
    }

    /// Says how far this process is.
    pub fn reach(&self, step: u32) {
        self.stage.step.store(step, SeqCst);
    }

    /// Waits until the other process is so far.
    pub fn expect(&self, step: u32) {
        eventually(&format!("step {step} is reached"), || self.stage.step.load(SeqCst) >= step);
    }

    /// Lets the other process go on.
    pub fn cue(&self, cue: u32) {
        self.stage.cue.store(cue, SeqCst);
    }

    /// Waits until this process may go on.
    pub fn await_cue(&self, cue: u32) {
        eventually(&format!("cue {cue} is given"), || self.stage.cue.load(SeqCst) >= cue);
    }

    pub fn fact(&self, index: usize) -> u64 {
        self.stage.facts[index].load(SeqCst)
    }

    pub fn set_fact(&self, index: usize, fact: u64) {
        self.stage.facts[index].store(fact, SeqCst);
    }

    /// Changes everything half, and holds everything.
    pub fn hold_all<R>(&self, inside: impl FnOnce() -> R) -> R {
        let mut value = self.value.lock();
        let mut mutex = self.stage.mutex.lock().unwrap();
        let mut claim = self.array.claim(0..4).unwrap();
        value[0] = 7;
        mutex[0] = 7;
        claim[0] = 7;
        let answer = inside();
        value[1] = 7;
        mutex[1] = 7;
        claim[1] = 7;
        answer
    }

    /// All is held: whoever tries is told, and at the given time.
    pub fn assert_held(&self, time: Duration) {
        assert!(self.value.try_lock().is_none());
        assert!(matches!(self.stage.mutex.try_lock(), Err(TryLockError::WouldBlock)));
        assert_eq!(self.array.try_claim(3..5).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(takes(time, || self.value.lock_timeout(time)).is_none());
        let mutex = takes(time, || self.stage.mutex.lock_timeout(time));
        assert!(matches!(mutex, Err(TryLockError::TimedOut)), "{mutex:?}");
        let claim = takes(time, || self.array.claim_timeout(3..5, time));
        assert_eq!(claim.unwrap_err().kind(), ErrorKind::TimedOut);
    }

    /// The calling thread holds all, and still does.
    pub fn assert_held_here(&self) {
        assert!(self.value.try_lock().is_none());
        assert!(matches!(self.stage.mutex.try_lock(), Err(TryLockError::WouldBlock)));
        assert_eq!(self.array.try_claim(3..5).unwrap_err().kind(), ErrorKind::WouldDeadlock);
    }

    /// A holder died in `hold_all`: everything is handed on, and what must be told is told.
    pub fn assert_handed_on(&self) {
        let value = self.value.lock_timeout(SOON).expect("the value's lock is handed on");
        assert_eq!(*value, [0; 4], "a writer that dies commits nothing");
        drop(value);
        let mut mutex = owner_died(&self.stage.mutex);
        assert_eq!(*mutex, [7, 0], "what the owner had written");
        MutexGuard::mark_consistent(&mut mutex);
        drop(mutex);
        assert!(self.stage.mutex.lock_timeout(SOON).is_ok(), "it was mended");
        let claim = self.array.claim_timeout(0..4, SOON).expect("the claim ends with its owner");
        assert_eq!(claim[..], [7, 0, 0, 0], "what the owner had written");
    }

    /// Everything was released as usual after `hold_all`.
    pub fn assert_released(&self) {
        assert_eq!(*self.value.lock_timeout(SOON).expect("it is released"), [7, 7, 0, 0]);
        assert_eq!(*self.stage.mutex.lock_timeout(SOON).expect("it is released"), [7, 7]);
        assert_eq!(self.array.claim_timeout(0..2, SOON).expect("it is released")[..], [7, 7]);
    }
}

/// Takes a mutex whose owner died.
pub fn owner_died<T: bytemuck::Pod + Send>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.lock_timeout(SOON) {
        Err(TryLockError::OwnerDied(died)) => died.into_guard(),
        Ok(_) => panic!("the lock does not say that its owner died"),
        Err(error) => panic!("the lock of a dead owner: {error}"),
    }
}

/// Does it, and it takes `time` at least.
pub fn takes<R>(time: Duration, wait: impl FnOnce() -> R) -> R {
    let start = std::time::Instant::now();
    let answer = wait();
    assert!(start.elapsed() >= time, "came back after {:?} of {time:?}", start.elapsed());
    answer
}

/// How a process ends, in bounded time.
pub fn end_of<R>(process: &Process<R>) -> Exit {
    process.wait_timeout(PATIENCE).unwrap().expect("the process ends")
}

/// What a process returns, in bounded time.
pub fn join<R: Message>(process: Process<R>) -> R {
    end_of(&process);
    process.join().unwrap()
}
