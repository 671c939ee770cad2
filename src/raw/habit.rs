//! Whether to keep a lock: what a process has learned about it.

use crate::primitive::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};

/// How often a lock was taken since it was kept last, and whether that was worth it. Private to a process,
/// whose threads may get the counts wrong.
#[derive(Debug)]
pub(crate) struct Habit {
    /// So often more, and it is kept.
    left: AtomicU32,
    /// How often it must be taken before. To take a lock away costs microseconds: so it is twice as often
    /// after a lock that was entered rarely, and half as often after another.
    gap: AtomicU32,
    keeps: AtomicBool,
    /// Where the thread that kept it sits, and its counter then.
    seat: AtomicUsize,
    counter: AtomicU32,
}

const FIRST_GAP: u32 = 64;
const LONGEST_GAP: u32 = 1 << 14;

/// So often a lock must have been entered to be worth keeping.
const WORTH: u32 = 1024;

impl Default for Habit {
    fn default() -> Self {
        Self {
            left: FIRST_GAP.into(),
            gap: FIRST_GAP.into(),
            keeps: false.into(),
            seat: 0.into(),
            counter: 0.into(),
        }
    }
}

impl Habit {
    #[inline]
    pub(crate) fn seat(&self) -> usize {
        self.seat.load(Relaxed)
    }

    /// Counts one; whether the lock shall be kept.
    pub(crate) fn is_formed(&self) -> bool {
        let left = self.left.load(Relaxed);
        self.left.store(left.saturating_sub(1), Relaxed);
        left == 0
    }

    /// The lock is kept, in this seat, whose counter is this.
    pub(crate) fn keep(&self, seat: usize, counter: u32) {
        self.seat.store(seat, Relaxed);
        self.counter.store(counter, Relaxed);
        self.keeps.store(true, Relaxed);
    }

    /// The lock was not there to be entered: if it was kept, somebody has taken it away. `counter` is
    /// asked for that of the seat.
    pub(crate) fn notice_loss(&self, counter: impl FnOnce(usize) -> u32) {
        if !self.keeps.load(Relaxed) {
            return;
        }
        if counter(self.seat()).wrapping_sub(self.counter.load(Relaxed)) / 2 >= WORTH {
            self.start_over((self.gap.load(Relaxed) / 2).max(FIRST_GAP));
        } else {
            self.lose();
        }
    }

    /// It was not worth it, or is not possible.
    pub(crate) fn lose(&self) {
        self.start_over((self.gap.load(Relaxed) * 2).min(LONGEST_GAP));
    }

    fn start_over(&self, gap: u32) {
        self.keeps.store(false, Relaxed);
        self.gap.store(gap, Relaxed);
        self.left.store(gap, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often the lock is taken until it is kept.
    fn takes_until_kept(habit: &Habit) -> u32 {
        (0..).find(|_| habit.is_formed()).unwrap_or_default()
    }

    #[test]
    fn what_was_not_worth_it_is_done_more_rarely_and_what_was_more_often() {
        let habit = Habit::default();
        assert_eq!(takes_until_kept(&habit), FIRST_GAP);
        habit.keep(3, 10);
        habit.notice_loss(|seat| {
            assert_eq!(seat, 3);
            10 + 2 * (WORTH - 1)
        });
        assert_eq!(takes_until_kept(&habit), 2 * FIRST_GAP);
        habit.keep(3, u32::MAX);
        habit.notice_loss(|_| 2 * WORTH);
        assert_eq!(takes_until_kept(&habit), FIRST_GAP);
        habit.notice_loss(|_| unreachable!("nothing was kept"));
        (0..20).for_each(|_| habit.lose());
        assert_eq!(takes_until_kept(&habit), LONGEST_GAP);
    }
}
