//! How many tasks go together, and how many are taken from the input ahead of time.
//!
//! joblib's rule: twice as many while a group takes less than 0.2 s, fewer again above 2 s
//! (`joblib/_parallel_backends.py`, `AutoBatchingMixin`); and sixteen times as many while it takes less than a
//! millisecond. Beside that no group is so large that the last
//! ones would leave workers idle. Ahead are three groups for each worker, or as many short tasks as keep
//! the workers busy while the pool's own thread waits for a CPU.

use std::time::Duration;

/// How many tasks go to a worker together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    size: usize,
    given: bool,
    /// How long a group of this size takes; zero before the first.
    smoothed: Duration,
    /// How long a task takes; `None` before the first.
    task: Option<Duration>,
    /// No more tasks are taken ahead.
    most: usize,
    /// How long the last group took that has changed the size, and what it is now.
    resized: Option<Resized>,
}

/// Groups have another size from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Resized {
    pub(crate) took: Duration,
    pub(crate) is_larger: bool,
    pub(crate) size: usize,
}

const NO_TIME: Duration = Duration::from_millis(1);
const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(2);

/// More are of no use: what an order costs is little beside so many tasks. And all that are ahead take memory.
const LARGEST: usize = 1 << 8;
/// Nobody can ask for more.
const LARGEST_GIVEN: usize = 1 << 16;

/// So many groups for each worker: the one that it works at, and two more.
const AHEAD: usize = 3;
/// Short tasks for so long, and at most so many.
const BUSY: Duration = Duration::from_millis(2);
pub(super) const MOST_AHEAD: usize = 1024;

/// How many things that take so long are done ahead of time, for so many workers.
pub(super) fn ahead(workers: usize, each: Option<Duration>) -> usize {
    let nanos = each.map_or(u64::MAX, |each| u64::try_from(each.as_nanos()).unwrap_or(u64::MAX).max(1));
    let short = BUSY.as_nanos() as u64 * workers as u64 / nanos;
    usize::try_from(short).unwrap_or(MOST_AHEAD).min(MOST_AHEAD).max(AHEAD * workers)
}

impl Chunk {
    /// So many, or as many as turn out well.
    pub(crate) fn of(given: Option<usize>) -> Self {
        let size = given.unwrap_or(1).clamp(1, LARGEST_GIVEN);
        Self {
            size,
            given: given.is_some(),
            smoothed: Duration::ZERO,
            task: None,
            most: usize::MAX,
            resized: None,
        }
    }

    /// Groups of tasks took so long.
    pub(super) fn learn(&mut self, times: impl IntoIterator<Item = (u32, Duration)>) {
        for (tasks, time) in times {
            let each = time / tasks.max(1);
            self.task = Some(self.task.map_or(each, |task| task * 4 / 5 + each / 5));
            if !self.given && tasks as usize == self.size {
                self.resize(time);
            }
        }
    }

    fn resize(&mut self, time: Duration) {
        // A duration of zero would say that there was none.
        let time = time.max(Duration::from_nanos(1));
        self.smoothed = if self.smoothed.is_zero() { time } else { self.smoothed * 4 / 5 + time / 5 };
        let ideal = (self.size as f64 * SHORT.as_secs_f64() / self.smoothed.as_secs_f64()) as usize * 2;
        let better = if self.smoothed < SHORT {
            // Sixteen times as long is no time either.
            let most = if self.smoothed < NO_TIME { 16 } else { 2 };
            ideal.clamp(1, self.size * most)
        } else if self.smoothed > LONG && self.size >= 2 {
            ideal.max(1)
        } else {
            self.size
        };
        if better.min(LARGEST) != self.size {
            let size = better.min(LARGEST);
            self.resized = Some(Resized { took: self.smoothed, is_larger: size > self.size, size });
            (self.size, self.smoothed) = (better.min(LARGEST), Duration::ZERO);
        }
    }

    /// How many to take now, of `left` if that is known.
    pub(super) fn size(&self, left: Option<usize>, workers: usize) -> usize {
        if self.given {
            return self.size;
        }
        let share = left.map_or(LARGEST, |left| left.div_ceil(4 * workers));
        self.size.min(share).min(self.most).max(1)
    }

    /// What has changed since this was asked last.
    pub(super) fn resized(&mut self) -> Option<Resized> {
        self.resized.take()
    }

    /// How many tasks may be ahead in groups of this size.
    pub(super) fn ahead(&self, size: usize, workers: usize) -> usize {
        ahead(workers, self.task).max(AHEAD * workers * size).min(self.most)
    }

    /// With no more than so many tasks ahead.
    pub(crate) fn look_ahead(mut self, most: Option<usize>) -> Self {
        self.most = most.unwrap_or(usize::MAX).max(1);
        self.size = self.size.min(self.most);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(10);

    #[test]
    fn quick_tasks_go_in_larger_groups_and_slow_ones_in_smaller() {
        let mut chunk = Chunk::of(None);
        for size in [1, 2, 4, 8] {
            assert_eq!(chunk.size(None, 2), size);
            chunk.learn(vec![(size as u32, QUICK), (99, LONG * 9)]);
        }
        assert_eq!(chunk.size(None, 2), 16);
        chunk.learn(vec![(16, Duration::from_millis(500))]);
        assert_eq!(chunk.size(None, 2), 16, "between the two bounds");
        chunk.learn(vec![(16, LONG * 100); 3]);
        assert_eq!(chunk.size(None, 2), 1);
    }

    #[test]
    fn what_takes_no_time_goes_in_large_groups_at_once() {
        let mut chunk = Chunk::of(None);
        for size in [1, 16, LARGEST] {
            assert_eq!(chunk.size(None, 2), size);
            chunk.learn(vec![(size as u32, Duration::from_micros(10))]);
        }
    }

    #[test]
    fn the_last_tasks_are_shared_out() {
        let chunk = Chunk { size: 1000, ..Chunk::of(None) };
        assert_eq!(chunk.size(Some(80), 2), 10);
        assert_eq!(chunk.size(Some(1), 2), 1);
        assert_eq!(Chunk::of(Some(0)).size(Some(5), 2), 1);
        assert_eq!(Chunk::of(Some(7)).size(Some(5), 2), 7);
    }

    #[test]
    fn short_tasks_are_taken_further_ahead() {
        let mut chunk = Chunk::of(Some(1));
        assert_eq!(chunk.ahead(1, 2), 6);
        chunk.learn([(1, Duration::from_micros(100))]);
        assert_eq!(chunk.ahead(1, 2), 40);
        chunk.learn([(1, LONG * 1000)]);
        assert_eq!(chunk.ahead(1, 2), 6);
        chunk.learn(std::iter::repeat_n((1, Duration::ZERO), 1000));
        assert_eq!(chunk.ahead(1, 2), MOST_AHEAD);
    }
}
