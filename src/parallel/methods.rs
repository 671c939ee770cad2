//! `map` and its kin, for functions of an item alone, of what was given too, or of what was made.

use super::{
    builder::{Given, Parallel, Prepared},
    delayed::Delayed,
    settings::Settings,
    watched::Watched,
};
use crate::{
    error::Result,
    failure::Failure,
    message::Message,
    workers::{
        self, Combine, Folding, Keep, Made, Make, Manner, MapIter, MapUnordered, Plain, Recipe, Setup,
        Source, TaskError, Trying, TryingMade, TryingWith, With, Works,
    },
};

/// All results in order, or the first error.
fn collect<K, In>(
    settings: &Settings,
    recipe: K,
    setup: Result<Setup>,
    input: In,
) -> Result<Vec<K::Output>, TaskError>
where
    K: Recipe,
    In: IntoIterator<Item = K::Item>,
{
    Watched::start(settings, recipe, setup, input.into_iter(), Manner::Together).and_then(workers::collect)
}

/// A result or an error for each item.
fn outcomes<K, In>(
    settings: &Settings,
    recipe: K,
    setup: Result<Setup>,
    input: In,
) -> Vec<Result<K::Output, TaskError>>
where
    K: Recipe,
    In: IntoIterator<Item = K::Item>,
{
    let mut input = input.into_iter();
    let started = Watched::start(settings, recipe, setup, &mut input, Manner::Together);
    match started.map(workers::outcomes) {
        Ok(outcomes) => outcomes,
        Err(error) => {
            let refused = |(index, _)| Err(TaskError::new(index, error.kind().clone(), None));
            input.enumerate().map(refused).collect()
        }
    }
}

/// Nothing but whether all went well.
fn for_each<K, In>(settings: &Settings, recipe: K, setup: Result<Setup>, input: In) -> Result<(), TaskError>
where
    K: Recipe,
    In: IntoIterator<Item = K::Item>,
{
    let mut watched = Watched::start(settings, recipe, setup, input.into_iter(), Manner::Together)?;
    while let Some((_, result)) = watched.next() {
        watched.consume();
        result?;
    }
    Ok(())
}

macro_rules! methods {
    ($of:ty, [$($generics:tt)*], $item:ident => $result:ident, $plain:ty, $trying:ty,
     $wrap:expr, $wrap_trying:expr, |$state:ident| $setup:expr) => {
        impl<$($generics)*> Parallel<$of> {
            /// Runs `f` on each item, and returns the results in the order of the items.
            ///
            /// # Errors
            /// The first task that fails: those that have not begun are called off.
            pub fn map<$item, $result, In>(self, items: In, f: $plain) -> Result<Vec<$result>, TaskError>
            where
                $item: Message,
                $result: Message,
                In: IntoIterator<Item = $item>,
            {
                let $state = &self.state;
                collect(&self.settings, $wrap(f), $setup, items)
            }

            /// As `map`, for functions that may fail.
            ///
            /// # Errors
            /// As `map`.
            pub fn try_map<$item, $result, In>(
                self,
                items: In,
                f: $trying,
            ) -> Result<Vec<$result>, TaskError>
            where
                $item: Message,
                $result: Message,
                In: IntoIterator<Item = $item>,
            {
                let $state = &self.state;
                collect(&self.settings, $wrap_trying(f), $setup, items)
            }

            /// As `map`, with a result or an error for each item.
            pub fn outcomes<$item, $result, In>(
                self,
                items: In,
                f: $plain,
            ) -> Vec<Result<$result, TaskError>>
            where
                $item: Message,
                $result: Message,
                In: IntoIterator<Item = $item>,
            {
                let $state = &self.state;
                outcomes(&self.settings, $wrap(f), $setup, items)
            }

            /// As `outcomes`, for functions that may fail.
            pub fn try_outcomes<$item, $result, In>(
                self,
                items: In,
                f: $trying,
            ) -> Vec<Result<$result, TaskError>>
            where
                $item: Message,
                $result: Message,
                In: IntoIterator<Item = $item>,
            {
                let $state = &self.state;
                outcomes(&self.settings, $wrap_trying(f), $setup, items)
            }

            /// As `map`, for what `f` does and not for what it returns.
            ///
            /// # Errors
            /// As `map`.
            pub fn for_each<$item, $result, In>(self, items: In, f: $plain) -> Result<(), TaskError>
            where
                $item: Message,
                $result: Message,
                In: IntoIterator<Item = $item>,
            {
                let $state = &self.state;
                for_each(&self.settings, $wrap(f), $setup, items)
            }

            /// Gives the results in the order of the items while others still run. The items are taken a
            /// bounded number ahead, so they may be endless.
            #[doc(alias = "return_as")]
            #[doc(alias = "generator")]
            pub fn map_iter<'a, $item, $result, In>(self, items: In, f: $plain) -> MapIter<'a, $result>
            where
                $item: Message,
                $result: Message,
                In: IntoIterator<Item = $item>,
                In::IntoIter: 'a,
            {
                let $state = &self.state;
                match Watched::start(&self.settings, $wrap(f), $setup, items.into_iter(), Manner::Streaming) {
                    Ok(watched) => MapIter::of(watched),
                    Err(error) => MapIter::failed(error),
                }
            }

            /// As `map_iter`, for functions that may fail.
            pub fn try_map_iter<'a, $item, $result, In>(
                self,
                items: In,
                f: $trying,
            ) -> MapIter<'a, $result>
            where
                $item: Message,
                $result: Message,
                In: IntoIterator<Item = $item>,
                In::IntoIter: 'a,
            {
                let $state = &self.state;
                match Watched::start(&self.settings, $wrap_trying(f), $setup, items.into_iter(), Manner::Streaming) {
                    Ok(watched) => MapIter::of(watched),
                    Err(error) => MapIter::failed(error),
                }
            }

            /// As `map_iter`, in the order in which tasks are finished.
            #[doc(alias = "generator_unordered")]
            pub fn map_unordered<'a, $item, $result, In>(
                self,
                items: In,
                f: $plain,
            ) -> MapUnordered<'a, $result>
            where
                $item: Message,
                $result: Message,
                In: IntoIterator<Item = $item>,
                In::IntoIter: 'a,
            {
                let $state = &self.state;
                match Watched::start(&self.settings, $wrap(f), $setup, items.into_iter(), Manner::Streaming) {
                    Ok(watched) => MapUnordered::of(watched),
                    Err(error) => MapUnordered::failed(error),
                }
            }

            /// As `map_unordered`, for functions that may fail.
            pub fn try_map_unordered<'a, $item, $result, In>(
                self,
                items: In,
                f: $trying,
            ) -> MapUnordered<'a, $result>
            where
                $item: Message,
                $result: Message,
                In: IntoIterator<Item = $item>,
                In::IntoIter: 'a,
            {
                let $state = &self.state;
                match Watched::start(&self.settings, $wrap_trying(f), $setup, items.into_iter(), Manner::Streaming) {
                    Ok(watched) => MapUnordered::of(watched),
                    Err(error) => MapUnordered::failed(error),
                }
            }
        }
    };
}

methods!((), [], I => R, fn(I) -> R, fn(I) -> Result<R, Failure>, Plain, Trying, |_state| Ok(Setup::none()));

methods!(Given<C>, [C: Message], I => R, fn(&C, I) -> R, fn(&C, I) -> Result<R, Failure>, With, TryingWith,
    |state| Setup::of(Keep::new(), &state.0));

methods!(Prepared<C, S>, [C: Message, S: 'static], I => R, fn(&mut S, I) -> R,
    fn(&mut S, I) -> Result<R, Failure>, Made, TryingMade, |state| Setup::of(Make(state.make), &state.given));

impl Parallel {
    /// Does different things, each a [`delayed`](crate::delayed()) call, with one type of result. Otherwise it
    /// is as [`map`](Parallel::map): calls of one function that follow each other go together.
    ///
    /// # Errors
    /// As [`map`](Parallel::map).
    pub fn run<R: Message>(self, calls: impl IntoIterator<Item = Delayed<R>>) -> Result<Vec<R>, TaskError> {
        collect(&self.settings, Works::new(), Ok(Setup::none()), calls.into_iter().map(|call| call.0))
    }

    /// Runs `f` on each item and combines the results: in the workers, and then here. `combine` is associative,
    /// and `start` changes nothing, as 0 in a sum.
    ///
    /// # Errors
    /// As [`map`](Parallel::map); the number is that of the first item of the group that failed. Groups
    /// have as many items as [`chunk`](Parallel::chunk) says, or 64.
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    ///
    /// # fn main() -> commons::Result<()> {
    /// let sum = commons::Parallel::new().jobs(2).reduce(1..=1000u64, |n| n * n, 0, |a, b| a + b)?;
    /// assert_eq!(sum, 333_833_500);
    /// # Ok(()) }
    /// ```
    pub fn reduce<I, R, In>(
        self,
        items: In,
        f: fn(I) -> R,
        start: R,
        combine: fn(R, R) -> R,
    ) -> Result<R, TaskError>
    where
        I: Message,
        R: Message,
        In: IntoIterator<Item = I>,
    {
        const GROUP: usize = 64;
        let size = self.settings.chunk.unwrap_or(GROUP).max(1);
        let mut items = items.into_iter();
        let groups = std::iter::from_fn(|| {
            let group: Vec<I> = items.by_ref().take(size).collect();
            (!group.is_empty()).then_some(group)
        });
        let settings = Settings { chunk: None, ..self.settings.clone() };
        let setup = Setup::of(Combine(combine), &());
        let failed = |error: TaskError| error.of_group(size);
        let parts = collect(&settings, Folding(f), setup, groups).map_err(failed)?;
        Ok(parts.into_iter().flatten().fold(start, combine))
    }
}
