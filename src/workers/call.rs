//! A call: tasks that belong together, and what becomes of them.
//!
//! Workers and the pool's own thread settle tasks; the user's thread takes what was settled, in the order
//! of settling. Results of other processes are decoded where they are taken: that runs the user's code.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::*},
    },
    task::Waker,
    time::{Duration, Instant},
};

use super::error::{TaskError, TaskErrorKind};
use crate::{
    deadline::Deadline,
    message::{self, Message},
    process::caught,
    raw::backoff::Backoff,
};

/// What is done about tasks that go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    /// How often a task is run again whose worker died.
    pub(crate) retries: u32,
    /// How long a task may take.
    pub(crate) timeout: Option<Duration>,
}

/// Bytes of a result. Few of them need no memory of their own: it would be taken on one thread and given
/// back on another, for each task.
#[derive(Debug)]
pub(super) enum Bytes {
    /// In words: what is written in small pieces and moved in large ones is waited for.
    Few(u8, [u64; FEW / 8]),
    Many(Box<[u8]>),
}

/// As many as fit beside the tag and the length.
const FEW: usize = 16;
const _: () = assert!(size_of::<Bytes>() == 24);

impl Bytes {
    #[inline]
    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.len() > FEW {
            return Self::Many(bytes.into());
        }
        let mut few = [0; FEW / 8];
        for (word, bytes) in few.iter_mut().zip(bytes.chunks(8)) {
            *word = match bytes.first_chunk() {
                Some(bytes) => u64::from_ne_bytes(*bytes),
                None => {
                    let mut word = [0; 8];
                    word[..bytes.len()].copy_from_slice(bytes);
                    u64::from_ne_bytes(word)
                }
            };
        }
        Self::Few(bytes.len() as u8, few)
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Few(len, words) => &bytemuck::bytes_of(words)[..usize::from(*len)],
            Self::Many(bytes) => bytes,
        }
    }
}

/// What became of a task.
#[derive(Debug)]
pub(super) enum Settled {
    /// A worker's result, encoded.
    Encoded { bytes: Bytes, worker: u32 },
    /// The same, with handles in it: their objects are there as long as the worker is.
    Referring { bytes: Bytes, worker: u32 },
    /// It has none.
    Failed { kind: Box<TaskErrorKind>, worker: Option<u32> },
}

// There are many of them, and few failures.
const _: () = assert!(size_of::<Settled>() <= 40);

/// How long so many tasks took that went together.
pub(super) type Time = (u32, Duration);

/// A call, to those who do not know the type of its results.
pub(super) trait Ledger: Send + Sync {
    /// These tasks are settled; so long took those that went together.
    fn settle(&self, tasks: Vec<(usize, Settled)>, times: Vec<Time>);

    fn terms(&self) -> Terms;
}

/// A call whose results are of type `R`.
#[derive(Debug)]
pub(crate) struct Call<R> {
    pub(super) number: u64,
    terms: Terms,
    settled: Mutex<Arrivals<R>>,
    arrived: Condvar,
    /// How many tasks have been settled.
    count: AtomicUsize,
    /// WAITING, BEGUN or CANCELLED.
    stage: AtomicU8,
    /// When tasks of this process began that may be late.
    clocks: Mutex<HashMap<usize, Instant>>,
}

/// None of its tasks has begun in this process.
const WAITING: u8 = 0;
const BEGUN: u8 = 1;
/// None more will.
const CANCELLED: u8 = 2;

#[derive(Debug)]
struct Arrivals<R> {
    queue: VecDeque<Taken<R>>,
    times: Vec<Time>,
    /// A thread waits until so many tasks have been settled.
    awaited: usize,
    wakers: Vec<Waker>,
}

/// A task that was settled, as it is taken.
#[derive(Debug)]
pub(super) struct Taken<R>(usize, Arrival<R>);

#[derive(Debug)]
enum Arrival<R> {
    Result(Result<R, Box<TaskError>>),
    Settled(Settled),
}

impl<R> Arrival<R> {
    fn is_bad(&self) -> bool {
        matches!(self, Self::Result(Err(_)) | Self::Settled(Settled::Failed { .. }))
    }
}

impl<R> Call<R> {
    pub(super) fn new(terms: Terms) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Self {
            number: NUMBERS.fetch_add(1, Relaxed),
            terms,
            settled: Mutex::new(Arrivals {
                queue: VecDeque::new(),
                times: Vec::new(),
                awaited: usize::MAX,
                wakers: Vec::new(),
            }),
            arrived: Condvar::new(),
            count: AtomicUsize::new(0),
            stage: AtomicU8::new(WAITING),
            clocks: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arrivals<R>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many tasks have been settled.
    pub(crate) fn settled(&self) -> usize {
        self.count.load(Acquire)
    }

    /// Tasks that have not begun need not.
    pub(super) fn cancel(&self) {
        self.stage.store(CANCELLED, Relaxed);
    }

    /// Calls it off unless a task has begun in this process.
    pub(super) fn cancel_unbegun(&self) -> bool {
        self.stage.compare_exchange(WAITING, CANCELLED, Relaxed, Relaxed).is_ok()
    }

    /// A task begins in this process; false if it may not.
    pub(super) fn begin(&self) -> bool {
        self.stage.compare_exchange(WAITING, BEGUN, Relaxed, Relaxed) != Err(CANCELLED)
    }

    fn clocks(&self) -> MutexGuard<'_, HashMap<usize, Instant>> {
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task of this process begins.
    pub(super) fn clock_in(&self, index: usize) {
        if self.terms.timeout.is_some() {
            self.clocks().insert(index, Instant::now());
        }
    }

    /// It has ended; false if it was late, and its call has been told so.
    pub(super) fn clock_out(&self, index: usize) -> bool {
        self.terms.timeout.is_none() || self.clocks().remove(&index).is_some()
    }

    /// Tasks of this process that are late have no result. Their threads go on.
    pub(super) fn give_up_the_late(&self) {
        let Some(timeout) = self.terms.timeout else { return };
        let late: Vec<usize> = {
            let mut clocks = self.clocks();
            clocks.extract_if(|_, begin| begin.elapsed() > timeout).map(|(index, _)| index).collect()
        };
        late.into_iter().for_each(|index| self.give(index, Err(TaskErrorKind::TimedOut)));
    }

    /// A task's result, of a worker in this process.
    pub(super) fn give(&self, index: usize, result: Result<R, TaskErrorKind>) {
        let result = result.map_err(|kind| TaskError::new(index, kind, None).into());
        self.push([Taken(index, Arrival::Result(result))], Vec::new());
    }

    fn push(&self, tasks: impl IntoIterator<Item = Taken<R>>, times: Vec<Time>) {
        let mut settled = self.lock();
        settled.times.extend(times);
        let before = settled.queue.len();
        settled.queue.extend(tasks);
        let new = settled.queue.len() - before;
        let bad = settled.queue.range(before..).any(|task| task.1.is_bad());
        let count = self.count.fetch_add(new, Release) + new;
        let wakers = std::mem::take(&mut settled.wakers);
        // Bad news are told at once.
        let awaited = settled.awaited <= count || bad && settled.awaited != usize::MAX;
        if awaited {
            settled.awaited = usize::MAX;
        }
        drop(settled);
        if awaited {
            self.arrived.notify_all();
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until more than `seen` tasks have been settled, or one badly; false when the deadline passes
    /// first.
    pub(super) fn wait(&self, seen: usize, deadline: Deadline) -> bool {
        let mut backoff = Backoff::yielding();
        while self.settled() <= seen && backoff.look_again() {}
        let mut settled = self.lock();
        let bad = |settled: &Arrivals<R>| settled.queue.iter().any(|task| task.1.is_bad());
        while self.settled() <= seen && !bad(&settled) {
            settled.awaited = seen + 1;
            settled = match deadline.remaining() {
                None => self.arrived.wait(settled).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return false,
                Some(left) => {
                    self.arrived.wait_timeout(settled, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        true
    }

    /// Wakes `waker` when the next task is settled, or at once if more than `seen` have been.
    pub(super) fn wake(&self, seen: usize, waker: &Waker) {
        let mut settled = self.lock();
        if self.settled() > seen {
            drop(settled);
            waker.wake_by_ref();
        } else if !settled.wakers.iter().any(|known| known.will_wake(waker)) {
            settled.wakers.push(waker.clone());
        }
    }

    /// All tasks that were settled and not taken yet, in the place of none, and how long groups took.
    pub(super) fn take_all(&self, into: &mut VecDeque<Taken<R>>) -> Vec<Time> {
        let mut settled = self.lock();
        std::mem::swap(into, &mut settled.queue);
        std::mem::take(&mut settled.times)
    }
}

impl<R: Message> Call<R> {
    /// The task that was settled first of those that were not taken yet, and its result.
    pub(super) fn take(&self) -> Option<(usize, Result<R, TaskError>)> {
        let first = self.lock().queue.pop_front();
        first.map(Taken::open)
    }
}

impl<R: Message> Taken<R> {
    /// Which task it is, and its result.
    pub(super) fn open(self) -> (usize, Result<R, TaskError>) {
        let Self(index, arrival) = self;
        let result = match arrival {
            Arrival::Result(result) => result.map_err(|error| *error),
            Arrival::Settled(Settled::Encoded { bytes, worker } | Settled::Referring { bytes, worker }) => {
                decode(bytes.as_slice()).map_err(|kind| TaskError::new(index, kind, Some(worker)))
            }
            Arrival::Settled(Settled::Failed { kind, worker }) => Err(TaskError::new(index, *kind, worker)),
        };
        (index, result)
    }
}

impl<R: Message> Ledger for Call<R> {
    fn settle(&self, tasks: Vec<(usize, Settled)>, times: Vec<Time>) {
        let arrival = |(index, settled)| match settled {
            // At once: the worker may end before somebody takes it.
            Settled::Referring { .. } => {
                let (index, result) = Taken(index, Arrival::Settled(settled)).open();
                Taken(index, Arrival::Result(result.map_err(Box::new)))
            }
            settled => Taken(index, Arrival::Settled(settled)),
        };
        self.push(tasks.into_iter().map(arrival).collect::<Vec<_>>(), times);
    }

    fn terms(&self) -> Terms {
        self.terms
    }
}

/// Decodes a result. A panic of the user's `Deserialize` is the task's error and nobody else's.
fn decode<R: Message>(bytes: &[u8]) -> Result<R, TaskErrorKind> {
    let why = match caught(|| message::decode(bytes)) {
        Ok(Ok(result)) => return Ok(result),
        Ok(Err(error)) => error.to_string(),
        Err(report) => format!("its type panicked: {}", report.message),
    };
    Err(TaskErrorKind::Decode(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_whatever_their_number() {
        let all: Vec<u8> = (1..=FEW as u8 + 2).collect();
        for len in 0..=all.len() {
            let bytes = Bytes::of(&all[..len]);
            assert_eq!(bytes.as_slice(), &all[..len]);
            assert_eq!(matches!(bytes, Bytes::Few(..)), len <= FEW);
        }
    }
}
