//! Messages that were handed out and are not done.

use std::{cell::Cell, rc::Rc};

use crate::{
    deadline::Deadline,
    primitive::{AtomicU64, Ordering::Relaxed},
    raw::{
        biased::Request,
        habit::Habit,
        leases::{Held, LEASES, RawLeases},
        ring::{Area, RawRing, ReceiveFault, Received, ring_units},
    },
    scene::{Death, deaths, schedules, shared, spawn},
};

const ALWAYS: Request<'static> = Request { habit: &Habit, deadline: Deadline::NEVER };

#[derive(Debug)]
struct Words(Vec<AtomicU64>);

impl Area for Words {
    fn rings(&self) -> usize {
        1
    }

    fn first(&self) -> &[AtomicU64; ring_units(0) as usize] {
        self.0.first_chunk().expect("as many as this")
    }

    fn words(&self, _: usize) -> &[AtomicU64] {
        &self.0
    }
}

/// A queue whose messages are leased.
#[derive(Debug)]
struct Work {
    ring: RawRing,
    words: Words,
    leases: RawLeases,
    copies: [AtomicU64; LEASES],
}

impl Work {
    /// With one message, of one byte, after another that is done.
    fn with(number: u8) -> Rc<Self> {
        let words = Words((0..ring_units(0)).map(|_| AtomicU64::new(0)).collect());
        let leases = RawLeases::free();
        let work = shared(Self { ring: RawRing::new(0), words, leases, copies: Default::default() });
        let send = |number| work.ring.try_send(&work.words, 1, &&[number][..], ALWAYS).unwrap();
        send(number + 1);
        let (done, _) = work.lease().unwrap();
        work.leases.finish(done.slot, || {});
        send(number);
        work
    }

    /// Leases a message, as a queue does: one that came back, or the next of the ring.
    fn lease(&self) -> Option<(Held, u64)> {
        if let Some(held) = self.leases.take_returned(&self.ring).unwrap() {
            return Some((held, self.copies[held.slot].load(Relaxed)));
        }
        let died = || self.leases.void_untaken(&self.ring);
        let (mut leased, mut bytes) = (None, Vec::new());
        let keep = |received: &Received, bytes: &mut Vec<u8>| {
            let slot = self.leases.take_free(&self.ring, || {}).unwrap().unwrap();
            self.copies[slot].store(bytes[0].into(), Relaxed);
            let held = self.leases.fill(slot, received.position, 1);
            leased = Some((held, bytes[0].into()));
            true
        };
        let received = self.ring.try_receive(&self.words, &mut bytes, ALWAYS, died, |_| {}, keep);
        assert!(received == Ok(true) || received == Err(ReceiveFault::Empty));
        leased
    }
}

/// A message is one worker's at a time, and when it is done, nobody's.
#[test]
fn a_message_is_one_workers() {
    schedules(|| {
        let work = Work::with(7);
        let other = spawn({
            let work = work.clone();
            move || work.lease().map(|(held, number)| (work.leases.finish(held.slot, || {}), number))
        });
        let mine = work.lease().map(|(held, number)| (work.leases.finish(held.slot, || {}), number));
        let theirs = other.join().unwrap();
        assert_eq!(mine.or(theirs), Some((true, 7)));
        assert!(mine.is_none() || theirs.is_none());
        assert_eq!((work.lease(), work.leases.unfinished(&work.ring)), (None, 0));
    });
}

/// A message that one gives back goes to another, whole.
#[test]
fn a_returned_message_is_anothers() {
    schedules(|| {
        let work = Work::with(7);
        let other = spawn({
            let work = work.clone();
            move || work.lease().map(|(held, _)| work.leases.give_back(held.slot))
        });
        let mine = work.lease().map(|(held, number)| (work.leases.finish(held.slot, || {}), number));
        let theirs = other.join().unwrap();
        let last = work.lease();
        match (mine, theirs) {
            (Some(mine), _) => assert_eq!((mine, last), ((true, 7), None)),
            (None, theirs) => {
                assert_eq!(theirs, Some(true));
                assert_eq!(last.map(|(held, number)| (held.attempts, number)), Some((2, 7)));
            }
        }
    });
}

/// If a worker dies, its message is delivered again, unless it was done.
#[test]
fn a_dead_workers_message_comes_back() {
    deaths(Death::Marked, |victim| {
        let work = Work::with(7);
        let (begun, done) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let dying = victim.spawn({
            let (work, begun, done) = (work.clone(), begun.clone(), done.clone());
            move || {
                if let Some((held, number)) = work.lease() {
                    assert_eq!(number, 7);
                    begun.set(true);
                    assert!(work.leases.finish(held.slot, || {}));
                    done.set(true);
                }
            }
        });
        let first = work.lease();
        let died = dying.join().unwrap().is_none();
        let second = work.lease();
        assert!(first.is_none() || second.is_none());
        let mine = first.or(second);
        assert!(mine.is_none_or(|(_, number)| number == 7));
        assert!(!done.get() || mine.is_none());
        // What nobody has finished, nor begun to finish, is there.
        assert!(begun.get() || mine.is_some());
        assert!(mine.is_none_or(|(held, _)| held.attempts == 1 || died));
        assert_eq!(work.leases.unfinished(&work.ring), mine.iter().len());
    });
}
