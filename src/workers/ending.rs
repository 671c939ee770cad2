//! How a pool ends.

use std::{sync::PoisonError, thread};

use super::{
    crew::{Crew, NOBODY, Office, Stage, kill},
    error::TaskErrorKind,
};
use crate::error::Error;

impl Crew {
    fn close(&self, stage: Stage) {
        let mut office = self.lock();
        office.stage = office.stage.max(stage);
        self.unlock(office);
    }

    /// Takes no more tasks, finishes those that it has, and waits until all workers have ended.
    pub(super) fn shut_down(&self) {
        if !self.is_ours() {
            return;
        }
        self.close(Stage::Closing);
        self.wait_for_end();
    }

    /// As [`Crew::shut_down`], but does not wait.
    pub(crate) fn leave(&self) {
        if !self.is_ours() {
            return;
        }
        self.close(Stage::Closing);
        // Its thread sees that there is nothing more to come.
        let _ = self.nudge(NOBODY);
    }

    /// As [`Crew::shut_down`], but what has not begun is called off.
    pub(super) fn cancel(&self) {
        if !self.is_ours() {
            return;
        }
        let mut office = self.lock();
        office.stage = office.stage.max(Stage::Closing);
        office.books.call_off(|_| true);
        self.take_back(&mut office);
        office.books.running.values().for_each(|job| self.control.end_call(job.call_number));
        self.unlock(office);
        self.wait_for_end();
    }

    /// Kills all workers. Tasks that have begun are lost with them, and the others are called off.
    pub(super) fn terminate(&self) {
        if !self.is_ours() {
            return;
        }
        let mut office = self.lock();
        office.stage = Stage::Terminated;
        office.frozen = false;
        office.workers.iter().flatten().for_each(kill);
        self.take_back(&mut office);
        self.settle_the_rest(&mut office);
        self.orders.close();
        self.unlock(office);
        self.wait_for_end();
    }

    /// Of a pool that was terminated: what waits will not be run, and where no worker is left, nothing will.
    pub(super) fn settle_the_rest(&self, office: &mut Office) {
        if office.stage == Stage::Terminated {
            office.books.call_off(|_| true);
            if office.workers.iter().all(Option::is_none) {
                office.books.fail_all(&TaskErrorKind::Cancelled);
            }
        }
    }

    /// The answers cannot be read any more.
    pub(super) fn lose(&self, why: &Error) {
        let mut office = self.lock();
        self.abandon(&mut office, why);
        self.unlock(office);
    }

    /// Nobody will look after the workers.
    pub(super) fn abandon(&self, office: &mut Office, why: &Error) {
        (office.stage, office.frozen) = (Stage::Terminated, false);
        office.workers.iter_mut().filter_map(Option::take).for_each(|worker| kill(&worker));
        office.books.fail_all(&TaskErrorKind::Refused(why.to_string()));
        self.orders.close();
    }

    fn wait_for_end(&self) {
        let mut office = self.lock();
        if office.listening == Some(thread::current().id()) {
            // In code of the user's, on the pool's own thread, which goes on when this returns.
            return;
        }
        while !(office.books.is_empty() && office.workers.iter().all(Option::is_none)) {
            office = self.changed.wait(office).unwrap_or_else(PoisonError::into_inner);
        }
        let listener = office.listener.take();
        drop(office);
        if let Some(listener) = listener {
            // It has nothing to do any more.
            let _ = self.nudge(NOBODY);
            let _ = listener.join();
        }
    }

    /// Whether it takes tasks.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().stage == Stage::Open
    }

    /// Hands out nothing more, and tells nobody what becomes of tasks.
    pub(super) fn freeze(&self) {
        let mut office = self.lock();
        office.frozen = true;
        office.books.running.values().for_each(|job| self.control.end_call(job.call_number));
        self.take_back(&mut office);
    }

    /// Whether no worker has an order.
    pub(super) fn is_quiet(&self) -> bool {
        self.lock().books.running.is_empty()
    }

    /// Kills the workers and all that descends from them.
    pub(super) fn kill_all(&self) {
        let workers: Vec<_> = self.lock().workers.iter().flatten().cloned().collect();
        thread::scope(|scope| {
            for worker in &workers {
                let killing = thread::Builder::new().spawn_scoped(scope, || worker.kill_tree());
                if killing.is_err() {
                    let _ = worker.kill();
                }
            }
        });
    }
}
