//! The pool's thread: reads answers and hears of deaths, looks at clocks, and starts the next workers.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::{
    chunk::ahead,
    crew::{Crew, Office, Stage, kill, kills},
    error::TaskErrorKind,
    order::read_answer,
    program::Kind,
};
use crate::{
    deadline::{self, Deadline},
    error::{Error, ErrorKind, Result},
    process::{Exit, ProcessError},
    queue::Fault,
};

/// So many answers are read before what is new is told.
const MOST_AT_ONCE: usize = 64;

/// How often clocks are looked at where tasks are timed.
const LOOK: Duration = Duration::from_millis(10);

/// For what nobody tells: messages that cannot be sent, because memory was scribbled over.
const NOW_AND_THEN: Duration = Duration::from_secs(2);

/// How soon a send that found no room is tried again at the latest.
const SOON: Duration = Duration::from_millis(50);

impl Crew {
    /// The pool's thread: reads answers until the pool has ended.
    pub(super) fn listen(self: Arc<Self>) {
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
}
