//! A call that goes on: takes tasks from the input as far ahead as it may, and results as they come.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration, vec::Drain};

use super::{
    books::{Job, panicked},
    call::{Call, Ledger, Taken, Terms},
    chunk::{Chunk, Resized},
    crew::Crew,
    error::{TaskError, TaskErrorKind},
    executor::{Hall, MakeState},
    order::{Draft, IN_ARRAY, IN_ORDER, OrderHead, STOPPABLE, TIMED},
    program::{SetupFunction, SetupProgram, TaskFunction, TaskProgram},
};
use crate::{
    array::Array,
    deadline::Deadline,
    error::{Error, Result},
    message,
    process::caught,
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
pub(crate) struct Run<F: TaskFunction, In> {
    place: Place,
    call: Arc<Call<F::Output>>,
    function: F,
    setup: Setup,
    /// The place where workers see whether it was called off.
    stop: Option<u16>,
    /// `None` at its end.
    input: Option<In>,
    /// Items on their way from the input into an order; empty in between.
    items: Vec<F::Input>,
    /// So many tasks were handed out.
    begun: usize,
    /// What was taken out of the call, and is next.
    next: VecDeque<Taken<F::Output>>,
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

impl<F: TaskFunction, In: Iterator<Item = F::Input>> Run<F, In> {
    pub(crate) fn start(
        place: Place,
        manner: Manner,
        function: F,
        setup: Setup,
        input: In,
        chunk: Chunk,
        terms: Terms,
    ) -> Self {
        let call = Arc::new(Call::new(terms));
        let stop = match &place {
            Place::Processes(crew) if manner != Manner::Alone => crew.control.open_call(call.number),
            _ => None,
        };
        let mut run = Self {
            place,
            call,
            function,
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

    pub(crate) fn call(&self) -> &Arc<Call<F::Output>> {
        &self.call
    }

    /// The call, which goes on by itself with the tasks that were handed out.
    ///
    /// # Errors
    /// Why one of them was not taken on.
    pub(super) fn detach(mut self) -> Result<Arc<Call<F::Output>>> {
        self.detached = true;
        self.refused.take().map_or_else(|| Ok(self.call.clone()), Err)
    }

    /// The next task that is settled, whichever it is.
    pub(crate) fn next(&mut self) -> Option<(usize, Result<F::Output, TaskError>)> {
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
            let handed = match self.place.clone() {
                Place::Processes(crew) => self.send(&crew, items.drain(..)),
                Place::Here(hall) => self.execute(&hall, items.drain(..)),
            };
            self.items = items;
            if let Err((first, error)) = handed {
                for index in first..end {
                    self.call.give(index, Err(TaskErrorKind::Refused(error.to_string())));
                }
                self.begun = end;
                self.refused = Some(error);
                if self.manner != Manner::Together {
                    self.input = None;
                }
            }
            if let Some(kind) = broken {
                let index = self.claim();
                self.call.give(index, Err(kind));
            }
        }
    }

    /// So many items of the input, or all that are left. An input that panics ends with a task that tells.
    fn pull(&mut self, count: usize) -> (Vec<F::Input>, Option<TaskErrorKind>) {
        let mut items = mem::take(&mut self.items);
        let Some(input) = &mut self.input else { return (items, None) };
        let broken = caught(|| items.extend(input.by_ref().take(count))).err().map(panicked);
        if items.len() < count || broken.is_some() {
            self.input = None;
        }
        (items, broken)
    }

    fn execute(&mut self, hall: &Arc<Hall>, items: Drain<'_, F::Input>) -> Result<(), (usize, Error)> {
        for item in items {
            let index = self.claim();
            let make = self.setup.make.clone();
            hall.execute(&self.call, index, self.function, item, make).map_err(|error| (index, error))?;
        }
        Ok(())
    }

    /// The index of the next task.
    fn claim(&mut self) -> usize {
        self.begun += 1;
        self.begun - 1
    }

    fn send(&mut self, crew: &Arc<Crew>, mut items: Drain<'_, F::Input>) -> Result<(), (usize, Error)> {
        loop {
            let first = self.begun;
            let drafted = segment::keeping(|| {
                let mut draft = self.draft()?;
                let mut failed = None;
                for item in items.by_ref() {
                    let index = self.claim();
                    if let Err(why) = draft.add(|bytes| encode(&item, bytes)) {
                        failed = Some((index, why));
                        break;
                    }
                }
                Ok::<_, Error>((draft, failed))
            });
            let ((draft, failed), kept) = drafted.map_err(|error| (first, error))?;
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
            let Some((index, why)) = failed else { return Ok(()) };
            self.call.give(index, Err(TaskErrorKind::Encode(why)));
        }
    }

    fn draft(&self) -> Result<Draft> {
        head(self.function, &*self.call, self.setup.program, self.stop, &self.setup.given)
    }
}

/// An order without tasks.
fn head<F: TaskFunction>(
    function: F,
    call: &Call<F::Output>,
    setup: SetupProgram,
    stop: Option<u16>,
    given: &[u8],
) -> Result<Draft> {
    let timed = if call.terms().timeout.is_some() { TIMED } else { 0 };
    let (flags, place) = stop.map_or((timed, 0), |place| (timed | STOPPABLE, place));
    let task = TaskProgram::of(function)?;
    let head = OrderHead { number: 0, call: call.number, task, setup, given: 0, flags, place };
    Ok(Draft::new(head, given))
}

/// An order with one task.
pub(super) fn order<F: TaskFunction<State = ()>>(
    function: F,
    call: &Call<F::Output>,
    input: &F::Input,
) -> Result<(Draft, Kept), TaskErrorKind> {
    let draft = head(function, call, SetupProgram::none(), None, &[]);
    let mut draft = draft.map_err(|error| TaskErrorKind::Refused(error.to_string()))?;
    let added = segment::keeping(|| draft.add(|bytes| encode(input, bytes)));
    let ((), kept) = added.map_err(TaskErrorKind::Encode)?;
    Ok((draft, kept))
}

/// Appends the bytes of a task's argument; a panic of its `Serialize` is an error of this task alone.
fn encode<I: message::Message>(item: &I, bytes: &mut Vec<u8>) -> Result<(), String> {
    match caught(|| message::encode_to(item, bytes)) {
        Ok(written) => written.map_err(|error| error.to_string()),
        Err(report) => Err(format!("its type panicked: {}", report.message)),
    }
}

impl<F: TaskFunction, In> Drop for Run<F, In> {
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
    }
}
