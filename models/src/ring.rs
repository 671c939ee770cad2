//! The ring: every message that was committed arrives whole, in order, and once.

use std::{cell::RefCell, rc::Rc};

use crate::{
    deadline::Deadline,
    primitive::{AtomicU64, Ordering::Relaxed},
    raw::{
        biased::Request,
        habit::Habit,
        ring::{Area, Pace, RawRing, ReceiveFault, Received, SendFault, ring_units},
    },
    scene::{Death, any_died, deaths, schedules, shared, spawn},
};

/// Memory for one or two rings, and behind them a word for each byte that fits into none.
#[derive(Debug)]
struct Words {
    rings: Vec<Vec<AtomicU64>>,
    behind: [AtomicU64; 4],
}

impl Area for Words {
    fn rings(&self) -> usize {
        self.rings.len()
    }

    fn first(&self) -> &[AtomicU64; ring_units(0) as usize] {
        self.rings[0].first_chunk().expect("as many as this")
    }

    fn words(&self, ring: usize) -> &[AtomicU64] {
        &self.rings[ring]
    }
}

/// A queue of numbers. Each message is its number twice, and the smallest ring has room for one.
#[derive(Debug)]
struct Queue {
    ring: RawRing,
    words: Words,
}

/// What stands where memory was given back.
const GONE: u64 = u64::MAX;

/// Who takes a lock waits for it, and keeps it.
const ALWAYS: Request<'static> = Request { habit: &Habit, deadline: Deadline::NEVER };

/// All rings are there from the beginning.
const MADE: u32 = u32::MAX;

impl Queue {
    fn with(rings: usize) -> Rc<Self> {
        let words = |ring| (0..ring_units(ring)).map(|_| AtomicU64::new(0)).collect();
        let rings = (0..rings).map(words).collect();
        shared(Self { ring: RawRing::new(0), words: Words { rings, behind: Default::default() } })
    }

    /// Waits for room, unless somebody has died meanwhile.
    fn send(&self, number: u64) -> Result<(), SendFault> {
        let bytes = bytes_of(number);
        let attempt = || {
            let sent = self.ring.send_simply(&self.words, &&*bytes, ALWAYS.habit);
            if sent { Ok(()) } else { self.ring.try_send(&self.words, MADE, &&*bytes, ALWAYS) }
        };
        self.ring.send(attempt, &Pace, Deadline::NEVER, || !any_died())
    }

    /// Sends a number by way of the memory behind the rings, where it takes one byte. One may wait.
    fn send_elsewhere(&self, number: u64) -> Result<(), SendFault> {
        let write = |begin: u64| {
            self.words.behind[begin as usize].store(number, Relaxed);
            true
        };
        let attempt = || self.ring.try_send_elsewhere(&self.words, MADE, 1, 1, ALWAYS, write);
        self.ring.send(attempt, &Pace, Deadline::NEVER, || !any_died())
    }

    fn try_receive(&self) -> Result<u64, ReceiveFault> {
        let mut bytes = Vec::new();
        let keep = |received: &Received, bytes: &mut Vec<u8>| {
            if let Some((begin, len)) = received.elsewhere {
                assert_eq!(len, 1);
                *bytes = bytes_of(self.words.behind[begin as usize].load(Relaxed));
            }
            true
        };
        let give_back = |to: u64| {
            (0..to).for_each(|byte| self.words.behind[byte as usize].store(GONE, Relaxed));
        };
        if !self.ring.receive_simply(&self.words, &mut bytes, ALWAYS.habit) {
            self.ring.try_receive(&self.words, &mut bytes, ALWAYS, || {}, give_back, keep)?;
        }
        let (first, second) = bytes.split_at(8);
        assert_eq!(first, second, "torn");
        Ok(u64::from_ne_bytes(first.try_into().expect("8 bytes")))
    }

    /// Waits for a message; nothing if there is none when somebody has died or it was closed.
    fn receive(&self) -> Option<u64> {
        loop {
            match self.try_receive() {
                Ok(number) => return Some(number),
                Err(ReceiveFault::Closed) => return None,
                Err(fault) => assert_eq!(fault, ReceiveFault::Empty),
            }
            let gave_up = std::cell::Cell::new(false);
            let idle = || {
                gave_up.set(any_died());
                gave_up.get()
            };
            let waited =
                self.ring.wait_for_message(&self.words, &Pace, Deadline::NEVER, || false, idle, false);
            assert!(waited);
            if gave_up.get() {
                return self.try_receive().ok();
            }
        }
    }

    /// What is left, without waiting; then it takes one more.
    fn drain(&self) -> Vec<u64> {
        let left: Vec<u64> = std::iter::from_fn(|| self.try_receive().ok()).collect();
        assert_eq!(self.ring.try_send(&self.words, MADE, &&*bytes_of(99), ALWAYS), Ok(()));
        assert_eq!(
            (self.ring.len(&self.words), self.try_receive(), self.ring.len(&self.words)),
            (1, Ok(99), 0)
        );
        assert_eq!(self.send_elsewhere(100), Ok(()));
        assert_eq!(self.try_receive(), Ok(100));
        left
    }
}

fn bytes_of(number: u64) -> Vec<u8> {
    number.to_ne_bytes().repeat(2)
}

/// One sends two messages through a ring with room for one, another receives them: whole and in
/// order, and neither sleeps through what it waits for.
#[test]
fn a_message_follows_the_other() {
    schedules(|| {
        let queue = Queue::with(1);
        let sending = spawn({
            let queue = queue.clone();
            move || [1, 2].map(|number| queue.send(number).unwrap())
        });
        assert_eq!([1, 2].map(|_| queue.receive()), [Some(1), Some(2)]);
        sending.join().unwrap();
        assert_eq!(queue.drain(), []);
    });
}

/// The same when the second message goes to a larger ring, and the third back to the first.
#[test]
fn messages_go_from_ring_to_ring() {
    schedules(|| {
        let queue = Queue::with(2);
        let sending = spawn({
            let queue = queue.clone();
            move || [1, 2, 3].map(|number| queue.send(number).unwrap())
        });
        assert_eq!([1, 2, 3].map(|_| queue.receive()), [1, 2, 3].map(Some));
        sending.join().unwrap();
        assert_eq!(queue.drain(), []);
    });
}

/// The same by way of the memory behind the rings.
#[test]
fn large_messages_follow_each_other() {
    schedules(|| {
        let queue = Queue::with(1);
        let sending = spawn({
            let queue = queue.clone();
            move || [1, 2].map(|number| queue.send_elsewhere(number).unwrap())
        });
        assert_eq!([1, 2].map(|_| queue.receive()), [Some(1), Some(2)]);
        sending.join().unwrap();
        assert_eq!(queue.drain(), []);
    });
}

/// What two send arrives, each once.
#[test]
fn two_senders_share_it() {
    schedules(|| {
        let queue = Queue::with(2);
        let sending = [1, 2].map(|number| {
            let queue = queue.clone();
            spawn(move || queue.send(number).unwrap())
        });
        let mut received = [1, 2].map(|_| queue.receive().unwrap());
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
        sending.into_iter().for_each(|sending| sending.join().unwrap());
        assert_eq!(queue.drain(), []);
    });
}

/// Of two receivers each gets one, and none the other's.
#[test]
fn two_receivers_share_it() {
    schedules(|| {
        let queue = Queue::with(2);
        let receiving = [1, 2].map(|_| {
            let queue = queue.clone();
            spawn(move || queue.receive().unwrap())
        });
        [1, 2].into_iter().for_each(|number| queue.send(number).unwrap());
        let mut received = receiving.map(|receiving| receiving.join().unwrap());
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
        assert_eq!(queue.drain(), []);
    });
}

/// What was sent before it was closed arrives, and then everybody hears that it is closed.
#[test]
fn a_closed_ring_is_emptied() {
    schedules(|| {
        let queue = Queue::with(1);
        let receiving = spawn({
            let queue = queue.clone();
            move || [1, 2].map(|_| queue.receive())
        });
        queue.send(1).unwrap();
        queue.ring.close();
        assert_eq!(queue.send(2), Err(SendFault::Closed));
        assert_eq!(receiving.join().unwrap(), [Some(1), None]);
    });
}

/// Runs a sender that dies; what arrives is what it sent, perhaps without its last, and nothing else.
fn all_but_the_last_arrive(rings: usize, send: fn(&Queue, u64) -> Result<(), SendFault>) {
    deaths(Death::MarkedAndTimed, move |victim| {
        let queue = Queue::with(rings);
        let sent = Rc::new(RefCell::new(Vec::new()));
        let dying = victim.spawn({
            let (queue, sent) = (queue.clone(), sent.clone());
            move || {
                for number in [1, 2] {
                    send(&queue, number).unwrap();
                    sent.borrow_mut().push(number);
                }
            }
        });
        let mut received = Vec::new();
        while received.len() < 2 {
            let Some(number) = queue.receive() else { break };
            received.push(number);
        }
        dying.join().unwrap();
        received.extend(queue.drain());
        let sent = sent.take();
        assert!([1, 2].starts_with(&received));
        assert!(received.len() == sent.len() || received.len() == sent.len() + 1);
    });
}

/// A sender that dies has sent its last message or not, and the next sender goes on behind it.
#[test]
fn a_dead_senders_messages_arrive() {
    all_but_the_last_arrive(1, Queue::send);
}

/// The same where it dies on the way to a larger ring.
#[test]
fn a_sender_dies_between_rings() {
    all_but_the_last_arrive(2, Queue::send);
}

/// The same by way of the memory behind the rings.
#[test]
fn a_sender_of_large_messages_dies() {
    all_but_the_last_arrive(1, Queue::send_elsewhere);
}

/// Runs a receiver that dies; the next one gets what is left, and one message at most is lost.
fn all_but_one_are_left(send: fn(&Queue, u64) -> Result<(), SendFault>) {
    deaths(Death::MarkedAndTimed, move |victim| {
        let queue = Queue::with(1);
        let received = Rc::new(RefCell::new(Vec::new()));
        let dying = victim.spawn({
            let (queue, received) = (queue.clone(), received.clone());
            move || {
                for _ in 0..2 {
                    let number = queue.receive().unwrap();
                    received.borrow_mut().push(number);
                }
            }
        });
        // For want of a receiver the second may not be sent.
        let sent: Vec<u64> = [1, 2].into_iter().take_while(|&number| send(&queue, number).is_ok()).collect();
        let died = dying.join().unwrap().is_none();
        let received = received.take();
        let left = queue.drain();
        let whole = [&received[..], &left].concat() == sent;
        let lost_one = received.len() < sent.len() && left == sent[received.len() + 1..];
        assert!(sent.starts_with(&received) && (whole || died && lost_one));
        assert!(died || received == [1, 2]);
    });
}

/// A receiver that dies has taken its last message or not; what it did not take, the next one gets.
#[test]
fn a_dead_receiver_takes_one_at_most() {
    all_but_one_are_left(Queue::send);
}

/// The same by way of the memory behind the rings, which is given back only when the message is taken.
#[test]
fn a_receiver_of_large_messages_dies() {
    all_but_one_are_left(Queue::send_elsewhere);
}
