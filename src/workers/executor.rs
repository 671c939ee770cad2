//! Tasks in this process: on threads, or at once.

use std::{
    any::Any,
    cell::RefCell,
    sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError},
};

use super::{
    books::panicked,
    call::Call,
    error::TaskErrorKind,
    nesting,
    program::{State, TaskFunction},
};
use crate::{
    error::{Error, ErrorKind, Result},
    process::{caught, listen_for_panics},
};

/// Runs tasks in this process; for a backend of one's own.
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

    /// Runs a task, now or later, on any thread. A task never panics.
    fn execute(&self, task: Box<dyn FnOnce() + Send>);
}

/// As many threads as were asked for.
pub(crate) struct Threads(rayon_core::ThreadPool);

impl Threads {
    pub(crate) fn start(workers: usize) -> Result<Self> {
        let threads = rayon_core::ThreadPoolBuilder::new()
            .num_threads(workers)
            .thread_name(|number| format!("commons-worker-{number}"))
            .build();
        threads
            .map(Self)
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

/// Makes the state of a call on the thread that needs it.
pub(super) type MakeState = Arc<dyn Fn() -> Result<State> + Send + Sync>;

/// No executor is asked for more tasks at a time.
const MOST: usize = 1 << 16;

/// An executor, and how many of our tasks it has.
pub(crate) struct Hall {
    executor: Box<dyn Executor>,
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Default)]
struct Inside {
    tasks: usize,
    closed: bool,
    /// What has not begun is called off.
    cancelled: bool,
}

impl Hall {
    pub(crate) fn of(executor: impl Executor) -> Result<Arc<Self>> {
        if executor.workers() == 0 {
            let what = "expected an executor that runs at least one task at a time and found one of 0";
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        // Once: then a panic in a task can be told with its place.
        static LISTENING: Once = Once::new();
        LISTENING.call_once(|| listen_for_panics(|_| {}));
        Ok(Arc::new(Self { executor: Box::new(executor), inside: Mutex::default(), changed: Condvar::new() }))
    }

    pub(super) fn workers(&self) -> usize {
        self.executor.workers().min(MOST)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a task run, and given to its call.
    ///
    /// # Errors
    /// `Closed` if the pool takes no more.
    pub(super) fn execute<F: TaskFunction>(
        self: &Arc<Self>,
        call: &Arc<Call<F::Output>>,
        index: usize,
        function: F,
        input: F::Input,
        make: Option<MakeState>,
    ) -> Result<()> {
        let mut inside = self.lock();
        if inside.closed {
            return Err(Error::new(ErrorKind::Closed, "the pool was shut down, so it takes no more tasks"));
        }
        inside.tasks += 1;
        drop(inside);
        let ticket = Ticket { hall: self.clone(), call: call.clone(), index, waits: true };
        self.executor.execute(Box::new(move || {
            let mut ticket = ticket;
            let (hall, call) = ticket.open();
            if hall.lock().cancelled {
                call.give(index, Err(TaskErrorKind::Cancelled));
            } else if call.begin() {
                call.clock_in(index);
                let result = run(call.number, function, input, make);
                if call.clock_out(index) {
                    call.give(index, result);
                }
            }
            drop(ticket);
        }));
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
        let mut inside = self.lock();
        inside.closed = true;
        inside.cancelled |= cancelled;
        while inside.tasks != 0 {
            inside = self.changed.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A task inside. One that its executor forgets is settled with this.
struct Ticket<R> {
    hall: Arc<Hall>,
    call: Arc<Call<R>>,
    index: usize,
    /// It was not run.
    waits: bool,
}

impl<R> Ticket<R> {
    /// It is run now.
    fn open(&mut self) -> (&Hall, &Call<R>) {
        self.waits = false;
        (&self.hall, &self.call)
    }
}

impl<R> Drop for Ticket<R> {
    fn drop(&mut self) {
        if self.waits {
            self.call.give(self.index, Err(TaskErrorKind::Refused("its executor has dropped it".into())));
        }
        let mut inside = self.hall.lock();
        inside.tasks -= 1;
        if inside.tasks == 0 {
            self.hall.changed.notify_all();
        }
    }
}

thread_local! {
    /// The state of the call that this thread has last run a task of.
    static STATE: RefCell<Option<(u64, State)>> = const { RefCell::new(None) };
}

fn run<F: TaskFunction>(
    call: u64,
    function: F,
    input: F::Input,
    make: Option<MakeState>,
) -> Result<F::Output, TaskErrorKind> {
    let _inside = nesting::enter_task();
    let ran = caught(|| {
        let kept = match STATE.take() {
            Some((of, state)) if make.is_some() && of == call => Some(state),
            other => {
                // A panic of another call's state is printed, and nothing else comes of it.
                let _ = caught(|| drop(other));
                None
            }
        };
        let mut state: State = match (kept, &make) {
            (Some(state), _) => state,
            (None, Some(make)) => make().map_err(|error| TaskErrorKind::Decode(error.to_string()))?,
            (None, None) => Box::new(()),
        };
        let of_its_type = (&mut *state as &mut dyn Any).downcast_mut::<F::State>();
        let of_its_type = of_its_type.ok_or_else(|| {
            TaskErrorKind::Refused("the state is not the one that its function needs".into())
        })?;
        let result = function.call(of_its_type, input).map_err(TaskErrorKind::Failed);
        if make.is_some() {
            STATE.set(Some((call, state)));
        }
        result
    });
    ran.unwrap_or_else(|report| Err(panicked(report)))
}
