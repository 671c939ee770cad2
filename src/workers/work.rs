//! Different functions with one type of result, as tasks of one call.

use std::sync::Arc;

use super::{
    books::Job,
    call::{Call, Terms},
    error::{TaskError, TaskErrorKind},
    executor::Hall,
    program::TaskFunction,
    run::{Place, order},
};
use crate::{deadline::Deadline, error::Result, message::Message};

/// A function and its argument.
pub(crate) struct Work<R>(Box<dyn Erased<R>>);

trait Erased<R>: Send {
    fn job(&self, call: &Arc<Call<R>>, index: usize) -> Result<Box<dyn FnOnce(u64) -> Job>, TaskErrorKind>;

    fn execute(self: Box<Self>, hall: &Arc<Hall>, call: &Arc<Call<R>>, index: usize) -> Result<()>;
}

struct Typed<F: TaskFunction> {
    function: F,
    input: F::Input,
}

impl<F: TaskFunction<State = ()>> Erased<F::Output> for Typed<F> {
    fn job(
        &self,
        call: &Arc<Call<F::Output>>,
        index: usize,
    ) -> Result<Box<dyn FnOnce(u64) -> Job>, TaskErrorKind> {
        let (draft, kept) = order(self.function, &**call, &self.input)?;
        let (call_number, call) = (call.number, call.clone());
        let tasks = draft.tasks();
        Ok(Box::new(move |number| Job {
            call,
            call_number,
            first: index,
            tasks,
            done: 0,
            attempts: 0,
            bytes: draft.into_bytes(number),
            kept,
        }))
    }

    fn execute(self: Box<Self>, hall: &Arc<Hall>, call: &Arc<Call<F::Output>>, index: usize) -> Result<()> {
        hall.execute(call, index, self.function, self.input, None)
    }
}

impl<R: Message> Work<R> {
    pub(crate) fn of<F: TaskFunction<State = (), Output = R>>(function: F, input: F::Input) -> Self {
        Self(Box::new(Typed { function, input }))
    }
}

/// Does all work, and returns the results in order, or the first error. What has not begun then is called
/// off.
pub(crate) fn do_all<R: Message>(
    place: &Place,
    works: impl IntoIterator<Item = Work<R>>,
    terms: Terms,
) -> Result<Vec<R>, TaskError> {
    let call = Arc::new(Call::<R>::new(terms));
    let mut begun = 0;
    for (index, work) in works.into_iter().enumerate() {
        let handed = match place {
            Place::Processes(crew) => work.0.job(&call, index).and_then(|make| {
                crew.take_on(make).map_err(|error| TaskErrorKind::Refused(error.to_string()))
            }),
            Place::Here(hall) => {
                let executed = work.0.execute(hall, &call, index);
                executed.map_err(|error| TaskErrorKind::Refused(error.to_string()))
            }
        };
        if let Err(kind) = handed {
            call.give(index, Err(kind));
        }
        begun += 1;
    }
    let mut results: Vec<Option<R>> = (0..begun).map(|_| None).collect();
    for taken in 0..begun {
        call.wait(taken, Deadline::NEVER);
        let Some((index, result)) = call.take() else { break };
        match result {
            Ok(result) => results[index] = Some(result),
            Err(error) => {
                call.cancel();
                if let Place::Processes(crew) = place {
                    crew.end_call(call.number);
                }
                return Err(error);
            }
        }
    }
    Ok(results.into_iter().flatten().collect())
}
