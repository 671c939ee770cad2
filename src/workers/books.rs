//! What a pool knows about its orders: which wait, which are on their way, and what became of their tasks.
//!
//! | an order is | ends by |
//! |---|---|
//! | waiting, here | it is sent; it is called off |
//! | on its way: in the ring or with a worker | the answer to its last task; the death of its worker |
//!
//! A worker answers the tasks of an order one by one, so a number says how far it is. When a worker dies,
//! its answers are read first; then the task that it had begun is lost, and those behind it make a new
//! order.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
    time::Duration,
};

use super::{
    call::{Bytes, Ledger, Settled, Time},
    control::Legacy,
    error::TaskErrorKind,
    order::{AnswerHead, Order},
    program::Kind,
};
use crate::{
    failure::Failure,
    message,
    process::{Report, caught},
    segment::Kept,
};

/// An order and what belongs to it here.
pub(super) struct Job {
    pub(super) call: Arc<dyn Ledger>,
    pub(super) call_number: u64,
    /// The index of its first task in the call.
    pub(super) first: usize,
    pub(super) tasks: u32,
    /// So many of its tasks were answered.
    pub(super) done: u32,
    /// So often its first task was lost before.
    pub(super) attempts: u32,
    pub(super) bytes: Vec<u8>,
    /// What the arguments refer to.
    pub(super) kept: Kept,
}

/// Something to tell a call, once nothing is locked any more: that may run code of the user's.
pub(super) struct News {
    call: Arc<dyn Ledger>,
    tasks: Vec<(usize, Settled)>,
    times: Vec<Time>,
}

impl News {
    /// A panic of a waker of the user's is printed, and nothing else comes of it.
    pub(super) fn tell(self) {
        let _ = caught(|| self.call.settle(self.tasks, self.times));
    }

    /// Those of this call, together with what was noted for it just before.
    fn of<'a>(all: &'a mut Vec<Self>, call: &Arc<dyn Ledger>) -> &'a mut Self {
        if !all.last().is_some_and(|last| Arc::ptr_eq(&last.call, call)) {
            all.push(Self { call: call.clone(), tasks: Vec::new(), times: Vec::new() });
        }
        let last = all.len() - 1;
        &mut all[last]
    }
}

/// Spreads numbers that we have given ourselves: nobody chooses them to collide.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers(u64);

impl Hasher for Numbers {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(self.0 << 8 ^ u64::from(byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // By the golden ratio: neighbours lie far apart.
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[derive(Default)]
pub(super) struct Books {
    pub(super) waiting: VecDeque<Job>,
    pub(super) running: HashMap<u64, Job, BuildHasherDefault<Numbers>>,
    next: u64,
    /// How long an order takes, lately.
    time: Option<Duration>,
    pub(super) news: Vec<News>,
}

impl Books {
    /// A number for an order.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// How long an order takes, lately.
    pub(super) fn order_time(&self) -> Option<Duration> {
        self.time
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// A task of a job is settled.
    fn settle(&mut self, job: &Job, task: u32, settled: Settled) {
        News::of(&mut self.news, &job.call).tasks.push((job.first + task as usize, settled));
    }

    /// No task of this job that has no answer yet will have one.
    pub(super) fn fail(&mut self, job: &Job, kind: &TaskErrorKind) {
        for task in job.done..job.tasks {
            self.settle(job, task, Settled::Failed { kind: kind.clone().into(), worker: None });
        }
    }

    /// The waiting jobs that `which` says are called off; whether there were any.
    pub(super) fn call_off(&mut self, which: impl Fn(&Job) -> bool) -> bool {
        let (off, on): (VecDeque<Job>, _) = std::mem::take(&mut self.waiting).into_iter().partition(which);
        self.waiting = on;
        off.iter().for_each(|job| self.fail(job, &TaskErrorKind::Cancelled));
        !off.is_empty()
    }

    /// An order was taken back before any worker had it.
    pub(super) fn call_back(&mut self, number: u64) {
        if let Some(job) = self.running.remove(&number) {
            self.fail(&job, &TaskErrorKind::Cancelled);
        }
    }

    /// Everything that waits or is on its way fails.
    pub(super) fn fail_all(&mut self, kind: &TaskErrorKind) {
        let jobs: Vec<Job> = self.waiting.drain(..).chain(self.running.drain().map(|(_, job)| job)).collect();
        jobs.iter().for_each(|job| self.fail(job, kind));
    }

    /// An answer has come. One to an order that is not on its way any more says nothing.
    pub(super) fn answer(&mut self, head: AnswerHead, rest: &[u8]) {
        let Some(job) = self.running.get_mut(&head.order) else { return };
        let Some(kind) = Kind::from_number(head.kind) else { return };
        if head.task != job.done {
            return;
        }
        job.done = if kind == Kind::Cancelled { job.tasks } else { job.done + 1 };
        let news = News::of(&mut self.news, &job.call);
        for task in head.task..job.done {
            news.tasks.push((job.first + task as usize, settled(kind, rest, head.worker)));
        }
        if job.done >= job.tasks {
            let time = Duration::from_micros(head.micros.into());
            self.time = Some(self.time.map_or(time, |before| before * 4 / 5 + time / 5));
            news.times.push((job.tasks, time));
            self.running.remove(&head.order);
        }
    }

    /// The worker that had an order is dead, and its answers have been read. `why` is what a lost task hears.
    pub(super) fn bury(&mut self, legacy: Legacy, why: TaskErrorKind, worker: u32) {
        let Some(job) = self.running.remove(&legacy.order) else { return };
        let lost = legacy.begun.filter(|&task| task == job.done && task < job.tasks);
        let rest = lost.map_or(job.done, |task| task + 1);
        // What was not begun goes on before everything that waits.
        if rest < job.tasks {
            self.again(&job, rest..job.tasks, 0);
        }
        let Some(task) = lost else { return };
        let attempts = if task == 0 { job.attempts } else { 0 };
        if attempts < job.call.terms().retries && why != TaskErrorKind::TimedOut {
            self.again(&job, task..task + 1, attempts + 1);
        } else {
            self.settle(&job, task, Settled::Failed { kind: why.into(), worker: Some(worker) });
        }
    }

    /// Some of a job's tasks once more, as a job of their own.
    pub(super) fn again(&mut self, job: &Job, tasks: std::ops::Range<u32>, attempts: u32) {
        let number = self.number();
        let Some(order) = Order::read(&job.bytes) else { return };
        let part = order.tasks().skip(tasks.start as usize).take(tasks.len());
        let draft = order.part(part);
        self.waiting.push_front(Job {
            call: job.call.clone(),
            call_number: job.call_number,
            first: job.first + tasks.start as usize,
            tasks: draft.tasks(),
            done: 0,
            attempts,
            bytes: draft.into_bytes(number),
            kept: job.kept.clone(),
        });
    }
}

/// What an answer of this kind says.
fn settled(kind: Kind, bytes: &[u8], worker: u32) -> Settled {
    let sentence = || String::from_utf8_lossy(bytes).into_owned();
    let unreadable = |error: crate::error::Error| TaskErrorKind::Decode(error.to_string());
    let kind = match kind {
        Kind::Returned => return Settled::Encoded { bytes: Bytes::of(bytes), worker },
        Kind::Referring => return Settled::Referring { bytes: Bytes::of(bytes), worker },
        Kind::Failed => message::decode::<Failure>(bytes).map_or_else(unreadable, TaskErrorKind::Failed),
        Kind::Panicked => message::decode(bytes).map_or_else(unreadable, panicked),
        Kind::Decode => TaskErrorKind::Decode(sentence()),
        Kind::Encode => TaskErrorKind::Encode(sentence()),
        Kind::Refused => TaskErrorKind::Refused(sentence()),
        Kind::Cancelled | Kind::Nudge => TaskErrorKind::Cancelled,
    };
    Settled::Failed { kind: kind.into(), worker: Some(worker) }
}

pub(super) fn panicked(report: Report) -> TaskErrorKind {
    let Report { message, location, backtrace } = report;
    TaskErrorKind::Panicked { message, location, backtrace }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytemuck::Zeroable;

    use super::*;
    use crate::workers::{
        call::Terms,
        order::{Draft, OrderHead},
    };

    #[derive(Default)]
    struct Noted(Mutex<Vec<(usize, String)>>, u32);

    impl Ledger for Noted {
        fn settle(&self, tasks: Vec<(usize, Settled)>, _: Vec<Time>) {
            let what = |settled| match settled {
                Settled::Encoded { bytes, .. } | Settled::Referring { bytes, .. } => {
                    String::from_utf8(bytes.as_slice().to_vec()).unwrap()
                }
                Settled::Failed { kind, .. } => format!("{kind:?}"),
            };
            self.0.lock().unwrap().extend(tasks.into_iter().map(|(index, settled)| (index, what(settled))));
        }

        fn terms(&self) -> Terms {
            Terms { retries: self.1, timeout: None }
        }
    }

    fn job(call: &Arc<Noted>, number: u64) -> Job {
        let mut draft = Draft::new(OrderHead::zeroed(), &[]);
        for task in [b"a", b"b", b"c"] {
            draft
                .add(|bytes| {
                    bytes.extend_from_slice(task);
                    Ok::<_, ()>(())
                })
                .unwrap();
        }
        Job {
            call: call.clone(),
            call_number: 1,
            first: 10,
            tasks: draft.tasks(),
            done: 0,
            attempts: 0,
            bytes: draft.into_bytes(number),
            kept: Kept::default(),
        }
    }

    fn running(retries: u32) -> (Books, Arc<Noted>) {
        let call = Arc::new(Noted(Mutex::default(), retries));
        let mut books = Books::default();
        let number = books.number();
        books.running.insert(number, job(&call, number));
        (books, call)
    }

    fn answer(books: &mut Books, task: u32) {
        let head = AnswerHead { order: 1, task, kind: Kind::Returned as u32, worker: 5, micros: 1 };
        books.answer(head, b"ok");
    }

    fn told(books: &mut Books, call: &Noted) -> Vec<(usize, String)> {
        std::mem::take(&mut books.news).into_iter().for_each(News::tell);
        call.0.lock().unwrap().clone()
    }

    fn legacy(begun: Option<u32>) -> Legacy {
        Legacy { order: 1, begun, condemned: false, exhausted: false }
    }

    fn waiting(books: &Books) -> Vec<(usize, u32, Vec<Vec<u8>>)> {
        let tasks = |job: &Job| Order::read(&job.bytes).unwrap().tasks().map(<[u8]>::to_vec).collect();
        books.waiting.iter().map(|job| (job.first, job.attempts, tasks(job))).collect()
    }

    #[test]
    fn answers_settle_tasks_in_turn_and_once() {
        let (mut books, call) = running(0);
        answer(&mut books, 1);
        (0..3).for_each(|task| answer(&mut books, task));
        answer(&mut books, 2);
        assert!(books.is_empty());
        let ok = |index| (index, "ok".to_owned());
        assert_eq!(told(&mut books, &call), [ok(10), ok(11), ok(12)]);
    }

    #[test]
    fn a_death_takes_the_task_that_was_begun_and_no_other() {
        let (mut books, call) = running(0);
        answer(&mut books, 0);
        books.bury(legacy(Some(1)), TaskErrorKind::TimedOut, 5);
        assert_eq!(waiting(&books), [(12, 0, vec![b"c".to_vec()])]);
        let told = told(&mut books, &call);
        assert_eq!(told, [(10, "ok".to_owned()), (11, "TimedOut".to_owned())]);
    }

    #[test]
    fn a_death_between_tasks_takes_none() {
        for begun in [None, Some(0)] {
            let (mut books, call) = running(0);
            if begun.is_some() {
                answer(&mut books, 0);
            }
            books.bury(legacy(begun), TaskErrorKind::TimedOut, 5);
            let left = if begun.is_some() {
                vec![b"b".to_vec(), b"c".to_vec()]
            } else {
                waiting(&books)[0].2.clone()
            };
            assert_eq!(waiting(&books), [(10 + usize::from(begun.is_some()), 0, left)]);
            assert_eq!(told(&mut books, &call).len(), usize::from(begun.is_some()));
        }
    }

    #[test]
    fn a_lost_task_runs_again_as_often_as_it_may() {
        let (mut books, call) = running(1);
        let exit = || TaskErrorKind::Exit(crate::process::Exit::Signal(9));
        books.bury(legacy(Some(0)), exit(), 5);
        let (b, c) = (b"b".to_vec(), b"c".to_vec());
        assert_eq!(waiting(&books), [(10, 1, vec![b"a".to_vec()]), (11, 0, vec![b, c])]);
        let again = books.waiting.pop_front().unwrap();
        books.running.insert(1, again);
        books.bury(legacy(Some(0)), exit(), 5);
        assert_eq!(told(&mut books, &call).len(), 1, "and then it fails");
    }
}
