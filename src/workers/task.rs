//! A single task that was submitted.

use std::{
    collections::VecDeque,
    fmt,
    iter::FusedIterator,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use super::{
    call::Call,
    error::{TaskError, TaskErrorKind},
    run::Place,
};
use crate::{
    deadline::Deadline,
    error::{Error, ErrorKind, Result},
    message::Message,
};

/// A task that was submitted; made by [`Pool::submit`](crate::Pool::submit).
///
/// It is a future too, for any executor. Dropped, it runs on, and nobody hears what came of it.
///
/// # Examples
/// ```
/// commons::init_in_tests!();
///
/// # fn main() -> commons::Result<()> {
/// let pool = commons::Pool::new(2)?;
/// let cube = pool.submit(9u64, |n| n * n * n)?;
/// assert_eq!(cube.join()?, 729);
/// # Ok(()) }
/// ```
#[doc(alias = "AsyncResult")]
#[doc(alias = "Future")]
#[must_use = "`join` or `.await` gives the result"]
pub struct Task<R> {
    call: Arc<Call<R>>,
    place: Place,
}

impl<R: Message> Task<R> {
    pub(super) fn new(call: Arc<Call<R>>, place: Place) -> Self {
        Self { call, place }
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// [`TaskError`] says why there is none.
    pub fn join(self) -> Result<R, TaskError> {
        self.call.wait(0, Deadline::NEVER);
        self.result()
    }

    fn result(&self) -> Result<R, TaskError> {
        let taken = self.call.take();
        taken
            .expect("it is settled, and taken once: by `join`, which consumes it, or by a poll that is Ready")
            .1
    }
}

impl<R> Task<R> {
    /// Waits until there is a result or an error.
    ///
    /// # Errors
    /// `TimedOut` if there is none in time.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<()> {
        if self.call.wait(0, Deadline::after(timeout)) {
            return Ok(());
        }
        let what = format!("the task has no result within {timeout:?}; it runs on");
        Err(Error::new(ErrorKind::TimedOut, what))
    }

    /// Whether there is a result or an error.
    #[doc(alias = "done")]
    #[doc(alias = "ready")]
    pub fn is_finished(&self) -> bool {
        self.call.settled() != 0
    }

    /// Calls the task off if it waits for a worker; whether it is called off.
    ///
    /// One that a worker has, or is about to have, goes on.
    pub fn cancel(&self) -> bool {
        match &self.place {
            Place::Processes(crew) => crew.end_call(self.call.number),
            Place::Here(_) => {
                let off = self.call.cancel_unbegun();
                if off {
                    self.call.give(0, Err(TaskErrorKind::Cancelled));
                }
                off
            }
        }
    }
}

/// # Panics
/// If it is polled again after it was ready.
impl<R: Message> Future for Task<R> {
    type Output = Result<R, TaskError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.is_finished() {
            self.call.wake(0, context.waker());
            if !self.is_finished() {
                return Poll::Pending;
            }
        }
        Poll::Ready(self.result())
    }
}

impl<R> fmt::Debug for Task<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("finished", &self.is_finished()).finish()
    }
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits until one of the tasks is finished; its place in the slice.
///
/// # Panics
/// If there are none.
///
/// # Examples
/// ```
/// commons::init_in_tests!();
///
/// # fn main() -> commons::Result<()> {
/// let pool = commons::Pool::new(2)?;
/// let slow = pool.submit((), |()| std::thread::sleep(std::time::Duration::from_secs(1)))?;
/// let quick = pool.submit((), |()| ())?;
/// assert_eq!(commons::wait_any(&[slow, quick]), 1);
/// # pool.terminate();
/// # Ok(()) }
/// ```
#[doc(alias = "FIRST_COMPLETED")]
pub fn wait_any<R>(tasks: &[Task<R>]) -> usize {
    assert!(!tasks.is_empty(), "expected tasks to wait for and found none");
    thread_local! {
        /// One for each thread, so that a task that is waited for often knows it.
        static WAKER: Waker = Waker::from(Arc::new(Unpark(thread::current())));
    }
    let waker = WAKER.with(Waker::clone);
    loop {
        if let Some(finished) = tasks.iter().position(Task::is_finished) {
            return finished;
        }
        tasks.iter().for_each(|task| task.call.wake(0, &waker));
        if !tasks.iter().any(Task::is_finished) {
            thread::park();
        }
    }
}

/// The tasks as they are finished.
///
/// # Examples
/// ```
/// commons::init_in_tests!();
///
/// # fn main() -> commons::Result<()> {
/// let pool = commons::Pool::new(2)?;
/// let tasks = (0..10u32).map(|n| pool.submit(n, |n| n)).collect::<commons::Result<Vec<_>>>()?;
/// let mut sum = 0;
/// for task in commons::as_completed(tasks) {
///     sum += task.join()?;
/// }
/// assert_eq!(sum, 45);
/// # Ok(()) }
/// ```
pub fn as_completed<R>(tasks: impl IntoIterator<Item = Task<R>>) -> AsCompleted<R> {
    let tasks: Vec<Option<Task<R>>> = tasks.into_iter().map(Some).collect();
    let finished = Arc::new(Finished::default());
    for (index, task) in tasks.iter().flatten().enumerate() {
        task.call.wake(0, &Waker::from(Arc::new(Note { index, finished: finished.clone() })));
    }
    AsCompleted { left: tasks.len(), tasks, finished }
}

/// Tasks as they are finished; made by [`as_completed`].
#[derive(Debug)]
pub struct AsCompleted<R> {
    tasks: Vec<Option<Task<R>>>,
    left: usize,
    finished: Arc<Finished>,
}

/// Which tasks are finished and were not given yet.
#[derive(Debug, Default)]
struct Finished {
    indices: Mutex<VecDeque<usize>>,
    one_more: Condvar,
}

/// Notes that this task is finished.
struct Note {
    index: usize,
    finished: Arc<Finished>,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.finished.indices.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.index);
        self.finished.one_more.notify_one();
    }
}

impl<R> Iterator for AsCompleted<R> {
    type Item = Task<R>;

    fn next(&mut self) -> Option<Task<R>> {
        self.left = self.left.checked_sub(1)?;
        let mut indices = self.finished.indices.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // Each is noted once.
            if let Some(index) = indices.pop_front() {
                return self.tasks[index].take();
            }
            indices = self.finished.one_more.wait(indices).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<R> ExactSizeIterator for AsCompleted<R> {}

impl<R> FusedIterator for AsCompleted<R> {}
