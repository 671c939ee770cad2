//! Tasks in this process: on threads, or at once.

use std::{
    any::Any,
    cell::RefCell,
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::*},
        mpsc,
    },
    time::Duration,
};

use super::{
    books::panicked,
    call::Call,
    error::TaskErrorKind,
    nesting,
    program::{State, TaskFunction},
    states::{self, MakeState},
};
use crate::{
    error::{Error, ErrorKind, Result},
    process::{caught, discard, note_panics},
    sys::fork,
};

/// Runs tasks in this process; for a backend of one's own.
///
/// It is dropped by who drops its pool, or the last [`Backend`](crate::Backend) of it, and never by one of its
/// tasks: it may join its threads then.
///
/// # Examples
/// ```
/// use commons::Executor;
///
/// /// A new thread for each task.
/// struct Threads;
///
/// impl Executor for Threads {
///     fn workers(&self) -> usize {
///         4
///     }
///
///     fn execute(&self, task: Box<dyn FnOnce() + Send>) {
///         std::thread::spawn(task);
///     }
/// }
///
/// # fn main() -> commons::Result<()> {
/// let pool = commons::Pool::custom(Threads)?;
/// assert_eq!(pool.map(1..4, |n: u32| n * n)?, [1, 4, 9]);
/// # Ok(()) }
/// ```
pub trait Executor: Send + Sync + 'static {
    /// How many tasks it runs at the same time.
    fn workers(&self) -> usize;

    /// Runs a task, now or later, on any thread. A task never panics, and one that is dropped instead does
    /// not either: it has failed then.
    fn execute(&self, task: Box<dyn FnOnce() + Send>);
}

/// As many threads as were asked for.
pub(crate) struct Threads(Arc<rayon_core::ThreadPool>);

impl Threads {
    pub(crate) fn start(workers: usize) -> Result<Self> {
        let threads = rayon_core::ThreadPoolBuilder::new()
            .num_threads(workers)
            .thread_name(|number| format!("commons-worker-{number}"))
            .build();
        threads
            .map(|threads| Self(Arc::new(threads)))
            .map_err(|error| Error::new(ErrorKind::Os, format!("cannot start {workers} threads: {error}")))
    }
}

impl Executor for Threads {
    fn workers(&self) -> usize {
        self.0.current_num_threads()
    }

    fn execute(&self, task: Box<dyn FnOnce() + Send>) {
        self.0.spawn(task);
    }
}

/// Runs each task where it is handed out.
pub(crate) struct Sequential;

impl Executor for Sequential {
    fn workers(&self) -> usize {
        1
    }

    fn execute(&self, task: Box<dyn FnOnce() + Send>) {
        task();
    }
}

/// No executor is asked for more tasks at a time.
const MOST: usize = 1 << 16;

/// An executor, and our books about it.
pub(crate) struct Hall {
    executor: Box<dyn Executor>,
    /// The same, if it is ours and has threads.
    threads: Option<Arc<rayon_core::ThreadPool>>,
    books: Arc<Books>,
    /// The process that has these threads.
    process: u64,
}

/// What an executor has of us. Its tasks know this and not the hall: who drops that may join their threads.
#[derive(Default)]
struct Books {
    inside: Mutex<Inside>,
    changed: Condvar,
    /// So many tasks are in the user's function, or make a state for it.
    working: AtomicUsize,
    /// The hall was dropped.
    gone: Arc<AtomicBool>,
}

#[derive(Default)]
struct Inside {
    tasks: usize,
    closed: bool,
    /// What has not begun is called off.
    cancelled: bool,
    /// There were tasks with states.
    states: bool,
}

/// So long who drops threads waits until they have dropped their states.
const PATIENCE: Duration = Duration::from_secs(10);

impl Hall {
    pub(crate) fn of(executor: impl Executor) -> Result<Arc<Self>> {
        if executor.workers() == 0 {
            let what = "expected an executor that runs at least one task at a time and found one of 0";
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        // Then a panic in a task can be told with its place.
        note_panics();
        let threads = (&executor as &dyn Any).downcast_ref().map(|Threads(threads)| threads.clone());
        Ok(Arc::new(Self {
            executor: Box::new(executor),
            threads,
            books: Arc::default(),
            process: fork::mark(),
        }))
    }

    pub(super) fn workers(&self) -> usize {
        self.executor.workers().min(MOST)
    }

    /// Has a task run, and given to its call.
    ///
    /// # Errors
    /// `Closed` if the pool takes no more.
    pub(super) fn execute<F: TaskFunction>(
        &self,
        call: &Arc<Call<F::Output>>,
        index: usize,
        function: F,
        input: F::Input,
        make: Option<MakeState>,
    ) -> Result<()> {
        let mut inside = self.books.lock();
        if inside.closed {
            let _ = discard(input);
            return Err(Error::new(ErrorKind::Closed, "the pool was shut down, so it takes no more tasks"));
        }
        inside.tasks += 1;
        inside.states |= make.is_some();
        drop(inside);
        let (call, books) = (Some(call.clone()), self.books.clone());
        let ticket = Ticket { function, input: Some(input), make, call, index, books, waits: true };
        self.executor.execute(Box::new(move || ticket.run()));
        Ok(())
    }

    /// Takes no more tasks, and waits for those that it has.
    pub(super) fn shut_down(&self) {
        self.close(false);
    }

    /// As [`Hall::shut_down`], but what has not begun is called off.
    pub(super) fn cancel(&self) {
        self.close(true);
    }

    fn close(&self, cancelled: bool) {
        let mut inside = self.books.lock();
        inside.closed = true;
        inside.cancelled |= cancelled;
        // Who ends a pool in one of its own tasks does not wait for that.
        let own = Here::count(&self.books);
        while inside.tasks > own {
            inside = self.books.changed.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// States are dropped before this has ended: at once on this thread, and on our own threads as soon as they
/// can. Threads that are in the user's functions are not waited for.
impl Drop for Hall {
    fn drop(&mut self) {
        self.books.gone.store(true, Release);
        states::forget_ended();
        let inside = self.books.lock();
        // Its calls were called off before: what is not at work by now will not be.
        let (states, idle) = (inside.states, self.books.working.load(Acquire) == 0);
        drop(inside);
        let ours = self.process == fork::mark();
        let Some(threads) = self.threads.take().filter(|_| states && ours) else { return };
        let (done, all) = mpsc::channel::<()>();
        threads.spawn_broadcast(move |_| {
            // The last thread to go takes it along.
            let _done = &done;
            states::forget_ended();
        });
        if idle {
            let _ = all.recv_timeout(PATIENCE);
        }
    }
}

impl Books {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task inside. One that its executor forgets is settled with this.
struct Ticket<F: TaskFunction> {
    function: F,
    input: Option<F::Input>,
    make: Option<MakeState>,
    /// `None` when it is dropped.
    call: Option<Arc<Call<F::Output>>>,
    index: usize,
    books: Arc<Books>,
    /// It was not run.
    waits: bool,
}

impl<F: TaskFunction> Ticket<F> {
    fn run(mut self) {
        self.waits = false;
        let Some(call) = &self.call else { return };
        let inside = self.books.lock();
        let cancelled = inside.cancelled;
        // Before it asks whether it may begin: see the end of the hall.
        self.books.working.fetch_add(1, Relaxed);
        drop(inside);
        let begun = !cancelled && call.begin();
        let here = Here::enter(&self.books);
        let result = begun.then(|| {
            call.clock_in(self.index);
            work(&self.books, self.function, &mut self.input, self.make.as_ref())
        });
        drop(here);
        self.books.working.fetch_sub(1, Release);
        match result {
            None if cancelled => self.give(Err(TaskErrorKind::Cancelled)),
            Some(result) if call.clock_out(self.index) => self.give(result),
            Some(late) => _ = discard(late),
            None => {}
        }
    }

    fn give(&self, result: Result<F::Output, TaskErrorKind>) {
        if let Some(call) = &self.call {
            // A panic is one of a waker: the result stands.
            let _ = caught(|| call.give(self.index, result));
        }
    }
}

impl<F: TaskFunction> Drop for Ticket<F> {
    fn drop(&mut self) {
        let _ = discard(self.input.take());
        if self.waits {
            self.give(Err(TaskErrorKind::Refused("its executor has dropped it".into())));
        }
        // The last task of a call that is over drops the state.
        self.make = None;
        states::forget_ended();
        self.call.take().into_iter().for_each(let_go);
        let mut inside = self.books.lock();
        inside.tasks -= 1;
        if inside.closed {
            self.books.changed.notify_all();
        }
    }
}

/// This thread is in a task.
struct Here;

impl Here {
    fn number(books: &Arc<Books>) -> usize {
        Arc::as_ptr(books).addr()
    }

    fn enter(books: &Arc<Books>) -> Self {
        // At the thread's end there is no list any more.
        let _ = HERE.try_with(|here| here.borrow_mut().push(Self::number(books)));
        Self
    }

    /// In how many of these.
    fn count(books: &Arc<Books>) -> usize {
        let is_it = |number: &&usize| **number == Self::number(books);
        HERE.try_with(|here| here.borrow().iter().filter(is_it).count()).unwrap_or(0)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let _ = HERE.try_with(|here| here.borrow_mut().pop());
    }
}

/// Drops the call's results, if they are nobody's any more: one by one, since the second panic of a drop
/// ends the process.
fn let_go<R>(call: Arc<Call<R>>) {
    let Some(call) = Arc::into_inner(call) else { return };
    let mut results = VecDeque::new();
    call.take_all(&mut results);
    results.into_iter().for_each(|result| _ = discard(result));
}

thread_local! {
    /// Whose tasks this thread is in, one inside the other.
    static HERE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Runs the user's function. It takes the input, unless there is no state for it.
fn work<F: TaskFunction>(
    books: &Arc<Books>,
    function: F,
    input: &mut Option<F::Input>,
    make: Option<&MakeState>,
) -> Result<F::Output, TaskErrorKind> {
    let _inside = nesting::enter_task();
    // Others go first: they may be large.
    states::forget_ended();
    let mut state: State = match make {
        None => Box::new(()),
        Some(make) => {
            let made = || match states::take(make) {
                Some(state) => Ok(state),
                None => make().map_err(|error| TaskErrorKind::Decode(error.to_string())),
            };
            caught(made).unwrap_or_else(|report| Err(panicked(report)))?
        }
    };
    let ran = caught(|| {
        let state = (&mut *state as &mut dyn Any).downcast_mut();
        let state = state.ok_or_else(|| {
            TaskErrorKind::Refused("the state is not the one that its function needs".into())
        })?;
        let input = input.take().ok_or_else(|| TaskErrorKind::Refused("it was run before".into()))?;
        function.call(state, input).map_err(TaskErrorKind::Failed)
    });
    if let Some(make) = make {
        states::keep(make, &books.gone, state);
    }
    ran.unwrap_or_else(|report| Err(panicked(report)))
}
