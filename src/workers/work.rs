//! What the items of an input are as tasks: arguments of the call's function, or work that brings its own.

use std::{marker::PhantomData, sync::Arc};

use super::{
    call::Call,
    executor::Hall,
    program::{TaskFunction, TaskProgram},
    states::MakeState,
};
use crate::{
    error::Result,
    message::{self, Message},
};

/// How an item becomes a task.
pub(crate) trait Recipe: Copy + 'static {
    type Item;
    type Output: Message;
    /// All items are of one function.
    const ALIKE: bool;

    fn function(self, item: &Self::Item) -> Result<TaskProgram>;

    /// Appends the bytes of its argument.
    fn encode(item: &Self::Item, bytes: &mut Vec<u8>) -> Result<()>;

    /// Has it run in this process.
    fn execute(
        self,
        hall: &Arc<Hall>,
        call: &Arc<Call<Self::Output>>,
        index: usize,
        item: Self::Item,
        make: Option<MakeState>,
    ) -> Result<()>;
}

impl<F: TaskFunction> Recipe for F {
    type Item = F::Input;
    type Output = F::Output;
    const ALIKE: bool = true;

    fn function(self, _: &F::Input) -> Result<TaskProgram> {
        TaskProgram::of(self)
    }

    fn encode(input: &F::Input, bytes: &mut Vec<u8>) -> Result<()> {
        message::encode_to(input, bytes)
    }

    fn execute(
        self,
        hall: &Arc<Hall>,
        call: &Arc<Call<F::Output>>,
        index: usize,
        input: F::Input,
        make: Option<MakeState>,
    ) -> Result<()> {
        hall.execute(call, index, self, input, make)
    }
}

/// A function and its argument.
pub(crate) struct Work<R>(Box<dyn Erased<R>>);

trait Erased<R>: Send {
    fn function(&self) -> Result<TaskProgram>;

    fn encode(&self, bytes: &mut Vec<u8>) -> Result<()>;

    fn execute(self: Box<Self>, hall: &Arc<Hall>, call: &Arc<Call<R>>, index: usize) -> Result<()>;
}

struct Typed<F: TaskFunction> {
    function: F,
    input: F::Input,
}

impl<F: TaskFunction<State = ()>> Erased<F::Output> for Typed<F> {
    fn function(&self) -> Result<TaskProgram> {
        self.function.function(&self.input)
    }

    fn encode(&self, bytes: &mut Vec<u8>) -> Result<()> {
        F::encode(&self.input, bytes)
    }

    fn execute(self: Box<Self>, hall: &Arc<Hall>, call: &Arc<Call<F::Output>>, index: usize) -> Result<()> {
        Recipe::execute(self.function, hall, call, index, self.input, None)
    }
}

impl<R: Message> Work<R> {
    pub(crate) fn of<F: TaskFunction<State = (), Output = R>>(function: F, input: F::Input) -> Self {
        Self(Box::new(Typed { function, input }))
    }
}

/// Items that bring their functions, with one type of result.
pub(crate) struct Works<R>(PhantomData<fn() -> R>);

impl<R> Works<R> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<R> Clone for Works<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Works<R> {}

impl<R: Message> Recipe for Works<R> {
    type Item = Work<R>;
    type Output = R;
    const ALIKE: bool = false;

    fn function(self, work: &Work<R>) -> Result<TaskProgram> {
        work.0.function()
    }

    fn encode(work: &Work<R>, bytes: &mut Vec<u8>) -> Result<()> {
        work.0.encode(bytes)
    }

    fn execute(
        self,
        hall: &Arc<Hall>,
        call: &Arc<Call<R>>,
        index: usize,
        work: Work<R>,
        _: Option<MakeState>,
    ) -> Result<()> {
        work.0.execute(hall, call, index)
    }
}
