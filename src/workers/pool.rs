//! `Pool`: workers that are kept, and the calls on them.

use std::{fmt, thread, time::Duration};

use super::{
    call::Terms,
    chunk::Chunk,
    crew::Crew,
    error::TaskError,
    executor::{Executor, Hall, Threads},
    gather::{collect, outcomes},
    habits::Habits,
    interrupt::{Guard, guard},
    program::{Plain, TaskFunction, Trying},
    run::{Manner, Place, Run, Setup},
    stream::{MapIter, MapUnordered},
    task::Task,
};
use crate::{
    cpus::cpu_count,
    error::{Error, ErrorKind, Result},
    failure::Failure,
    message::Message,
};

/// Worker processes, or threads, that run functions of this program.
///
/// A task that panics, exits, is killed or runs out of memory fails itself, with a [`TaskError`]; a new
/// worker takes the place of one that died, and the other tasks do not notice. Functions are plain ones or
/// closures that capture nothing, as for [`spawn`](crate::spawn).
///
/// A pool that is dropped finishes all tasks first; one that is dropped by a panic kills its workers.
///
/// # Examples
/// ```
/// commons::init_in_tests!();
/// use commons::Pool;
///
/// # fn main() -> commons::Result<()> {
/// let pool = Pool::new(2)?;
/// assert_eq!(pool.map(0..5u64, |n| n * n)?, [0, 1, 4, 9, 16]);
/// let lengths: usize = pool.map_iter(["a", "bc"].map(str::to_owned), |s| s.len()).map(Result::unwrap).sum();
/// assert_eq!(lengths, 3);
/// pool.shutdown()?;
/// # Ok(()) }
/// ```
#[doc(alias = "ProcessPoolExecutor")]
#[doc(alias = "ThreadPoolExecutor")]
pub struct Pool {
    /// Before the place: what ends the workers needs no guard.
    _guard: Option<Guard>,
    place: Place,
    chunk: Option<usize>,
    terms: Terms,
}

/// How a [`Pool`] shall be; made by [`Pool::builder`].
#[derive(Clone, Debug, Default)]
pub struct PoolBuilder {
    workers: Option<usize>,
    recycle_after: Option<u64>,
    idle_timeout: Option<Duration>,
    chunk: Option<usize>,
    terms: Terms,
    no_guard: bool,
}

impl PoolBuilder {
    /// How many worker processes; as many as [`cpu_count`](crate::cpu_count()) unless said otherwise.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// A worker leaves after so many tasks, and a new one takes its place.
    #[must_use]
    #[doc(alias = "maxtasksperchild")]
    pub fn recycle_after(mut self, tasks: u64) -> Self {
        self.recycle_after = Some(tasks.max(1));
        self
    }

    /// A worker leaves when it has had nothing to do for so long; the next task brings a new one.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// So many tasks go to a worker together; as many as turn out well unless said otherwise.
    #[must_use]
    #[doc(alias = "chunksize")]
    pub fn chunk(mut self, tasks: usize) -> Self {
        self.chunk = Some(tasks);
        self
    }

    /// A task whose worker died is run again, so often. Never one that failed or panicked.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.terms.retries = retries;
        self
    }

    /// How long a task may take from its beginning; then its worker is killed and replaced.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.terms.timeout = Some(timeout);
        self
    }

    /// Whether Ctrl-C ends the workers, and then the program: yes unless said otherwise.
    ///
    /// Tasks that have begun have a second for it; a second Ctrl-C takes that away. Then the signal goes on to
    /// the handler that was there before, or ends the program.
    #[must_use]
    pub fn ctrl_c(mut self, handled: bool) -> Self {
        self.no_guard = !handled;
        self
    }

    /// Starts the pool.
    ///
    /// # Errors
    /// - `NotInitialised` if [`commons::init()`](crate::init) has not run.
    /// - `InvalidInput` for no workers, or more than 240.
    /// - What the system says if it cannot start a process.
    pub fn build(&self) -> Result<Pool> {
        let workers = self.workers.unwrap_or_else(cpu_count);
        let Self { recycle_after, idle_timeout, chunk, terms, .. } = *self;
        let crew = Crew::start(Habits { workers, recycle_after, idle_timeout, inner_threads: None })?;
        let guard = (!self.no_guard).then(|| guard(&crew)).transpose();
        let guard = guard.inspect_err(|_| crew.terminate());
        let guard = guard.map_err(|error| Error::os("cannot handle Ctrl-C", error))?;
        Ok(Pool { _guard: guard, place: Place::Processes(crew), chunk, terms })
    }
}

impl Pool {
    /// So many worker processes.
    ///
    /// # Errors
    /// As [`PoolBuilder::build`].
    pub fn new(workers: usize) -> Result<Self> {
        Self::builder().workers(workers).build()
    }

    /// Other than the usual.
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    ///
    /// # fn main() -> commons::Result<()> {
    /// let pool = commons::Pool::builder().workers(1).recycle_after(3).build()?;
    /// let mut ids = pool.map(0..10, |_: u32| std::process::id())?;
    /// ids.dedup();
    /// assert_eq!(ids.len(), 4);
    /// # Ok(()) }
    /// ```
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }

    /// So many threads of this process. Nothing is sent: arguments and results are moved.
    ///
    /// A task that does not end cannot be killed, and one that aborts takes the process with it.
    ///
    /// # Errors
    /// `InvalidInput` for none; what the system says if it cannot start a thread.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> commons::Result<()> {
    /// let pool = commons::Pool::threads(2)?;
    /// assert_eq!(pool.map(1..4u32, |n| n * 2)?, [2, 4, 6]);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "ThreadPool")]
    pub fn threads(workers: usize) -> Result<Self> {
        if workers == 0 {
            let what = "expected at least one thread and found 0";
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        Self::custom(Threads::start(workers)?)
    }

    /// What an executor of one's own has.
    ///
    /// # Errors
    /// `InvalidInput` if it has no workers.
    pub fn custom(executor: impl Executor) -> Result<Self> {
        Ok(Self {
            _guard: None,
            place: Place::Here(Hall::of(executor)?),
            chunk: None,
            terms: Terms::default(),
        })
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.place.workers()
    }

    /// The worker processes that live now.
    pub fn ids(&self) -> Vec<u32> {
        match &self.place {
            Place::Processes(crew) => crew.ids(),
            Place::Here(_) => Vec::new(),
        }
    }

    fn run<F, In>(&self, manner: Manner, function: F, input: In) -> Run<F, In::IntoIter>
    where
        F: TaskFunction,
        In: IntoIterator<Item = F::Input>,
    {
        let (place, chunk) = (self.place.clone(), Chunk::of(self.chunk));
        Run::start(place, manner, function, Setup::none(), input.into_iter(), chunk, self.terms)
    }

    /// Runs `f` on each item, and returns the results in the order of the items.
    ///
    /// # Errors
    /// The first task that fails: those that have not begun are called off.
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    ///
    /// # fn main() -> commons::Result<()> {
    /// let pool = commons::Pool::new(2)?;
    /// assert_eq!(pool.map(0..100u64, |n| n * n * n)?[99], 970_299);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "starmap")]
    pub fn map<I, R, In>(&self, items: In, f: fn(I) -> R) -> Result<Vec<R>, TaskError>
    where
        I: Message,
        R: Message,
        In: IntoIterator<Item = I>,
    {
        collect(self.run(Manner::Together, Plain(f), items))
    }

    /// As [`Pool::map`], for functions that may fail.
    ///
    /// # Errors
    /// As [`Pool::map`].
    pub fn try_map<I, R, In>(&self, items: In, f: fn(I) -> Result<R, Failure>) -> Result<Vec<R>, TaskError>
    where
        I: Message,
        R: Message,
        In: IntoIterator<Item = I>,
    {
        collect(self.run(Manner::Together, Trying(f), items))
    }

    /// As [`Pool::map`], with a result or an error for each item.
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    ///
    /// # fn main() -> commons::Result<()> {
    /// let pool = commons::Pool::new(2)?;
    /// let outcomes = pool.outcomes(0..3u32, |n| 6 / n);
    /// assert!(outcomes[0].is_err());
    /// assert_eq!(outcomes[2], Ok(3));
    /// # Ok(()) }
    /// ```
    pub fn outcomes<I, R, In>(&self, items: In, f: fn(I) -> R) -> Vec<Result<R, TaskError>>
    where
        I: Message,
        R: Message,
        In: IntoIterator<Item = I>,
    {
        outcomes(self.run(Manner::Together, Plain(f), items))
    }

    /// Runs `f` on each item, and gives the results in the order of the items while others still run.
    ///
    /// The items are taken a bounded number ahead, so they may be endless.
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    ///
    /// # fn main() -> commons::Result<()> {
    /// let pool = commons::Pool::new(2)?;
    /// let large = pool.map_iter(0u64.., |n| n * n).find(|square| matches!(square, Ok(n) if *n > 1000));
    /// assert_eq!(large.unwrap()?, 1024);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "imap")]
    pub fn map_iter<'a, I, R, In>(&self, items: In, f: fn(I) -> R) -> MapIter<'a, R>
    where
        I: Message,
        R: Message,
        In: IntoIterator<Item = I>,
        In::IntoIter: 'a,
    {
        MapIter::of(self.run(Manner::Streaming, Plain(f), items))
    }

    /// As [`Pool::map_iter`], in the order in which tasks are finished.
    #[doc(alias = "imap_unordered")]
    pub fn map_unordered<'a, I, R, In>(&self, items: In, f: fn(I) -> R) -> MapUnordered<'a, R>
    where
        I: Message,
        R: Message,
        In: IntoIterator<Item = I>,
        In::IntoIter: 'a,
    {
        MapUnordered::of(self.run(Manner::Streaming, Plain(f), items))
    }

    /// As [`Pool::outcomes`], for functions that may fail.
    pub fn try_outcomes<I, R, In>(
        &self,
        items: In,
        f: fn(I) -> Result<R, Failure>,
    ) -> Vec<Result<R, TaskError>>
    where
        I: Message,
        R: Message,
        In: IntoIterator<Item = I>,
    {
        outcomes(self.run(Manner::Together, Trying(f), items))
    }

    /// As [`Pool::map_iter`], for functions that may fail.
    pub fn try_map_iter<'a, I, R, In>(&self, items: In, f: fn(I) -> Result<R, Failure>) -> MapIter<'a, R>
    where
        I: Message,
        R: Message,
        In: IntoIterator<Item = I>,
        In::IntoIter: 'a,
    {
        MapIter::of(self.run(Manner::Streaming, Trying(f), items))
    }

    /// As [`Pool::map_unordered`], for functions that may fail.
    pub fn try_map_unordered<'a, I, R, In>(
        &self,
        items: In,
        f: fn(I) -> Result<R, Failure>,
    ) -> MapUnordered<'a, R>
    where
        I: Message,
        R: Message,
        In: IntoIterator<Item = I>,
        In::IntoIter: 'a,
    {
        MapUnordered::of(self.run(Manner::Streaming, Trying(f), items))
    }

    /// As [`Pool::submit`], for functions that may fail.
    ///
    /// # Errors
    /// As [`Pool::submit`].
    pub fn try_submit<I: Message, R: Message>(
        &self,
        input: I,
        f: fn(I) -> Result<R, Failure>,
    ) -> Result<Task<R>> {
        self.submit_function(input, Trying(f))
    }

    /// Has `f(input)` run, and returns at once.
    ///
    /// # Errors
    /// - `Closed` if the pool was shut down.
    /// - `InvalidInput` if `f` is not code of the main program.
    #[doc(alias = "apply_async")]
    pub fn submit<I: Message, R: Message>(&self, input: I, f: fn(I) -> R) -> Result<Task<R>> {
        self.submit_function(input, Plain(f))
    }

    fn submit_function<F: TaskFunction<State = ()>>(
        &self,
        input: F::Input,
        function: F,
    ) -> Result<Task<F::Output>> {
        let (place, input) = (self.place.clone(), std::iter::once(input));
        let chunk = Chunk::of(Some(1));
        let run = Run::start(place.clone(), Manner::Alone, function, Setup::none(), input, chunk, self.terms);
        Ok(Task::new(run.detach()?, place))
    }

    /// Takes no more tasks, finishes those that it has, and waits until all workers have ended.
    ///
    /// # Errors
    /// None so far.
    #[doc(alias = "close")]
    #[doc(alias = "join")]
    pub fn shutdown(&self) -> Result<()> {
        match &self.place {
            Place::Processes(crew) => crew.shut_down(),
            Place::Here(hall) => hall.shut_down(),
        }
        Ok(())
    }

    /// Takes no more tasks, finishes those that have begun, calls off the others, and waits until all
    /// workers have ended.
    ///
    /// # Errors
    /// None so far.
    pub fn cancel(&self) -> Result<()> {
        match &self.place {
            Place::Processes(crew) => crew.cancel(),
            Place::Here(hall) => hall.cancel(),
        }
        Ok(())
    }

    /// Kills all workers, and waits until they have ended. Threads cannot be killed: what they have
    /// begun is waited for, and the rest is called off.
    pub fn terminate(&self) {
        match &self.place {
            Place::Processes(crew) => crew.terminate(),
            Place::Here(hall) => hall.cancel(),
        }
    }
}

/// As many worker processes as there are CPUs to use.
///
/// # Panics
/// Where [`PoolBuilder::build`] has an error.
impl Default for Pool {
    fn default() -> Self {
        Self::builder().build().unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        match &self.place {
            Place::Processes(crew) if thread::panicking() => crew.terminate(),
            Place::Processes(crew) => crew.shut_down(),
            Place::Here(hall) if thread::panicking() => hall.cancel(),
            Place::Here(hall) => hall.shut_down(),
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.workers()).field("ids", &self.ids()).finish()
    }
}
