//! Threads, their deaths, and all schedules of them.
//!
//! A model is a function that makes a machine, lets a few threads use it and says what must be true.
//! [`schedules`] runs it in every order of its threads' steps, and with every value that a load may
//! give. [`deaths`] does that once for each step at which one of them, the victim, can die: it is gone
//! before that step, and the kernel cleans up after it.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    env,
    fmt::{self, Debug, Write},
    panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::*},
    },
    time::Instant,
};

use loom::{model::Builder, sync::atomic::fence, thread::JoinHandle};

use crate::{primitive::AtomicU32, raw::held::Thread, sys::futex};

/// Loom's limit, the first thread included.
const THREADS: usize = 5;

/// How many sleeps of a thread end for want of time when another has died: the one in which it finds
/// that out, and the next, in which it finds out that nobody is left.
const TIMEOUTS: u32 = 2;

/// What happens when a thread dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// The kernel marks its locks, and nobody looks again by himself.
    Marked,
    /// The kernel marks its locks, and the time of sleeps is over.
    MarkedAndTimed,
    /// The kernel does not know of its locks. Sleeps are timed.
    Unseen,
}

/// What the kernel knows about a thread.
pub(crate) struct Task {
    tid: u32,
    steps: Cell<u32>,
    dies_at: Cell<Option<u32>>,
    dead: Cell<bool>,
    /// So many of its next sleeps end for want of time.
    timeouts: Cell<u32>,
    pub(crate) locks: Thread,
    /// Where it sits that has kept a lock.
    pub(crate) seat: Cell<usize>,
}

struct World {
    tasks: [Task; THREADS],
    spawned: Cell<usize>,
    death: Cell<Death>,
    /// Who recovers, under the segment's recovery byte; 0: nobody.
    recoverer: RefCell<Option<Rc<AtomicU32>>>,
    log: RefCell<Vec<Entry>>,
}

/// One step, as a model that fails tells it.
struct Entry {
    tid: u32,
    what: &'static str,
    word: usize,
    value: u64,
    place: &'static Location<'static>,
}

thread_local! {
    /// Of the model that this thread of the test runs.
    static WORLD: &'static World = Box::leak(Box::new(World {
        tasks: std::array::from_fn(|index| Task {
            tid: index as u32 + 1,
            steps: Cell::new(0),
            dies_at: Cell::new(None),
            dead: Cell::new(false),
            timeouts: Cell::new(0),
            locks: Thread::new(),
            seat: Cell::new(0),
        }),
        spawned: Cell::new(0),
        death: Cell::new(Death::Marked),
        recoverer: RefCell::new(None),
        log: RefCell::new(Vec::new()),
    }));
}

loom::thread_local! {
    static INDEX: Cell<usize> = Cell::new(0);
}

fn world() -> &'static World {
    WORLD.with(|world| *world)
}

/// The calling thread.
pub(crate) fn me() -> &'static Task {
    &world().tasks[INDEX.with(Cell::get)]
}

impl Task {
    pub(crate) fn tid(&self) -> u32 {
        self.tid
    }

    pub(crate) fn take_timeout(&self) -> bool {
        let left = self.timeouts.get();
        self.timeouts.set(left.saturating_sub(1));
        left != 0
    }
}

/// Whether the thread has died.
pub(crate) fn is_dead(tid: u32) -> bool {
    world().tasks.iter().any(|task| task.tid == tid && task.dead.get())
}

/// What a thread that dies is unwound with, up to its top.
struct Killed;

/// One step of the calling thread follows; the victim may die before it.
pub(crate) fn step() {
    let task = me();
    if let Some(at) = task.dies_at.get() {
        if task.steps.get() == at {
            resume_unwind(Box::new(Killed));
        }
        task.steps.set(task.steps.get() + 1);
    }
}

/// Writes into the log what the calling thread has done.
#[track_caller]
pub(crate) fn note(what: &'static str, word: usize, value: u64) {
    let entry = Entry { tid: me().tid, what, word, value, place: Location::caller() };
    world().log.borrow_mut().push(entry);
}

fn tell() {
    let log = world().log.take();
    let mut words: Vec<usize> = log.iter().map(|entry| entry.word).collect();
    words.sort_unstable();
    words.dedup();
    for Entry { tid, what, word, value, place } in log {
        let word = words.iter().position(|&other| other == word).unwrap_or_default();
        println!("thread {tid}: {what} word {word}: {value:#x}  ({}:{})", place.file(), place.line());
    }
}

/// Starts a thread that lives.
pub(crate) fn spawn<R: 'static>(run: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    let index = world().spawned.get() + 1;
    world().spawned.set(index);
    loom::thread::spawn(move || {
        INDEX.with(|own| own.set(index));
        run()
    })
}

/// The thread that dies, and when.
#[derive(Clone, Copy)]
pub(crate) struct Victim {
    at: u32,
}

impl Victim {
    /// Starts it; it returns nothing if it has died.
    pub(crate) fn spawn<R: 'static>(self, run: impl FnOnce() -> R + 'static) -> JoinHandle<Option<R>> {
        spawn(move || self.run(run))
    }

    /// Makes the calling thread the victim while it does this, the last that it does.
    pub(crate) fn run<R>(self, run: impl FnOnce() -> R) -> Option<R> {
        me().dies_at.set(Some(self.at));
        let end = catch_unwind(AssertUnwindSafe(run));
        me().dies_at.set(None);
        end.map_or_else(clean_up, Some)
    }
}

/// What the kernel does when a thread has died.
fn clean_up<R>(payload: Box<dyn Any + Send>) -> Option<R> {
    if !payload.is::<Killed>() {
        resume_unwind(payload);
    }
    // Nobody leaves a processor without a barrier.
    fence(SeqCst);
    me().dead.set(true);
    note("die", 0, 0);
    let world = world();
    if world.death.get() != Death::Unseen {
        me().locks.exit(me().tid);
    }
    if world.death.get() != Death::Marked {
        world.tasks.iter().for_each(|task| task.timeouts.set(TIMEOUTS));
        futex::time_out_all();
    }
    None
}

/// Forgets the last execution.
fn boot(death: Death) {
    let world = world();
    for task in &world.tasks {
        task.steps.set(0);
        task.dies_at.set(None);
        task.dead.set(false);
        task.timeouts.set(0);
        task.locks.forget();
        task.seat.set(0);
    }
    world.log.borrow_mut().clear();
    world.spawned.set(0);
    world.death.set(death);
    world.recoverer.replace(Some(shared(AtomicU32::new(0))));
    futex::boot();
}

/// Runs `steal` under the segment's recovery byte, if nobody else does; the byte of a dead thread is free.
pub(crate) fn recovery(steal: &mut dyn FnMut()) -> bool {
    let recoverer = world().recoverer.borrow().clone().expect("made by `boot`");
    let free = |owner| owner == 0 || is_dead(owner);
    let taken = recoverer.fetch_update(AcqRel, Acquire, |owner| free(owner).then_some(me().tid));
    if taken.is_ok() {
        steal();
        recoverer.store(0, Release);
    }
    taken.is_ok()
}

/// Whether anybody has died.
pub(crate) fn any_died() -> bool {
    world().tasks.iter().any(|task| task.dead.get())
}

/// What was run so far of a model.
struct Run {
    begin: Instant,
    schedules: u64,
    died: bool,
    /// Whether `LOOM_MAX_DURATION`, of the whole model, did not suffice.
    cut_short: bool,
}

impl Run {
    fn begin() -> Self {
        Self { begin: Instant::now(), schedules: 0, died: false, cut_short: false }
    }

    /// Runs all schedules of the model.
    fn explore(&mut self, death: Death, model: impl Fn() + Send + Sync + 'static) {
        let mut builder = Builder::new();
        if env::var_os("LOOM_MAX_BRANCHES").is_none() {
            builder.max_branches = 4000;
        }
        let most = builder.max_duration;
        builder.max_duration = most.map(|most| most.saturating_sub(self.begin.elapsed()));
        let seen = Arc::new((AtomicU64::new(0), AtomicBool::new(false)));
        let told = Arc::clone(&seen);
        let run = move || {
            boot(death);
            model();
            told.0.fetch_add(1, Relaxed);
            told.1.fetch_or(any_died(), Relaxed);
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| builder.check(run))) {
            tell();
            resume_unwind(payload);
        }
        self.schedules += seen.0.load(Relaxed);
        self.died = seen.1.load(Relaxed);
        self.cut_short = most.is_some_and(|most| self.begin.elapsed() >= most);
    }

    fn report(&self, what: fmt::Arguments<'_>) {
        let thread = std::thread::current();
        let model = thread.name().unwrap_or("model");
        let end = if self.cut_short { ", cut short" } else { "" };
        let seconds = self.begin.elapsed().as_secs_f64();
        println!("{model}: {} schedules{what} in {seconds:.1} s{end}", self.schedules);
    }
}

/// Runs the model in every schedule. Nobody dies, and no sleep ends by itself.
pub(crate) fn schedules(model: impl Fn() + Send + Sync + 'static) {
    let mut run = Run::begin();
    run.explore(Death::Marked, model);
    run.report(format_args!(""));
}

/// Runs the model in every schedule for each step at which the victim can die.
pub(crate) fn deaths(death: Death, model: impl Fn(Victim) + Send + Sync + Clone + 'static) {
    let (mut run, mut at) = (Run::begin(), 0);
    loop {
        let model = model.clone();
        run.explore(death, move || model(Victim { at }));
        if !run.died || run.cut_short {
            return run.report(format_args!(", {at} steps to die at"));
        }
        at += 1;
    }
}

/// Puts a machine where all threads reach it, and shows all its atomics to loom.
pub(crate) fn shared<T: Debug>(machine: T) -> Rc<T> {
    struct Nowhere;
    impl Write for Nowhere {
        fn write_str(&mut self, _: &str) -> fmt::Result {
            Ok(())
        }
    }
    write!(Nowhere, "{machine:?}").expect("atomics say nothing");
    Rc::new(machine)
}
