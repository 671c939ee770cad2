//! Functions that run in workers, as two numbers that travel.
//!
//! A pool's functions are plain function pointers, which capture nothing. Each kind of them is a type
//! here that knows its argument, its result and its *state*: what a worker makes once and all tasks of a
//! call use. With the pointer travels that of the code for these types.
//!
//! # Safety
//! Turns distances within the program's image back into function pointers. They come from the parent,
//! which runs the same build: a worker is not started otherwise (see `process::function`).

#![allow(unsafe_code)]

use std::{any::Any, marker::PhantomData, mem, ptr};

use bytemuck::{Pod, Zeroable};

use crate::{
    error::{Error, ErrorKind, Result},
    failure::Failure,
    message::{self, Message},
    segment,
    sys::image::{self, Image},
};

/// What became of a task in a worker, and what the bytes of its answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    /// The encoded result.
    Returned = 1,
    /// The same, and it holds handles of objects that the worker keeps for it.
    Referring,
    /// An encoded [`Failure`].
    Failed,
    /// An encoded report of a panic.
    Panicked,
    /// A sentence: the argument could not be read.
    Decode,
    /// A sentence: the result could not be written.
    Encode,
    /// A sentence: the function could not be run.
    Refused,
    /// Nothing: this task and those after it in the order were called off.
    Cancelled,
    /// Nothing, and it is from the pool itself: see to the dead.
    Nudge,
}

impl Kind {
    pub(super) fn from_number(number: u32) -> Option<Self> {
        let all = [
            Self::Returned,
            Self::Referring,
            Self::Failed,
            Self::Panicked,
            Self::Decode,
            Self::Encode,
            Self::Refused,
            Self::Cancelled,
            Self::Nudge,
        ];
        all.into_iter().find(|&kind| kind as u32 == number)
    }
}

/// What a worker keeps for the tasks of a call.
pub(super) type State = Box<dyn Any>;

/// A function for tasks.
pub(crate) trait TaskFunction: Copy + Send + Sync + 'static {
    type Input: Message;
    type Output: Message;
    /// What it needs besides its argument.
    type State: 'static;

    fn address(self) -> usize;

    /// The function at this address.
    ///
    /// # Safety
    /// - `address` came from [`TaskFunction::address`] of the same type.
    unsafe fn at(address: usize) -> Self;

    fn call(self, state: &mut Self::State, input: Self::Input) -> Result<Self::Output, Failure>;
}

/// A function that makes the state.
pub(crate) trait SetupFunction: Copy + Send + Sync + 'static {
    /// What is sent to each worker.
    type Given: Message;
    type State: 'static;

    fn address(self) -> usize;

    /// The function at this address.
    ///
    /// # Safety
    /// - `address` came from [`SetupFunction::address`] of the same type.
    unsafe fn at(address: usize) -> Self;

    fn call(self, given: Self::Given) -> Self::State;
}

macro_rules! task_functions {
    ($($(#[doc = $doc:literal])* $name:ident<$first:ident, $second:ident $(, $third:ident)?>:
        $pointer:ty, $state:ty, $input:ty => $output:ty, |$f:ident, $s:ident, $i:ident| $call:expr;)*) => {$(
        $(#[doc = $doc])*
        pub(crate) struct $name<$first, $second $(, $third)?>(pub(crate) $pointer);

        impl<$first, $second $(, $third)?> Clone for $name<$first, $second $(, $third)?> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<$first, $second $(, $third)?> Copy for $name<$first, $second $(, $third)?> {}

        impl<$first: 'static, $second: 'static $(, $third: 'static)?> TaskFunction
            for $name<$first, $second $(, $third)?>
        where
            $input: Message,
            $output: Message,
        {
            type Input = $input;
            type Output = $output;
            type State = $state;

            fn address(self) -> usize {
                self.0 as usize
            }

            unsafe fn at(address: usize) -> Self {
                let address = ptr::with_exposed_provenance::<()>(address);
                // SAFETY: the caller promises that this is the address of such a function.
                Self(unsafe { mem::transmute::<*const (), $pointer>(address) })
            }

            fn call(self, $s: &mut $state, $i: $input) -> Result<$output, Failure> {
                let $f = self.0;
                $call
            }
        }
    )*};
}

task_functions! {
    /// Of its argument alone.
    Plain<I, R>: fn(I) -> R, (), I => R, |f, _state, input| Ok(f(input));
    Trying<I, R>: fn(I) -> Result<R, Failure>, (), I => R, |f, _state, input| f(input);
    /// Of what was given to all workers, and of its argument.
    With<C, I, R>: fn(&C, I) -> R, C, I => R, |f, state, input| Ok(f(state, input));
    TryingWith<C, I, R>: fn(&C, I) -> Result<R, Failure>, C, I => R, |f, state, input| f(state, input);
    /// Of what its worker has made, and of its argument.
    Made<S, I, R>: fn(&mut S, I) -> R, S, I => R, |f, state, input| Ok(f(state, input));
    TryingMade<S, I, R>: fn(&mut S, I) -> Result<R, Failure>, S, I => R, |f, state, input| f(state, input);
    /// Of several arguments, whose results are combined by the state.
    Folding<I, R>: fn(I) -> R, fn(R, R) -> R, Vec<I> => Option<R>,
        |f, state, inputs| Ok(inputs.into_iter().map(f).reduce(*state));
}

/// The state is what was given.
pub(crate) struct Keep<C>(PhantomData<fn(C)>);

impl<C> Keep<C> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<C> Clone for Keep<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Keep<C> {}

impl<C: Message> SetupFunction for Keep<C> {
    type Given = C;
    type State = C;

    fn address(self) -> usize {
        0
    }

    unsafe fn at(_: usize) -> Self {
        Self::new()
    }

    fn call(self, given: C) -> C {
        given
    }
}

/// The state is this function.
pub(crate) struct Combine<R>(pub(crate) fn(R, R) -> R);

impl<R> Clone for Combine<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Combine<R> {}

impl<R: 'static> SetupFunction for Combine<R> {
    type Given = ();
    type State = fn(R, R) -> R;

    fn address(self) -> usize {
        self.0 as usize
    }

    unsafe fn at(address: usize) -> Self {
        let address = ptr::with_exposed_provenance::<()>(address);
        // SAFETY: the caller promises that this is the address of such a function.
        Self(unsafe { mem::transmute::<*const (), fn(R, R) -> R>(address) })
    }

    fn call(self, (): ()) -> fn(R, R) -> R {
        self.0
    }
}

/// The state is what this function makes of what was given.
pub(crate) struct Make<C, S>(pub(crate) fn(C) -> S);

impl<C, S> Clone for Make<C, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C, S> Copy for Make<C, S> {}

impl<C: Message, S: 'static> SetupFunction for Make<C, S> {
    type Given = C;
    type State = S;

    fn address(self) -> usize {
        self.0 as usize
    }

    unsafe fn at(address: usize) -> Self {
        let address = ptr::with_exposed_provenance::<()>(address);
        // SAFETY: the caller promises that this is the address of such a function.
        Self(unsafe { mem::transmute::<*const (), fn(C) -> S>(address) })
    }

    fn call(self, given: C) -> S {
        (self.0)(given)
    }
}

type TaskRunner = unsafe fn(usize, &mut dyn Any, &[u8], &mut Vec<u8>) -> Kind;
type SetupRunner = unsafe fn(usize, &[u8]) -> Result<State>;

/// A function and the code for its types, by their distances in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Program {
    runner: u64,
    function: u64,
}

/// A [`Program`] for tasks.
///
/// INVARIANT: the runner is `run::<F>` for some `F: TaskFunction`, and the function's address is one that
/// `F` gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct TaskProgram(Program);

/// A [`Program`] that makes a state, or none.
///
/// INVARIANT: all zeroes, or the runner is `prepare::<P>` for some `P: SetupFunction`, and the function's
/// address is one that `P` gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub(super) struct SetupProgram(Program);

impl TaskProgram {
    pub(super) fn of<F: TaskFunction>(f: F) -> Result<Self> {
        let runner: TaskRunner = run::<F>;
        Program::of(runner as usize, f.address()).map(Self)
    }

    /// Runs it on an encoded argument. What it answers is appended to `answer`.
    ///
    /// # Safety
    /// - `self` holds what [`TaskProgram::of`] made in this program, in this process or another.
    pub(super) unsafe fn run(self, state: &mut dyn Any, input: &[u8], answer: &mut Vec<u8>) -> Result<Kind> {
        let (runner, function) = self.0.addresses()?;
        let runner = ptr::with_exposed_provenance::<()>(runner);
        // SAFETY: by the invariant, which the caller promises, it is the address of a `TaskRunner`.
        let runner = unsafe { mem::transmute::<*const (), TaskRunner>(runner) };
        // SAFETY: by the invariant the function's address is one for this runner.
        Ok(unsafe { runner(function, state, input, answer) })
    }
}

impl SetupProgram {
    pub(super) fn of<P: SetupFunction>(p: P) -> Result<Self> {
        let runner: SetupRunner = prepare::<P>;
        Program::of(runner as usize, p.address()).map(Self)
    }

    /// No state is needed.
    pub(super) fn none() -> Self {
        Self::zeroed()
    }

    /// Makes the state of what was given.
    ///
    /// # Safety
    /// - `self` holds what [`SetupProgram::of`] made in this program, in this process or another.
    pub(super) unsafe fn run(self, given: &[u8]) -> Result<State> {
        let (runner, function) = self.0.addresses()?;
        let runner = ptr::with_exposed_provenance::<()>(runner);
        // SAFETY: by the invariant, which the caller promises, it is the address of a `SetupRunner`.
        let runner = unsafe { mem::transmute::<*const (), SetupRunner>(runner) };
        // SAFETY: by the invariant the function's address is one for this runner.
        unsafe { runner(function, given) }
    }
}

impl Program {
    fn of(runner: usize, function: usize) -> Result<Self> {
        let image = image()?;
        let distance = |address: usize| {
            image.distance(address).ok_or_else(|| {
                let place = image::file_of(address).map_or(String::new(), |file| format!(" but of {file}"));
                let what = format!(
                    "expected a function of the main program, and it is not{place}: wrap it in a function of \
                     the program"
                );
                Error::new(ErrorKind::InvalidInput, what)
            })
        };
        // Who keeps what it is given needs no function.
        let function = if function == 0 { 0 } else { distance(function)? };
        Ok(Self { runner: distance(runner)?, function })
    }

    fn addresses(self) -> Result<(usize, usize)> {
        let image = image()?;
        let address = |distance| {
            let found = image.address(distance);
            found.ok_or_else(|| Error::new(ErrorKind::Corrupt, "the function is not in this program"))
        };
        let function = if self.function == 0 { 0 } else { address(self.function)? };
        Ok((address(self.runner)?, function))
    }
}

fn image() -> Result<&'static Image> {
    Image::main().map_err(|error| Error::os("cannot find the running program in memory", error))
}

/// Decodes the argument, calls the function, encodes the result.
///
/// # Safety
/// - `function` came from `F::address`.
unsafe fn run<F: TaskFunction>(
    function: usize,
    state: &mut dyn Any,
    input: &[u8],
    answer: &mut Vec<u8>,
) -> Kind {
    // SAFETY: the caller promises it.
    let function = unsafe { F::at(function) };
    let begin = answer.len();
    let mut say = |kind, error: &dyn std::fmt::Display| {
        answer.truncate(begin);
        answer.extend_from_slice(error.to_string().as_bytes());
        kind
    };
    let Some(state) = state.downcast_mut::<F::State>() else {
        return say(Kind::Refused, &"the state is not the one that its function needs");
    };
    let input = match message::decode::<F::Input>(input) {
        Ok(input) => input,
        Err(error) => return say(Kind::Decode, &error),
    };
    let (kind, written) = match function.call(state, input) {
        Ok(output) => (Kind::Returned, segment::pinning_any(|| message::encode_to(&output, answer))),
        Err(failure) => (Kind::Failed, message::encode_to(&failure, answer).map(|()| ((), false))),
    };
    match written {
        Ok(((), true)) => Kind::Referring,
        Ok(((), false)) => kind,
        Err(error) => {
            answer.truncate(begin);
            answer.extend_from_slice(error.to_string().as_bytes());
            Kind::Encode
        }
    }
}

/// Decodes what was given, and makes the state.
///
/// # Safety
/// - `function` came from `P::address`.
unsafe fn prepare<P: SetupFunction>(function: usize, given: &[u8]) -> Result<State> {
    // SAFETY: the caller promises it.
    let function = unsafe { P::at(function) };
    Ok(Box::new(function.call(message::decode::<P::Given>(given)?)))
}
