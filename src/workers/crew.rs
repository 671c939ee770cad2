//! A pool's workers, and the thread that listens to them.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use super::{
    books::{Books, Job, News},
    chunk::ahead,
    control::{Control, MOST_WORKERS},
    error::TaskErrorKind,
    habits::Habits,
    order::{AnswerHead, head_of, read_answer},
    program::Kind,
    worker::{Answers, Orders, Post, work},
};
use crate::{
    deadline::{self, Deadline},
    error::{Error, ErrorKind, Result},
    process::{Exit, Process, ProcessError},
    queue::{Fault, Queue},
    segment,
    shared::Shared,
    sys::{exhaustion, fork},
};

/// So many workers in a row that end before their first order, and nothing will come of the next one.
const BAD_STARTS: u32 = 3;

/// How bad it is if so many do: one that somebody kills counts one.
const WORST: u32 = 90;

/// The desk in a message that is not about a death.
pub(super) const NOBODY: u32 = u32::MAX;

/// So many answers are read before what is new is told.
const MOST_AT_ONCE: usize = 64;

/// How often clocks are looked at where tasks are timed.
const LOOK: Duration = Duration::from_millis(10);

/// For what nobody tells: messages that cannot be sent, because memory was scribbled over.
const NOW_AND_THEN: Duration = Duration::from_secs(2);

/// How soon a send that found no room is tried again at the latest.
const SOON: Duration = Duration::from_millis(50);

/// Worker processes, and what they are to do.
pub(crate) struct Crew {
    pub(super) orders: Queue<Orders>,
    answers: Queue<Answers>,
    pub(super) control: Shared<Control>,
    pub(super) habits: Habits,
    desk: Mutex<Office>,
    pub(super) changed: Condvar,
    /// The process whose crew it is, and not one that was forked from it.
    process: u64,
    /// The desks of workers that have died, until that is announced among the answers.
    dead: Mutex<Vec<usize>>,
}

pub(super) struct Office {
    pub(super) books: Books,
    pub(super) workers: Vec<Option<Arc<Process<()>>>>,
    pub(super) stage: Stage,
    bad_starts: u32,
    /// No worker is started before the next task comes: none of the last ones lived.
    resting: bool,
    /// Interrupted: nothing is handed out, and nobody is told anything.
    pub(super) frozen: bool,
    /// Processes that the kernel had killed for lack of memory when this was looked at last.
    oom_kills: Option<u64>,
    pub(super) listener: Option<thread::JoinHandle<()>>,
    pub(super) listening: Option<thread::ThreadId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Open,
    /// Takes no more tasks, and ends when none is left.
    Closing,
    Terminated,
}

impl Crew {
    pub(crate) fn start(habits: Habits) -> Result<Arc<Self>> {
        if !(1..=MOST_WORKERS).contains(&habits.workers) {
            let what =
                format!("expected a number of workers from 1 to {MOST_WORKERS} and found {}", habits.workers);
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        let office = Office {
            books: Books::default(),
            workers: (0..habits.workers).map(|_| None).collect(),
            stage: Stage::Open,
            bad_starts: 0,
            resting: false,
            frozen: false,
            oom_kills: kills(),
            listener: None,
            listening: None,
        };
        let crew = Arc::new(Self {
            orders: Queue::unbounded()?,
            answers: Queue::unbounded()?,
            control: Shared::new(Control::new())?,
            habits,
            desk: Mutex::new(office),
            changed: Condvar::new(),
            process: fork::mark(),
            dead: Mutex::default(),
        });
        let mut office = crew.lock();
        let started = crew.hire(&mut office, habits.workers).and_then(|()| {
            let listening = crew.clone();
            let listener = thread::Builder::new().name("commons-pool".into());
            let listener = listener.spawn(move || listening.listen());
            listener.map_err(|error| Error::os("cannot start the thread of a pool", error))
        });
        let listener = started.inspect_err(|error| crew.abandon(&mut office, error))?;
        office.listening = Some(listener.thread().id());
        office.listener = Some(listener);
        drop(office);
        Ok(crew)
    }

    /// Whether the calling process is the one that started it.
    pub(super) fn is_ours(&self) -> bool {
        self.process == fork::mark()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Office> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unlocks, then tells calls what is new.
    pub(super) fn unlock(&self, mut office: MutexGuard<'_, Office>) {
        if office.frozen {
            return;
        }
        let news = std::mem::take(&mut office.books.news);
        if office.books.is_empty() {
            if office.stage == Stage::Closing {
                self.orders.close();
            }
            self.changed.notify_all();
        }
        drop(office);
        news.into_iter().for_each(News::tell);
    }

    /// Starts workers until there are so many.
    fn hire(self: &Arc<Self>, office: &mut Office, wanted: usize) -> Result<()> {
        let mut missing = wanted.saturating_sub(office.workers.iter().flatten().count());
        if missing == 0 {
            return Ok(());
        }
        let share = self.habits.share();
        let builder = self.habits.builder(share);
        for (desk, place) in office.workers.iter_mut().enumerate() {
            if missing == 0 {
                break;
            }
            if place.is_some() {
                continue;
            }
            let post = Post {
                orders: self.orders.clone(),
                answers: self.answers.clone(),
                control: self.control.clone(),
                desk: desk as u32,
                recycle_after: self.habits.recycle_after,
                idle_timeout: self.habits.idle_timeout,
                share,
            };
            let crew = Arc::downgrade(self);
            let told = move || {
                if let Some(crew) = crew.upgrade() {
                    crew.died(desk);
                }
            };
            *place = Some(Arc::new(builder.spawn_and_tell(post, work, told)?));
            missing -= 1;
        }
        Ok(())
    }

    /// As many workers as there is work for.
    fn wanted(&self, office: &Office) -> usize {
        match (office.stage, self.habits.idle_timeout) {
            _ if office.resting || office.frozen => 0,
            (Stage::Terminated, _) => 0,
            (Stage::Open, None) => self.habits.workers,
            _ => self.habits.workers.min(office.books.waiting.len() + office.books.running.len()),
        }
    }

    /// Starts those that are wanted. On the pool's thread, so that they may use the CPUs of who made the pool.
    fn heal(self: &Arc<Self>, office: &mut Office) {
        if let Err(error) = self.hire(office, self.wanted(office))
            && office.workers.iter().flatten().next().is_none()
        {
            self.give_up(office, &error.to_string());
        }
    }

    /// Nothing can be run: everything fails, and what stands in the ring is taken back.
    fn give_up(&self, office: &mut Office, why: &str) {
        office.books.fail_all(&TaskErrorKind::Refused(why.to_owned()));
        self.take_back(office);
    }

    /// What stands in the ring, and no worker has taken, is called off.
    pub(super) fn take_back(&self, office: &mut Office) {
        let mut bytes = Vec::new();
        while self.orders.core().receive(&mut bytes, Deadline::NOW, None).is_ok() {
            if let Some(head) = head_of(&bytes) {
                office.books.call_back(head.number);
            }
        }
    }

    /// Takes a job on, which `make` puts together with a number for its order.
    ///
    /// # Errors
    /// `Closed` if the pool takes no more.
    pub(super) fn take_on(self: &Arc<Self>, make: impl FnOnce(u64) -> Job) -> Result<()> {
        if !self.is_ours() {
            let what = "the pool belongs to the process that this one was forked from: make one here";
            return Err(Error::new(ErrorKind::Closed, what));
        }
        let mut office = self.lock();
        if office.stage != Stage::Open {
            return Err(Error::new(ErrorKind::Closed, "the pool was shut down, so it takes no more tasks"));
        }
        let number = office.books.number();
        office.books.waiting.push_back(make(number));
        office.resting = false;
        self.hand_out(&mut office);
        if office.workers.iter().flatten().count() < self.wanted(&office) && self.nudge(NOBODY).is_err() {
            // The pool's thread has more to read than there is room for.
            self.heal(&mut office);
        }
        self.unlock(office);
        Ok(())
    }

    /// Sends waiting orders, as many as may be on their way.
    fn hand_out(&self, office: &mut Office) {
        if office.frozen {
            return;
        }
        while office.books.running.len() < ahead(self.habits.workers, office.books.order_time()) {
            let Some(job) = office.books.waiting.pop_front() else { return };
            match self.orders.core().send(&job.bytes.as_slice(), Deadline::NOW, None) {
                Ok(()) => {
                    let number = head_of(&job.bytes).map_or(0, |head| head.number);
                    office.books.running.insert(number, job);
                }
                Err(Fault::NotYet) => return office.books.waiting.push_front(job),
                Err(Fault::Failed(_)) if job.tasks > 1 => {
                    // Too many bytes, perhaps: one by one they may fit.
                    (0..job.tasks).rev().for_each(|task| office.books.again(&job, task..task + 1, 0));
                }
                Err(Fault::Failed(error)) => {
                    office.books.fail(&job, &TaskErrorKind::Encode(error.to_string()))
                }
                Err(Fault::Closed) => office.books.fail(&job, &TaskErrorKind::Cancelled),
            }
        }
    }

    /// All tasks of a call are settled.
    pub(super) fn close_call(&self, call: u64) {
        if self.is_ours() {
            self.control.end_call(call);
        }
    }

    /// The tasks of a call that have not begun need not; whether there were such here.
    pub(super) fn end_call(&self, call: u64) -> bool {
        if !self.is_ours() {
            return false;
        }
        self.control.end_call(call);
        let mut office = self.lock();
        let off = office.books.call_off(|job| job.call_number == call);
        self.unlock(office);
        off
    }

    /// On the thread that collects processes: a worker has died.
    fn died(&self, desk: usize) {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner).push(desk);
        // What fails is tried again, and then told, by the pool's thread.
        let _ = self.announce();
    }

    /// Sends the pool's thread a message for each of the dead, which stands behind all answers of that one.
    /// One that finds no room is sent again when answers have been read.
    fn announce(&self) -> Result<()> {
        let mut dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failed = None;
        dead.retain(|&desk| match self.nudge(desk as u32) {
            Ok(()) => false,
            Err(Fault::Failed(error)) => {
                failed = Some(error);
                true
            }
            Err(_) => true,
        });
        failed.map_or(Ok(()), Err)
    }

    /// Sends the pool's thread a message, if it finds room.
    pub(super) fn nudge(&self, desk: u32) -> Result<(), Fault> {
        let head = AnswerHead { order: 0, task: desk, kind: Kind::Nudge as u32, worker: 0, micros: 0 };
        self.answers.core().send(&bytemuck::bytes_of(&head), Deadline::NOW, None)
    }

    /// The pool's thread: reads answers until the pool has ended.
    fn listen(self: Arc<Self>) {
        let mut bytes = Vec::new();
        loop {
            // Where there is an answer nothing is waited for, and clocks are looked at after it.
            let ready = self.answers.core().is_ready();
            let deadline = if ready { Deadline::NOW } else { self.next_look() };
            match self.answers.core().receive(&mut bytes, deadline, None) {
                Ok(()) => self.read(&mut bytes),
                Err(Fault::NotYet) => {
                    if let Err(error) = self.look() {
                        return self.lose(&error);
                    }
                }
                Err(Fault::Closed) => {
                    return self.lose(&Error::new(ErrorKind::Closed, "the answers are closed"));
                }
                Err(Fault::Failed(error)) => return self.lose(&error),
            }
            if self.is_over() {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        let office = self.lock();
        let over = office.stage != Stage::Open
            && office.books.is_empty()
            && office.workers.iter().all(Option::is_none);
        if over {
            self.changed.notify_all();
        }
        over
    }

    /// When there is something to see without an answer.
    fn next_look(&self) -> Deadline {
        let office = self.lock();
        if office.books.running.values().any(|job| job.call.terms().timeout.is_some()) {
            return Deadline::after(LOOK);
        }
        let stuck = !office.books.waiting.is_empty()
            && office.books.running.len() < ahead(self.habits.workers, office.books.order_time());
        let dead = !self.dead.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        Deadline::after(if stuck || dead { SOON } else { NOW_AND_THEN })
    }

    /// Looks at clocks, and tries again what found no room.
    fn look(self: &Arc<Self>) -> Result<()> {
        self.announce()?;
        let mut office = self.lock();
        if office.workers.iter().flatten().all(|worker| !worker.is_finished()) {
            // Who was killed before now was no worker of ours.
            office.oom_kills = kills();
        }
        self.hand_out(&mut office);
        self.kill_the_late(&office);
        self.unlock(office);
        Ok(())
    }

    fn kill_the_late(&self, office: &Office) {
        for (desk, worker) in office.workers.iter().enumerate() {
            let (Some(worker), desk) = (worker, self.control.desk(desk)) else { continue };
            let Some((order, task, since)) = desk.current() else { continue };
            let Some(job) = office.books.running.get(&order) else { continue };
            let Some(timeout) = job.call.terms().timeout else { continue };
            let age = Duration::from_nanos(deadline::nanoseconds().saturating_sub(since));
            // What it begins after that nobody has asked it to stop.
            if task == job.done && age > timeout && desk.condemn(task) {
                kill(worker);
            }
        }
    }

    fn read(self: &Arc<Self>, bytes: &mut Vec<u8>) {
        let mut office = self.lock();
        self.read_one(&mut office, bytes);
        // Those that have come meanwhile are read together.
        for _ in 0..MOST_AT_ONCE {
            if !self.answers.core().is_ready()
                || self.answers.core().receive(bytes, Deadline::NOW, None).is_err()
            {
                break;
            }
            self.read_one(&mut office, bytes);
        }
        self.hand_out(&mut office);
        self.kill_the_late(&office);
        self.unlock(office);
    }

    fn read_one(self: &Arc<Self>, office: &mut Office, bytes: &[u8]) {
        let Some((head, rest)) = read_answer(bytes) else { return };
        if head.kind == Kind::Nudge as u32 {
            self.bury(office, head.task as usize);
            self.settle_the_rest(office);
            self.heal(office);
        } else {
            office.books.answer(head, rest);
        }
    }

    /// Sees to what a dead worker has left, all of whose answers were read.
    fn bury(&self, office: &mut Office, desk: usize) {
        let Some(worker) = office.workers.get_mut(desk).and_then(Option::take) else { return };
        let (id, exit) = (worker.id(), worker.exit());
        let desk = self.control.desk(desk);
        let came = desk.is_open();
        // In this turn: see `control`.
        let passed = desk.place().is_some_and(|place| self.orders.core().has_passed(place));
        let legacy = desk.clear().filter(|_| passed);
        let (before, kills) = (office.oom_kills, kills());
        let more = before.zip(kills).is_some_and(|(before, now)| before != now);
        let out_of_memory = |exit| exit == Exit::Signal(9) && more;
        let exit = exit.unwrap_or(Exit::Signal(9));
        let why = match &legacy {
            Some(legacy) if legacy.condemned => TaskErrorKind::TimedOut,
            Some(legacy) if legacy.exhausted || out_of_memory(exit) => TaskErrorKind::OutOfMemory(exit),
            _ => TaskErrorKind::Exit(exit),
        };
        office.oom_kills = kills;
        let told = Arc::into_inner(worker).and_then(|worker| worker.join().err());
        // One that dies of an order before it has it (it has no memory for it, perhaps) was of none.
        let of_use = legacy.is_some() || came && exit == Exit::Code(0);
        self.mind_starts(office, of_use, exit, told.as_ref());
        let why = match (why, told) {
            // Where a panic ends the process, that has told its own.
            (TaskErrorKind::Exit(_), Some(ProcessError::Panicked { message, location, backtrace, .. })) => {
                TaskErrorKind::Panicked { message, location, backtrace }
            }
            (why, _) => why,
        };
        if let Some(legacy) = legacy {
            office.books.bury(legacy, why, id);
        }
    }

    /// A worker has ended, which was of use or not: are others to be started?
    fn mind_starts(&self, office: &mut Office, of_use: bool, exit: Exit, told: Option<&ProcessError>) {
        // Those that somebody kills may be killed more often.
        let bad = match exit {
            _ if of_use => 0,
            Exit::Signal(1 | 2 | 9 | 15) => 1,
            _ => WORST / BAD_STARTS,
        };
        office.bad_starts = if of_use { 0 } else { office.bad_starts + bad };
        if office.bad_starts >= WORST {
            (office.bad_starts, office.resting) = (0, true);
        }
        if office.resting && office.workers.iter().all(Option::is_none) {
            if bad == 0 {
                // The last one that was left ended otherwise: others may do as well.
                office.resting = false;
            } else {
                let why = told.map_or_else(|| exit.to_string(), ToString::to_string);
                self.give_up(office, &why);
            }
        }
    }

    /// The processes of the workers.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.lock().workers.iter().flatten().map(|worker| worker.id()).collect()
    }
}

/// How many processes the kernel has killed for lack of memory, where it says so.
fn kills() -> Option<u64> {
    segment::with_descriptors(exhaustion::kills).ok()
}

/// Kills a worker and all that descends from it. That takes a moment: on a thread of its own.
pub(super) fn kill(worker: &Arc<Process<()>>) {
    let tree = worker.clone();
    let killing = thread::Builder::new().name("commons-kill".into()).spawn(move || tree.kill_tree());
    if killing.is_err() {
        let _ = worker.kill();
    }
}
