//! `Parallel` and its settings.

use std::{fmt, sync::Arc, time::Duration};

use super::{backend::Backend, settings::Settings};
use crate::{progress::ProgressLine, shareable::Shareable, shared::Shared};

/// Runs a function on many items in worker processes, in a line.
///
/// Functions are plain ones or closures that capture nothing; what all tasks need is given by
/// [`with`](Parallel::with), or made in each worker by [`init`](Parallel::init). A task that panics, exits,
/// is killed or runs out of memory fails itself, with a [`TaskError`](crate::TaskError). The workers stay
/// for the next call with the same settings, and leave after five minutes without one.
///
/// A call inside a task uses threads, as many as its part of the CPUs, and not more processes.
///
/// # Examples
/// ```
/// commons::init_in_tests!();
/// use commons::{Parallel, Value};
///
/// # fn main() -> commons::Result<()> {
/// let squares = Parallel::new().map(0..100u64, |n| n * n)?;
/// assert_eq!(squares[99], 9801);
///
/// let seen = Value::new(0u64)?;
/// Parallel::new().jobs(2).with(seen.clone()).for_each(0..100u64, |seen, n| {
///     seen.update(|seen| *seen += n);
/// })?;
/// assert_eq!(seen.get(), 4950);
///
/// let lengths = Parallel::new()
///     .jobs(2)
///     .init("prefix ".to_owned(), |prefix| prefix + "and ")       // once in each worker
///     .map(["a", "bc"].map(str::to_owned), |made, word| made.len() + word.len())?;
/// assert_eq!(lengths, [12, 13]);
/// # Ok(()) }
/// ```
#[doc(alias = "joblib")]
#[doc(alias = "n_jobs")]
#[derive(Clone)]
#[must_use = "nothing runs before `map` or one of its kin"]
pub struct Parallel<S = ()> {
    pub(super) settings: Settings,
    pub(super) state: S,
}

/// What a [`Parallel`] gives to all its workers.
#[derive(Clone, Debug)]
pub struct Given<C>(pub(super) C);

/// What a [`Parallel`] has made in each of its workers.
pub struct Prepared<C, S> {
    pub(super) given: C,
    pub(super) make: fn(C) -> S,
}

impl Parallel {
    /// As many worker processes as there are CPUs to use.
    pub fn new() -> Self {
        Self { settings: Settings::default(), state: () }
    }

    /// Gives this to every worker, once; each task has it as a reference.
    #[doc(alias = "initargs")]
    pub fn with<C>(self, context: C) -> Parallel<Given<C>> {
        Parallel { settings: self.settings, state: Given(context) }
    }

    /// Has every worker make something of `given`, once; each task has it as a mutable reference.
    #[doc(alias = "initializer")]
    pub fn init<C, S>(self, given: C, make: fn(C) -> S) -> Parallel<Prepared<C, S>> {
        Parallel { settings: self.settings, state: Prepared { given, make } }
    }
}

impl Default for Parallel {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Parallel<S> {
    /// How many tasks at a time. By joblib's rule: -1 is all CPUs, -2 all but one; 0 is an error, and 1 runs
    /// one task after the other in the calling thread, unless [`backend`](Self::backend) says where. All CPUs
    /// unless said otherwise.
    #[doc(alias = "n_jobs")]
    pub fn jobs(mut self, jobs: i64) -> Self {
        self.settings.jobs = Some(jobs);
        self
    }

    /// Where the tasks run: in processes unless said otherwise.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.settings.backend = Some(backend);
        self
    }

    /// Prints joblib's lines at joblib's frequency: 0 none, 10 many, 11 one for each task; to stderr, and from
    /// 50 on to stdout.
    pub fn verbose(mut self, level: u32) -> Self {
        self.settings.verbose = level;
        self
    }

    /// So many tasks go to a worker together; as many as turn out well unless said otherwise.
    #[doc(alias = "batch_size")]
    pub fn chunk(mut self, tasks: usize) -> Self {
        self.settings.chunk = Some(tasks);
        self
    }

    /// A task whose worker died is run again, so often. Never one that failed or panicked.
    pub fn retries(mut self, retries: u32) -> Self {
        self.settings.retries = retries;
        self
    }

    /// How long a task may take from its beginning; then it fails, and its worker is killed and replaced. A
    /// thread cannot be killed: it goes on, and what it returns is dropped. One task after the other in the
    /// calling thread, none is late.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }

    /// How many threads the libraries in a worker use (`OMP_NUM_THREADS`, `RAYON_NUM_THREADS` and their like).
    /// A worker's part of the CPUs unless said otherwise, or whatever the environment says.
    #[doc(alias = "inner_max_num_threads")]
    pub fn inner_threads(mut self, threads: usize) -> Self {
        self.settings.inner_threads = Some(threads.max(1));
        self
    }

    /// No more items than so many are taken from the input ahead of the results.
    #[doc(alias = "pre_dispatch")]
    pub fn max_look_ahead(mut self, items: usize) -> Self {
        self.settings.look_ahead = Some(items);
        self
    }

    /// Whether Ctrl-C ends the workers, and then the program: yes unless said otherwise. See
    /// [`PoolBuilder::ctrl_c`](crate::PoolBuilder::ctrl_c).
    pub fn ctrl_c(mut self, handled: bool) -> Self {
        self.settings.no_guard = !handled;
        self
    }

    /// Shows a bar while the call runs, or lines where stderr is no terminal.
    #[doc(alias = "tqdm")]
    pub fn progress(mut self, shown: bool) -> Self {
        self.settings.progress = shown;
        self
    }

    /// Shows what `look` makes of the user's own state while the call runs.
    pub fn progress_of<T>(
        mut self,
        state: &Shared<T>,
        look: impl Fn(&T) -> ProgressLine + Send + Sync + 'static,
    ) -> Self
    where
        T: Shareable + Send + Sync + 'static,
    {
        let state = state.clone();
        self.settings.look = Some(Arc::new(move || look(&state)));
        self
    }
}

impl<S> fmt::Debug for Parallel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { jobs, backend, chunk, retries, timeout, .. } = &self.settings;
        let mut text = f.debug_struct("Parallel");
        text.field("jobs", jobs).field("backend", backend).field("chunk", chunk);
        text.field("retries", retries).field("timeout", timeout).finish_non_exhaustive()
    }
}

impl<C: Clone, S> Clone for Prepared<C, S> {
    fn clone(&self) -> Self {
        Self { given: self.given.clone(), make: self.make }
    }
}

impl<C: fmt::Debug, S> fmt::Debug for Prepared<C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("given", &self.given).finish_non_exhaustive()
    }
}
