//! A pool's workers, and what they are to do.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::{
    books::{Books, Job, News},
    chunk::ahead,
    control::{Control, MOST_WORKERS},
    error::TaskErrorKind,
    habits::Habits,
    order::{AnswerHead, head_of},
    program::Kind,
    worker::{Answers, Orders},
};
use crate::{
    deadline::Deadline,
    error::{Error, ErrorKind, Result},
    process::Process,
    queue::{Fault, Queue},
    segment,
    shared::Shared,
    sys::{exhaustion, fork},
};

/// The desk in a message that is not about a death.
pub(super) const NOBODY: u32 = u32::MAX;

/// Worker processes, and what they are to do.
pub(crate) struct Crew {
    pub(super) orders: Queue<Orders>,
    pub(super) answers: Queue<Answers>,
    pub(super) control: Shared<Control>,
    pub(super) habits: Habits,
    desk: Mutex<Office>,
    pub(super) changed: Condvar,
    /// The process whose crew it is, and not one that was forked from it.
    process: u64,
    /// The desks of workers that have died, until that is announced among the answers.
    pub(super) dead: Mutex<Vec<usize>>,
}

pub(super) struct Office {
    pub(super) books: Books,
    pub(super) workers: Vec<Option<Arc<Process<()>>>>,
    pub(super) stage: Stage,
    pub(super) bad_starts: u32,
    /// No worker is started before the next task comes: none of the last ones lived.
    pub(super) resting: bool,
    /// Interrupted: nothing is handed out, and nobody is told anything.
    pub(super) frozen: bool,
    /// Processes that the kernel had killed for lack of memory when this was looked at last.
    pub(super) oom_kills: Option<u64>,
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

    /// Nothing can be run: everything fails, and what stands in the ring is taken back.
    pub(super) fn give_up(&self, office: &mut Office, why: &str) {
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
    pub(super) fn hand_out(&self, office: &mut Office) {
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
    pub(super) fn died(&self, desk: usize) {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner).push(desk);
        // What fails is tried again, and then told, by the pool's thread.
        let _ = self.announce();
    }

    /// Sends the pool's thread a message for each of the dead, which stands behind all answers of that one.
    /// One that finds no room is sent again when answers have been read.
    pub(super) fn announce(&self) -> Result<()> {
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

    /// The processes of the workers.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.lock().workers.iter().flatten().map(|worker| worker.id()).collect()
    }
}

/// How many processes the kernel has killed for lack of memory, where it says so.
pub(super) fn kills() -> Option<u64> {
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
