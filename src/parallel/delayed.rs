//! A call of a function that is not made yet.

use std::fmt;

use crate::{
    message::Message,
    workers::{Plain, Work},
};

/// A function and its argument, to be called by a worker; made by [`delayed`].
pub struct Delayed<R>(pub(super) Work<R>);

/// `f(input)`, for [`Parallel::run`](crate::Parallel::run).
///
/// # Examples
/// ```
/// commons::init_in_tests!();
/// use commons::{Parallel, delayed};
///
/// # fn main() -> commons::Result<()> {
/// let cube = |n: usize| n * n * n;
/// let results = Parallel::new()
///     .jobs(2)
///     .run([delayed(cube, 2), delayed(|text: String| text.len(), "ab".to_owned())])?;
/// assert_eq!(results, [8, 2]);
/// # Ok(()) }
/// ```
pub fn delayed<I: Message, R: Message>(f: fn(I) -> R, input: I) -> Delayed<R> {
    Delayed(Work::of(Plain(f), input))
}

impl<R> fmt::Debug for Delayed<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delayed")
    }
}
