//! All results of a call together.

use super::{error::TaskError, stream::Source};

/// All results, in the order of the input, or the first error. What has not begun then is called off.
pub(crate) fn collect<R>(source: impl Source<R>) -> Result<Vec<R>, TaskError> {
    in_order(source, |result| result)
}

/// A result or an error for each item, in the order of the input.
pub(crate) fn outcomes<R>(source: impl Source<R>) -> Vec<Result<R, TaskError>> {
    let Ok(outcomes) = in_order(source, Ok::<_, std::convert::Infallible>);
    outcomes
}

fn in_order<R, T, E>(
    mut source: impl Source<R>,
    take: impl Fn(Result<R, TaskError>) -> Result<T, E>,
) -> Result<Vec<T>, E> {
    // A hint of the user's may be anything.
    let mut taken = Vec::with_capacity(source.size_hint().0.min(1 << 20));
    while let Some((index, result)) = source.next() {
        source.consume();
        if taken.len() <= index {
            taken.resize_with(index + 1, || None);
        }
        taken[index] = Some(take(result)?);
    }
    Ok(taken.into_iter().flatten().collect())
}
