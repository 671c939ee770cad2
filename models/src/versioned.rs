//! A value that changes whole or not at all.

use std::rc::Rc;

use crate::{
    deadline::Deadline,
    primitive::{AtomicU64, Ordering::Relaxed},
    raw::versioned::RawVersioned,
    scene::{Death, deaths, schedules, shared, spawn},
};

/// A value of two words, which are always equal.
#[derive(Debug)]
struct Pair {
    raw: RawVersioned,
    slots: [[AtomicU64; 2]; 2],
}

impl Pair {
    fn zero() -> Rc<Self> {
        shared(Self { raw: RawVersioned::new(), slots: Default::default() })
    }

    /// The value, which must be whole.
    fn read(&self) -> u64 {
        let [first, second] =
            self.raw.read(|slot| [0, 1].map(|word: usize| self.slots[slot][word].load(Relaxed)));
        assert_eq!(first, second, "torn");
        first
    }

    /// Makes it one more.
    fn update(&self) {
        let _ = self.raw.writers.lock().unwrap();
        let next = self.slots[self.raw.active()][0].load(Relaxed) + 1;
        self.raw.commit(|slot| self.slots[slot].iter().for_each(|word| word.store(next, Relaxed)));
        self.raw.unlock();
    }
}

/// A reader that two commits overtake sees one of the three values, and none older than the last.
#[test]
fn a_reader_sees_no_mixture() {
    schedules(|| {
        let pair = Pair::zero();
        let writing = spawn({
            let pair = pair.clone();
            move || (0..2).for_each(|_| pair.update())
        });
        let first = pair.read();
        let second = pair.read();
        assert!(first <= second && second <= 2);
        writing.join().unwrap();
        assert_eq!(pair.read(), 2);
    });
}

/// No update is lost of two writers, and a reader beside them sees whole values.
#[test]
fn two_writers_and_a_reader() {
    schedules(|| {
        let pair = Pair::zero();
        let writing = [1, 2].map(|_| {
            let pair = pair.clone();
            spawn(move || pair.update())
        });
        assert!(pair.read() <= 2);
        writing.into_iter().for_each(|writing| writing.join().unwrap());
        assert_eq!(pair.read(), 2);
    });
}

/// Who waits for another version is woken by it.
#[test]
fn a_commit_wakes_who_waits_for_it() {
    schedules(|| {
        let pair = Pair::zero();
        let waiting = spawn({
            let pair = pair.clone();
            move || {
                pair.raw.wait_for_another(0, Deadline::NEVER);
                assert_eq!(pair.read(), 1);
            }
        });
        pair.update();
        waiting.join().unwrap();
    });
}

/// A writer that dies has committed or not; a reader sees whole values before and after, and the next
/// writer goes on from what stands.
#[test]
fn a_dead_writers_value_is_old_or_new() {
    deaths(Death::Marked, |victim| {
        let pair = Pair::zero();
        let dying = victim.spawn({
            let pair = pair.clone();
            move || (0..2).for_each(|_| pair.update())
        });
        let first = pair.read();
        let second = pair.read();
        assert!(first <= second);
        let died = dying.join().unwrap().is_none();
        let third = pair.read();
        assert!(second <= third && (died || third == 2));
        pair.update();
        assert_eq!(pair.read(), third + 1);
    });
}
