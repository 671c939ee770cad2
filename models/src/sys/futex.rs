//! Sleeping until a word changes.
//!
//! A wait compares the newest value of the word and goes to sleep in one step, as under the kernel's
//! lock; a wake-up takes sleepers off in the order in which they came. Both touch the word with
//! an access that loom takes for a change, so that it tries either order of them.
//!
//! There is no clock. A sleep that nobody ends lasts for ever, and loom calls that a deadlock. But
//! once somebody has died, the time of a few sleeps is over, of those that threads are in and of their
//! next ones: what a death leaves undone is found by looking again, and soon.

use std::{
    cell::{Cell, RefCell},
    ptr,
    rc::Rc,
    time::Duration,
};

use loom::thread::{Thread, current, park};

use crate::{
    deadline::Deadline,
    primitive::{AtomicU32, Ordering::Relaxed},
    scene::{me, note, step},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    Look,
    TimedOut,
}

pub(crate) const ALL: u32 = i32::MAX as u32;

pub(crate) const LONGEST_SLICE: Duration = Duration::from_millis(50);

struct Sleeper {
    word: *const AtomicU32,
    thread: Thread,
    end: Rc<Cell<Option<Woken>>>,
}

thread_local! {
    /// Of the model that this thread of the test runs. Loom runs all threads of a model on it.
    static SLEEPERS: RefCell<Vec<Sleeper>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn boot() {
    SLEEPERS.take();
}

/// The newest value: an exchange reads no other, even one that fails.
pub(crate) fn newest(word: &AtomicU32) -> u32 {
    const NEVER: u32 = u32::MAX;
    word.bare().compare_exchange(NEVER, NEVER, Relaxed, Relaxed).unwrap_or_else(|value| value)
}

#[track_caller]
pub(crate) fn wait(word: &AtomicU32, expected: u32, _: Deadline) -> Woken {
    step();
    if newest(word) != expected {
        return Woken::Look;
    }
    if me().take_timeout() {
        return Woken::TimedOut;
    }
    note("sleep on", ptr::from_ref(word) as usize, expected.into());
    let end = Rc::new(Cell::new(None));
    let sleeper = Sleeper { word, thread: current(), end: end.clone() };
    SLEEPERS.with_borrow_mut(|sleepers| sleepers.push(sleeper));
    loop {
        park();
        if let Some(how) = end.get() {
            if how == Woken::TimedOut {
                me().take_timeout();
            }
            return how;
        }
    }
}

#[track_caller]
pub(crate) fn wake(word: &AtomicU32, count: u32) -> usize {
    step();
    let woken = wake_bare(word, count);
    note("wake of", ptr::from_ref(word) as usize, woken as u64);
    woken
}

/// As [`wake`], by the kernel: no step of a thread.
pub(crate) fn wake_bare(word: &AtomicU32, count: u32) -> usize {
    newest(word);
    end_sleeps(Woken::Look, count as usize, |sleeper| ptr::eq(sleeper.word, word))
}

/// Whether any thread of the model sleeps now.
pub(crate) fn somebody_sleeps() -> bool {
    SLEEPERS.with_borrow(|sleepers| !sleepers.is_empty())
}

/// The time of all sleeps is over.
pub(crate) fn time_out_all() {
    end_sleeps(Woken::TimedOut, usize::MAX, |_| true);
}

fn end_sleeps(how: Woken, count: usize, which: impl Fn(&Sleeper) -> bool) -> usize {
    let ended: Vec<Sleeper> = SLEEPERS.with_borrow_mut(|sleepers| {
        let mut left = count;
        sleepers
            .extract_if(.., |sleeper| {
                left != 0 && which(sleeper) && {
                    left -= 1;
                    true
                }
            })
            .collect()
    });
    for sleeper in &ended {
        sleeper.end.set(Some(how));
        sleeper.thread.unpark();
    }
    ended.len()
}
