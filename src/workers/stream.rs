//! Results one by one, while others are still computed.

use std::{collections::BTreeMap, fmt, iter::FusedIterator};

use super::{error::TaskError, run::Run, work::Recipe};

/// A call whose results are taken one by one, whatever its function.
pub(crate) trait Source<R> {
    fn next(&mut self) -> Option<(usize, Result<R, TaskError>)>;

    /// The user has got one more.
    fn consume(&mut self);

    fn size_hint(&self) -> (usize, Option<usize>);
}

impl<K: Recipe, In: Iterator<Item = K::Item>> Source<K::Output> for Run<K, In> {
    fn next(&mut self) -> Option<(usize, Result<K::Output, TaskError>)> {
        Run::next(self)
    }

    fn consume(&mut self) {
        self.consumed += 1;
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        Run::size_hint(self)
    }
}

/// The results of tasks in the order of the input; made by [`Pool::map_iter`](crate::Pool::map_iter).
///
/// Tasks run while this is read, a bounded number ahead. A task that fails gives its error, and the others
/// go on. Dropped, it calls off what has not begun.
pub struct MapIter<'a, R> {
    source: Box<dyn Source<R> + 'a>,
    /// What came before its turn.
    early: BTreeMap<usize, Result<R, TaskError>>,
    turn: usize,
}

/// The results of tasks as they are finished; made by
/// [`Pool::map_unordered`](crate::Pool::map_unordered).
///
/// As [`MapIter`], but nobody waits for a slow task before the others' results are read.
pub struct MapUnordered<'a, R> {
    source: Box<dyn Source<R> + 'a>,
}

impl<'a, R> MapIter<'a, R> {
    pub(crate) fn of(source: impl Source<R> + 'a) -> Self {
        Self { source: Box::new(source), early: BTreeMap::new(), turn: 0 }
    }

    /// Of a call that could not begin.
    pub(crate) fn failed(error: TaskError) -> Self
    where
        R: 'a,
    {
        Self::of(Failed(Some(error)))
    }
}

impl<'a, R> MapUnordered<'a, R> {
    pub(crate) fn of(source: impl Source<R> + 'a) -> Self {
        Self { source: Box::new(source) }
    }

    /// Of a call that could not begin.
    pub(crate) fn failed(error: TaskError) -> Self
    where
        R: 'a,
    {
        Self::of(Failed(Some(error)))
    }
}

struct Failed(Option<TaskError>);

impl<R> Source<R> for Failed {
    fn next(&mut self) -> Option<(usize, Result<R, TaskError>)> {
        self.0.take().map(|error| (0, Err(error)))
    }

    fn consume(&mut self) {}

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.0.is_some());
        (left, Some(left))
    }
}

impl<R> Iterator for MapIter<'_, R> {
    type Item = Result<R, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = loop {
            if let Some(result) = self.early.remove(&self.turn) {
                break result;
            }
            let (index, result) = self.source.next()?;
            if index == self.turn {
                break result;
            }
            self.early.insert(index, result);
        };
        self.turn += 1;
        self.source.consume();
        Some(result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.source.size_hint()
    }
}

impl<R> Iterator for MapUnordered<'_, R> {
    type Item = Result<R, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (_, result) = self.source.next()?;
        self.source.consume();
        Some(result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.source.size_hint()
    }
}

impl<R> FusedIterator for MapIter<'_, R> {}

impl<R> FusedIterator for MapUnordered<'_, R> {}

impl<R> fmt::Debug for MapIter<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapIter").field("turn", &self.turn).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for MapUnordered<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapUnordered").finish_non_exhaustive()
    }
}
