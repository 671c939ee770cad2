//! A call that goes on: takes tasks from the input as far ahead as it may, and results as they come.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration, vec::Drain};

use super::{
    books::{Job, panicked},
    call::{Call, Ledger, Taken, Terms},
    chunk::{Chunk, Resized},
    crew::Crew,
    error::{TaskError, TaskErrorKind},
    executor::Hall,
    order::{Draft, IN_ARRAY, IN_ORDER, OrderHead, STOPPABLE, TIMED},
    program::{SetupFunction, SetupProgram, TaskProgram},
    states::{self, MakeState},
    work::Recipe,
};
use crate::{
    array::Array,
    deadline::Deadline,
    error::{Error, Result},
    message,
    process::{Report, caught, discard, note_panics},
    segment::{self, Kept},
};

/// Where tasks run.
#[derive(Clone)]
pub(crate) enum Place {
    Processes(Arc<Crew>),
    Here(Arc<Hall>),
}

impl Place {
    pub(crate) fn workers(&self) -> usize {
        match self {
            Self::Processes(crew) => crew.habits.workers,
            Self::Here(hall) => hall.workers(),
        }
    }
}

/// What the tasks of a call have in common besides their function.
pub(crate) struct Setup {
    program: SetupProgram,
    /// As an order has it.
    given: Vec<u8>,
    make: Option<MakeState>,
    /// What was given may hold handles, and may itself be in an array: both live as long as the call.
    _kept: Kept,
    _array: Option<Array<u8>>,
}

/// So long who wants all results waits for several of them, and so often clocks are looked at where tasks of
/// this process are timed.
const SOON: Duration = Duration::from_millis(10);

/// What is longer goes into an array, once, instead of every order.
const SHORT: usize = 256;

impl Setup {
    pub(crate) fn none() -> Self {
        Self {
            program: SetupProgram::none(),
            given: Vec::new(),
            make: None,
            _kept: Kept::default(),
            _array: None,
        }
    }

    /// The state is what `function` makes of `given`, in each worker.
    pub(crate) fn of<P: SetupFunction>(function: P, given: &P::Given) -> Result<Self> {
        let (bytes, kept) = segment::keeping(|| message::encode(given))?;
        let (given, array) = if bytes.len() <= SHORT {
            ([&[IN_ORDER], &*bytes].concat(), None)
        } else {
            let array = Array::from_slice(&bytes)?;
            ([&[IN_ARRAY], &*message::encode(&array)?].concat(), Some(array))
        };
        let make: MakeState = Arc::new(move || Ok(Box::new(function.call(message::decode(&bytes)?))));
        Ok(Self { program: SetupProgram::of(function)?, given, make: Some(make), _kept: kept, _array: array })
    }
}

/// How the results of a call are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// There is one task.
    Alone,
    /// One by one, of an input that may be endless: a place that takes no more tasks ends them.
    Streaming,
    /// One for each item.
    Together,
}

/// A call that goes on. Dropped, it calls off what has not begun.
pub(crate) struct Run<K: Recipe, In> {
    place: Place,
    call: Arc<Call<K::Output>>,
    recipe: K,
    setup: Setup,
    /// The place where workers see whether it was called off.
    stop: Option<u16>,
    /// `None` at its end.
    input: Option<In>,
    /// Items on their way from the input into an order; empty in between.
    items: Vec<K::Item>,
    /// So many tasks were handed out.
    begun: usize,
    /// What was taken out of the call, and is next.
    next: VecDeque<Taken<K::Output>>,
    /// So many were given on from there.
    taken: usize,
    /// So many the user has got.
    pub(crate) consumed: usize,
    chunk: Chunk,
    manner: Manner,
    /// Nobody looks at results before there are several.
    pub(crate) patient: bool,
    /// Why the last task was not taken on.
    refused: Option<Error>,
    /// It is not called off with this.
    detached: bool,
}

impl<K: Recipe, In: Iterator<Item = K::Item>> Run<K, In> {
    pub(crate) fn start(
        place: Place,
        manner: Manner,
        recipe: K,
        setup: Setup,
        input: In,
        chunk: Chunk,
        terms: Terms,
    ) -> Self {
        // Then a panic of the input can be told with its place.
        note_panics();
        let call = Arc::new(Call::new(terms));
        let stop = match &place {
            Place::Processes(crew) if manner != Manner::Alone => crew.control.open_call(call.number),
            _ => None,
        };
        let mut run = Self {
            place,
            call,
            recipe,
            setup,
            stop,
            input: Some(input),
            items: Vec::new(),
            begun: 0,
            next: VecDeque::new(),
            taken: 0,
            consumed: 0,
            chunk,
            manner,
            patient: manner == Manner::Together,
            refused: None,
            detached: false,
        };
        run.fill();
        run
    }

    /// How many tasks there will be, as far as that is known.
    pub(super) fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.input.as_ref().map_or((0, Some(0)), Iterator::size_hint);
        let open = self.begun - self.consumed;
        (least.saturating_add(open), most.and_then(|most| most.checked_add(open)))
    }

    /// Whether tasks go in groups of another size since this was asked last.
    pub(crate) fn resized(&mut self) -> Option<Resized> {
        self.chunk.resized()
    }

    pub(crate) fn call(&self) -> &Arc<Call<K::Output>> {
        &self.call
    }

    /// The call, which goes on by itself with the tasks that were handed out.
    ///
    /// # Errors
    /// Why one of them was not taken on.
    pub(super) fn detach(mut self) -> Result<Arc<Call<K::Output>>> {
        self.detached = true;
        self.refused.take().map_or_else(|| Ok(self.call.clone()), Err)
    }

    /// The next task that is settled, whichever it is.
    pub(crate) fn next(&mut self) -> Option<(usize, Result<K::Output, TaskError>)> {
        loop {
            self.fill();
            if let Some(settled) = self.next.pop_front() {
                self.taken += 1;
                return Some(settled.open());
            }
            self.chunk.learn(self.call.take_all(&mut self.next));
            if !self.next.is_empty() {
                continue;
            }
            if self.input.is_none() && self.taken == self.begun {
                return None;
            }
            // Who wants all of them is not woken for each, but takes what there is soon: a worker that is to
            // leave waits until it was taken what its results refer to.
            let open = self.begun - self.taken;
            let half = (self.taken + open / 2).min(self.begun - 1);
            if self.patient && self.call.wait(half, Deadline::after(SOON)) {
                continue;
            }
            let clocks = matches!(self.place, Place::Here(_)) && self.call.terms().timeout.is_some();
            let look = if clocks { Deadline::after(SOON) } else { Deadline::NEVER };
            if !self.call.wait(self.taken.min(self.begun - 1), look) {
                self.call.give_up_the_late();
            }
        }
    }

    /// Hands out tasks, as far ahead as it may.
    fn fill(&mut self) {
        let workers = self.place.workers();
        while self.input.is_some() {
            let left = self.input.as_ref().and_then(|input| input.size_hint().1);
            let size = match self.place {
                Place::Processes(_) => self.chunk.size(left, workers),
                Place::Here(_) => 1,
            };
            let ahead = self.begun - self.consumed;
            if ahead != 0 && ahead + size > self.chunk.ahead(size, workers) {
                return;
            }
            let (mut items, broken) = self.pull(size);
            let end = self.begun + items.len();
            let mut left = items.drain(..);
            let handed = match self.place.clone() {
                Place::Processes(crew) => self.send(&crew, &mut left),
                Place::Here(hall) => self.execute(&hall, &mut left),
            };
            left.for_each(|item| _ = discard(item));
            self.items = items;
            if let Err((first, error)) = handed {
                for index in first..end {
                    self.call.give(index, Err(TaskErrorKind::Refused(error.to_string())));
                }
                self.begun = end;
                self.refused = Some(error);
                if self.manner != Manner::Together {
                    self.end_input();
                }
            }
            if let Some(kind) = broken {
                let index = self.claim();
                self.call.give(index, Err(kind));
            }
        }
    }

    /// So many items of the input, or all that are left. An input that panics ends with a task that tells.
    fn pull(&mut self, count: usize) -> (Vec<K::Item>, Option<TaskErrorKind>) {
        let mut items = mem::take(&mut self.items);
        let Some(input) = &mut self.input else { return (items, None) };
        let broken = caught(|| items.extend(input.by_ref().take(count))).err().map(panicked);
        if items.len() < count || broken.is_some() {
            self.end_input();
        }
        (items, broken)
    }

    fn end_input(&mut self) {
        let _ = discard(self.input.take());
    }

    fn execute(&mut self, hall: &Arc<Hall>, items: &mut Drain<'_, K::Item>) -> Result<(), (usize, Error)> {
        for item in items {
            let index = self.claim();
            let make = self.setup.make.clone();
            let executed = self.recipe.execute(hall, &self.call, index, item, make);
            executed.map_err(|error| (index, error))?;
        }
        Ok(())
    }

    /// The index of the next task.
    fn claim(&mut self) -> usize {
        self.begun += 1;
        self.begun - 1
    }

    /// Items that follow each other and are of one function go together.
    fn send(&mut self, crew: &Arc<Crew>, items: &mut Drain<'_, K::Item>) -> Result<(), (usize, Error)> {
        let recipe = self.recipe;
        while let Some(next) = items.as_slice().first() {
            let first = self.begun;
            let function = recipe.function(next).map_err(|error| (first, error))?;
            let of_it =
                |item: &&K::Item| K::ALIKE || recipe.function(item).is_ok_and(|other| other == function);
            let count = items.as_slice().iter().take_while(of_it).count();
            let ((draft, failed), kept) = segment::keeping(|| {
                let mut draft = self.draft(function);
                let mut failed = None;
                for item in items.by_ref().take(count) {
                    let index = self.claim();
                    if let Err(why) = draft.add(|bytes| encode::<K>(item, bytes)) {
                        failed = Some((index, why));
                        break;
                    }
                }
                Ok::<_, (usize, Error)>((draft, failed))
            })?;
            if draft.tasks() != 0 {
                let call_number = self.call.number;
                let call = self.call.clone();
                let make = |number| Job {
                    call,
                    call_number,
                    first,
                    tasks: draft.tasks(),
                    done: 0,
                    attempts: 0,
                    bytes: draft.into_bytes(number),
                    kept,
                };
                crew.take_on(make).map_err(|error| (first, error))?;
            }
            if let Some((index, why)) = failed {
                self.call.give(index, Err(TaskErrorKind::Encode(why)));
            }
        }
        Ok(())
    }

    /// An order without tasks.
    fn draft(&self, task: TaskProgram) -> Draft {
        let timed = if self.call.terms().timeout.is_some() { TIMED } else { 0 };
        let (flags, place) = self.stop.map_or((timed, 0), |place| (timed | STOPPABLE, place));
        let (call, setup) = (self.call.number, self.setup.program);
        Draft::new(OrderHead { number: 0, call, task, setup, given: 0, flags, place }, &self.setup.given)
    }
}

/// Appends the bytes of a task's argument, which goes then; a panic in either is an error of this task alone.
fn encode<K: Recipe>(item: K::Item, bytes: &mut Vec<u8>) -> Result<(), String> {
    let panicked = |report: Report| format!("its type panicked: {}", report.message);
    let written = caught(|| K::encode(&item, bytes));
    // By itself: a panic in a panic would end the process.
    let dropped = discard(item);
    written.map_err(panicked)?.map_err(|error| error.to_string())?;
    dropped.map_err(panicked)
}

impl<K: Recipe, In> Drop for Run<K, In> {
    fn drop(&mut self) {
        if self.detached {
            return;
        }
        if let Place::Processes(crew) = &self.place {
            if self.consumed == self.begun && self.input.is_none() {
                crew.close_call(self.call.number);
            } else {
                crew.end_call(self.call.number);
            }
        }
        self.call.cancel();
        // Where tasks ran on this thread their state is here, and nobody needs it any more.
        self.setup.make = None;
        states::forget_ended();
    }
}
