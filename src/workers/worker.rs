//! What a worker does: takes orders, runs their tasks one by one, answers each.
//!
//! # Safety
//! Runs the programs in the orders, which its parent has put together.

#![allow(unsafe_code)]

use std::{
    borrow::Cow,
    process,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    control::Control,
    nesting,
    order::{ANSWER, AnswerHead, IN_ORDER, Order, OrderHead, STOPPABLE, TIMED, head_of},
    program::{Kind, SetupProgram, State},
};
use crate::{
    array::Array,
    deadline::{self, Deadline},
    error::{Error, ErrorKind, Result},
    message,
    process::{caught, discard},
    queue::{Fault, Queue},
    segment,
    shared::Shared,
    sys::{exhaustion, interrupt},
};

/// An order: see the module `order`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Orders;

/// An answer: see the module `order`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answers;

/// What a worker is given when it starts.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Post {
    pub(super) orders: Queue<Orders>,
    pub(super) answers: Queue<Answers>,
    pub(super) control: Shared<Control>,
    pub(super) desk: u32,
    /// It leaves after so many tasks.
    pub(super) recycle_after: Option<u64>,
    /// It leaves when it has had nothing to do for so long.
    pub(super) idle_timeout: Option<Duration>,
    /// Its part of the CPUs.
    pub(super) share: usize,
}

/// So long without an order, and states that nobody needs any more are dropped.
const A_WHILE: Duration = Duration::from_secs(1);

/// What results refer to is looked at so often at least.
const LONGEST_LOOK: Duration = Duration::from_millis(250);

/// A worker's life.
pub(super) fn work(post: Post) {
    // As long as the process: an abort may come at any time.
    let control: &'static Shared<Control> = Box::leak(Box::new(post.control.clone()));
    let desk = control.desk(post.desk as usize);
    exhaustion::tell(desk.exhausted());
    desk.open();
    nesting::enter_worker(post.share);
    // A terminal sends Ctrl-C to all processes in it: the parent says what becomes of the workers.
    let _ = interrupt::shrug_off();
    // A system call each time.
    let worker = process::id();
    let mut states = States::new();
    let mut left = post.recycle_after.unwrap_or(u64::MAX);
    let (mut bytes, mut answer) = (Vec::new(), Vec::new());
    while left != 0 {
        let note = |place, bytes: &[u8]| {
            head_of(bytes).is_none_or(|head| post.control.take(post.desk, place, head.number))
        };
        match next_order(&post, &mut states, &mut bytes, note) {
            Ok(true) => {}
            // Condemned, closed, or long idle.
            Ok(false) | Err(Fault::Closed | Fault::NotYet) => return,
            Err(Fault::Failed(error)) => return eprintln!("commons: a worker cannot take orders: {error}"),
        }
        let Some(order) = Order::read(&bytes) else { continue };
        if let Err(error) = follow(&post, worker, &order, &mut states, &mut left, &mut answer) {
            return eprintln!("commons: a worker cannot answer: {error}");
        }
    }
}

/// Receives an order. What results referred to goes meanwhile, as soon as the pool has taken it from there.
fn next_order(
    post: &Post,
    states: &mut States,
    bytes: &mut Vec<u8>,
    mut note: impl FnMut(u64, &[u8]) -> bool,
) -> std::result::Result<bool, Fault> {
    let end = post.idle_timeout.map_or(Deadline::NEVER, Deadline::after);
    let mut slice = Duration::from_millis(1);
    loop {
        let clear = segment::wait_for_pins(Deadline::NOW, &mut || true);
        let deadline = match (clear, states.made.is_empty()) {
            (false, _) => end.within(slice),
            (true, false) => end.within(A_WHILE),
            (true, true) => end,
        };
        match post.orders.core().receive_noted(bytes, deadline, &mut note) {
            Err(Fault::NotYet) if !end.has_passed() => {
                slice = LONGEST_LOOK.min(slice * 2);
                if clear {
                    // What an ended call has made may be large.
                    states.forget_ended(&post.control);
                }
            }
            received => return received,
        }
    }
}

/// Runs the tasks of an order until there are none, it is called off, or this worker's time is over.
fn follow(
    post: &Post,
    worker: u32,
    order: &Order<'_>,
    states: &mut States,
    left: &mut u64,
    answer: &mut Vec<u8>,
) -> Result<()> {
    let desk = post.control.desk(post.desk as usize);
    let begin = Instant::now();
    let head = &order.head;
    let mut tasks = (0..).zip(order.tasks()).peekable();
    while let Some((number, input)) = tasks.next() {
        if *left == 0 {
            return Ok(());
        }
        let cancelled = head.flags & STOPPABLE != 0 && !post.control.is_open(head.call, head.place);
        let now = (head.flags & TIMED != 0).then(deadline::nanoseconds);
        if !cancelled && !desk.begin(number, now) {
            *left = 0;
            return Ok(());
        }
        answer.clear();
        answer.resize(ANSWER, 0);
        let kind = if cancelled {
            Kind::Cancelled
        } else {
            run(order, states.of(order, &post.control), input, answer)
        };
        let last = cancelled || tasks.peek().is_none();
        let micros = if last { u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX) } else { 0 };
        let said = AnswerHead { order: head.number, task: number, kind: kind as u32, worker, micros };
        send(&post.answers, answer, said)?;
        if cancelled {
            return Ok(());
        }
        *left -= 1;
    }
    Ok(())
}

fn run(order: &Order<'_>, state: &mut Result<State, Refusal>, input: &[u8], answer: &mut Vec<u8>) -> Kind {
    let ran = attempt(|| {
        let state = state.as_deref_mut().map_err(|refusal| refusal.clone())?;
        // SAFETY: the order came from the parent, who takes programs from `TaskProgram::of`.
        let ran = unsafe { order.head.task.run(state, input, answer) };
        ran.map_err(|error| Refusal::of(Kind::Refused, &error))
    });
    ran.unwrap_or_else(|refusal| {
        answer.truncate(ANSWER);
        answer.extend_from_slice(&refusal.bytes);
        refusal.kind
    })
}

/// Sends an answer. One that is too long for any queue becomes a sentence that says so.
fn send(answers: &Queue<Answers>, answer: &mut Vec<u8>, head: AnswerHead) -> Result<()> {
    answer[..ANSWER].copy_from_slice(bytemuck::bytes_of(&head));
    match answers.core().send(&answer.as_slice(), Deadline::NEVER, None) {
        Ok(()) => Ok(()),
        Err(Fault::Failed(error)) if head.kind != Kind::Encode as u32 => {
            answer.truncate(ANSWER);
            answer.extend_from_slice(error.to_string().as_bytes());
            send(answers, answer, AnswerHead { kind: Kind::Encode as u32, ..head })
        }
        Err(Fault::Failed(error)) => Err(error),
        Err(_) => Err(Error::new(ErrorKind::Closed, "the pool is gone")),
    }
}

/// Why something could not be run, as an answer says it.
#[derive(Clone, Debug)]
struct Refusal {
    kind: Kind,
    bytes: Vec<u8>,
}

impl Refusal {
    fn of(kind: Kind, why: &Error) -> Self {
        Self { kind, bytes: why.to_string().into_bytes() }
    }
}

/// Runs `f`; a panic in it becomes an answer.
fn attempt<T>(f: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    caught(f).unwrap_or_else(|report| {
        Err(match message::encode(&report) {
            Ok(bytes) => Refusal { kind: Kind::Panicked, bytes },
            Err(error) => Refusal::of(Kind::Encode, &error),
        })
    })
}

/// The states of the calls that go on.
struct States {
    /// With the calls' numbers and places.
    made: Vec<(u64, u16, Result<State, Refusal>)>,
    /// That of all calls that have none.
    none: Result<State, Refusal>,
}

impl States {
    fn new() -> Self {
        Self { made: Vec::new(), none: Ok(Box::new(())) }
    }

    /// The state for an order, which is made for the first one of its call.
    fn of(&mut self, order: &Order<'_>, control: &Control) -> &mut Result<State, Refusal> {
        let Some((how, given)) = order.given.split_first() else { return &mut self.none };
        let OrderHead { call, place, .. } = order.head;
        let known = self.made.iter().position(|(of, ..)| *of == call);
        let at = known.unwrap_or_else(|| {
            // Others go first: they may be large.
            self.forget_ended(control);
            self.made.push((call, place, attempt(|| make(order.head.setup, *how, given))));
            self.made.len() - 1
        });
        &mut self.made[at].2
    }

    /// Drops the states of calls that have ended.
    fn forget_ended(&mut self, control: &Control) {
        let ended = self.made.extract_if(.., |(call, place, _)| !control.is_open(*call, *place));
        // A panic of one is printed, and nothing else comes of it.
        ended.for_each(|(.., state)| _ = discard(state));
    }
}

/// Makes the state of an order's call. What it is made of stands in `given`, or where that says.
fn make(setup: SetupProgram, how: u8, given: &[u8]) -> Result<State, Refusal> {
    let unreadable = |error: Error| Refusal::of(Kind::Decode, &error);
    let given = if how == IN_ORDER {
        Cow::Borrowed(given)
    } else {
        let place: Array<u8> = message::decode(given).map_err(unreadable)?;
        Cow::Owned(place.to_vec())
    };
    // SAFETY: the order came from the parent, who takes programs from `SetupProgram::of`.
    let made = unsafe { setup.run(&given) };
    made.map_err(unreadable)
}
