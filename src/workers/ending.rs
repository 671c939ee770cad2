//! How a pool ends.

use std::{sync::PoisonError, thread};

use super::{
    crew::{Crew, Stage, kill},
    error::TaskErrorKind,
};
impl Crew {
    /// Takes no more tasks; `why` is what those hear that will not be run.
    pub(super) fn end(&self, stage: Stage, why: &TaskErrorKind) {
        let mut office = self.lock();
        office.stage = office.stage.max(stage);
        if office.stage == Stage::Terminated {
            office.books.fail_all(why);
            office.frozen = false;
            office.workers.iter().flatten().for_each(kill);
            self.orders.close();
        }
        self.unlock(office);
    }

    /// Takes no more tasks, finishes those that it has, and waits until all workers have ended.
    pub(super) fn shut_down(&self) {
        self.end(Stage::Closing, &TaskErrorKind::Cancelled);
        self.wait_for_end();
    }

    /// As [`Crew::shut_down`], but does not wait.
    pub(crate) fn leave(&self) {
        self.end(Stage::Closing, &TaskErrorKind::Cancelled);
        // Its thread sees that there is nothing more to come.
        self.nudge();
    }

    /// As [`Crew::shut_down`], but what has not begun is called off.
    pub(super) fn cancel(&self) {
        let mut office = self.lock();
        office.stage = office.stage.max(Stage::Closing);
        office.books.call_off(|_| true);
        self.take_back(&mut office);
        office.books.running.values().for_each(|job| self.control.end_call(job.call_number));
        self.unlock(office);
        self.wait_for_end();
    }

    /// Kills all workers.
    pub(super) fn terminate(&self) {
        self.end(Stage::Terminated, &TaskErrorKind::Cancelled);
        self.wait_for_end();
    }

    fn wait_for_end(&self) {
        let mut office = self.lock();
        while !(office.books.is_empty() && office.workers.iter().all(Option::is_none)) {
            office = self.changed.wait(office).unwrap_or_else(PoisonError::into_inner);
        }
        let listener = office.listener.take();
        drop(office);
        if let Some(listener) = listener {
            // It has nothing to do any more, unless it is the one that waits here, in code of the user's.
            self.nudge();
            if listener.thread().id() != thread::current().id() {
                let _ = listener.join();
            }
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
                scope.spawn(|| worker.kill_tree());
            }
        });
    }
}
