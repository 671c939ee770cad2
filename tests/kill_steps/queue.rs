//! A queue: a message is sent or not, taken or not, whole and in order; a leased one comes again.
//!
//! The messages lie around the end of the smallest ring, at another place each time: a header that is
//! the last word, one whose next header is the first, and bytes that go on at the beginning.

use std::time::{Duration, Instant};

use commons::{Queue, TryRecvError};

use super::{
    harness::{Died, Scene, kill_after_every_instruction},
    ptrace::Marker,
};

/// What the next operation after a death may take. It takes 100 ms at the most, but other tests want
/// the processors too; one that hangs never ends.
pub(crate) const PROMPT: Duration = Duration::from_secs(5);

/// Words of the smallest ring.
const RING: u64 = 16384;

/// Words that a message of so many bytes takes, with its header.
fn words(len: usize) -> u64 {
    1 + len.div_ceil(8) as u64
}

/// The bytes of the message with this number; they are all different from the next one's.
pub(crate) fn message(number: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31).wrapping_add(number)).collect()
}

/// Does it, in bounded time.
#[track_caller]
pub(crate) fn promptly<R>(what: &str, act: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let answer = act();
    assert!(start.elapsed() < PROMPT, "{what} took {:?}", start.elapsed());
    answer
}

pub(crate) type Bytes = Queue<Vec<u8>>;

/// A queue that works in one ring, and where its next message will be.
struct Ring {
    queue: Bytes,
    tail: u64,
}

impl Ring {
    fn new() -> Self {
        Self { queue: Queue::options().bytes(64 << 10).unbounded().unwrap(), tail: 0 }
    }

    /// Has the next message begin so many words before the end of the ring. The queue is empty.
    fn turn_to(&mut self, words_before_end: u64) {
        let gap = (2 * RING - words_before_end - self.tail) % RING;
        if gap != 0 {
            let filler = vec![0xee; (gap as usize - 1) * 8];
            self.send(&filler);
            assert_eq!(self.recv(), Some(filler));
        }
        assert_eq!(self.tail, RING - words_before_end);
    }

    #[track_caller]
    fn send(&mut self, bytes: &[u8]) {
        promptly("a send", || self.queue.send_bytes_timeout(bytes, PROMPT)).unwrap();
        self.passed(bytes.len());
    }

    /// A message of this length was sent, by whomever.
    fn passed(&mut self, len: usize) {
        self.tail = (self.tail + words(len)) % RING;
    }

    /// The next message, if there is one.
    #[track_caller]
    fn recv(&self) -> Option<Vec<u8>> {
        promptly("a receive", || match self.queue.try_recv_bytes(&mut []) {
            Ok(_) => Some(Vec::new()),
            Err(TryRecvError::Empty) => None,
            Err(error) => Some(error.into_message().expect("nothing but a message can be too long")),
        })
    }

    #[track_caller]
    fn assert_empty(&self) {
        assert_eq!(self.recv(), None, "a message too many");
        assert_eq!(self.queue.len(), 0);
    }
}

/// Where the message of a length can lie that the steps are about: its header is each of the last
/// words of the ring once, or the first of all.
fn place(kills: u64, len: usize) -> u64 {
    kills % (words(len) + 1)
}

/// One worker sends a message after another, and dies in the second.
struct Send {
    ring: Ring,
    len: usize,
    kills: u64,
}

impl Scene for Send {
    fn stride(&self) -> u64 {
        if self.len == 100 { 2 } else { 3 }
    }

    fn before_start(&mut self) {
        let before = place(self.kills, self.len) + words(self.len);
        self.ring.turn_to(before);
        self.kills += 1;
    }

    fn check(&mut self) -> Died {
        let Self { ring, len, .. } = self;
        ring.passed(*len);
        let before = ring.tail;
        let waiting = ring.queue.len();
        ring.send(b"survivor");
        let sent = ring.queue.len();
        assert_eq!(waiting + 1, sent, "counted before anybody has mended anything");
        assert_eq!(ring.recv(), Some(message(1, *len)), "the message before");
        let mut next = ring.recv();
        let died = if next == Some(message(2, *len)) && sent == 3 {
            next = ring.recv();
            ring.passed(*len);
            Died::After
        } else {
            assert_eq!(sent, 2, "counted wrong with the worker's message not sent: {next:?}");
            Died::Before
        };
        assert_eq!(next.as_deref(), Some(&b"survivor"[..]), "behind a message at {before}");
        ring.assert_empty();
        died
    }
}

/// Sends as many bytes as it is told.
fn send((queue, len): (Bytes, usize)) {
    let messages = [message(1, len), message(2, len)];
    let marker = Marker::when_traced();
    queue.send_bytes(&messages[0]).unwrap();
    marker.hit();
    queue.send_bytes(&messages[1]).unwrap();
    marker.hit();
}

fn deaths_in_send(len: usize) {
    let mut scene = Send { ring: Ring::new(), len, kills: 0 };
    let queue = scene.ring.queue.clone();
    kill_after_every_instruction(&format!("send, {len} bytes"), &(queue, len), send, &mut scene);
}

#[test]
fn an_empty_message_is_sent_or_not() {
    deaths_in_send(0);
}

#[test]
fn a_message_of_one_word_is_sent_or_not() {
    deaths_in_send(8);
}

#[test]
fn a_message_that_wraps_is_sent_or_not() {
    deaths_in_send(100);
}

/// One worker takes a message after another, and dies in the second.
struct Recv {
    ring: Ring,
    len: usize,
    kills: u64,
}

impl Scene for Recv {
    fn stride(&self) -> u64 {
        7
    }

    fn before_start(&mut self) {
        let Self { ring, len, kills } = self;
        ring.turn_to(place(*kills, *len) + words(*len));
        (1..=4).for_each(|number| ring.send(&message(number, *len)));
        *kills += 1;
    }

    fn check(&mut self) -> Died {
        let Self { ring, len, .. } = self;
        let waiting = ring.queue.len();
        let next = ring.recv();
        let left = ring.queue.len();
        assert_eq!(waiting, left + 1, "counted before anybody has mended anything");
        // Empty messages are all the same, but can be counted.
        let died = if left == 2 { Died::Before } else { Died::After };
        let number = if left == 2 { 2 } else { 3 };
        assert_eq!(next, Some(message(number, *len)), "taken, and {left} are left");
        for number in number + 1..=4 {
            assert_eq!(ring.recv(), Some(message(number, *len)));
        }
        ring.assert_empty();
        died
    }
}

fn recv(queue: Bytes) {
    let marker = Marker::when_traced();
    let mut buffer = [0; 128];
    queue.recv_bytes(&mut buffer).unwrap();
    marker.hit();
    queue.recv_bytes(&mut buffer).unwrap();
    marker.hit();
}

fn deaths_in_recv(len: usize) {
    let mut scene = Recv { ring: Ring::new(), len, kills: 0 };
    let queue = scene.ring.queue.clone();
    kill_after_every_instruction(&format!("recv, {len} bytes"), &queue, recv, &mut scene);
}

#[test]
fn an_empty_message_is_taken_or_not() {
    deaths_in_recv(0);
}

#[test]
fn a_message_of_one_word_is_taken_or_not() {
    deaths_in_recv(8);
}

#[test]
fn a_message_that_wraps_is_taken_or_not() {
    deaths_in_recv(100);
}

/// What the worker's last step makes of its lease.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    Leased,
    Done,
    Dropped,
}

/// One worker leases the second of four messages, or has leased it and does something with it.
struct Leasing {
    ring: Ring,
    last: Last,
    kills: u64,
}

/// Bytes of a leased message; there is one more that tells their number.
const LEN: usize = 30;

impl Leasing {
    /// The number of the next message. The survivor leases it or simply takes it.
    fn next(&self) -> u8 {
        let queue = &self.ring.queue;
        let bytes = if self.kills.is_multiple_of(2) {
            promptly("a receive", || queue.recv_timeout(PROMPT)).unwrap()
        } else {
            let lease = promptly("a lease", || queue.lease_timeout(PROMPT)).unwrap();
            let bytes = lease.to_vec();
            promptly("a lease that is done", || lease.done()).unwrap();
            bytes
        };
        assert_eq!(bytes, message(bytes[0], LEN), "torn");
        bytes[0]
    }
}

impl Scene for Leasing {
    fn stride(&self) -> u64 {
        if self.last == Last::Leased { 23 } else { 2 }
    }

    fn before_start(&mut self) {
        let ring = &mut self.ring;
        ring.turn_to(place(self.kills, LEN + 1) + words(LEN + 1));
        for number in 1..=4 {
            promptly("a send", || ring.queue.send_timeout(&message(number, LEN), PROMPT)).unwrap();
            ring.passed(LEN + 1);
        }
        self.kills += 1;
    }

    fn check(&mut self) -> Died {
        let mut seen = Vec::new();
        while !self.ring.queue.is_empty() {
            seen.push(self.next());
        }
        // What is leased waits in no ring: it comes to whoever waits for it.
        let done = self.ring.queue.join_timeout(Duration::ZERO).is_ok();
        if !done {
            seen.push(self.next());
        }
        let comes_first = seen[0] == 2;
        let others: Vec<u8> = seen.iter().copied().filter(|&number| number != 2).collect();
        assert_eq!(others, [3, 4], "in order, and the first is done: {seen:?}");
        let again = seen.len() - others.len();
        assert!(again == 1 || again == 0 && self.last == Last::Done, "lost or doubled: {seen:?}");
        self.ring.assert_empty();
        promptly("a join", || self.ring.queue.join_timeout(PROMPT)).expect("nothing is left to do");
        let after = match self.last {
            Last::Leased => !comes_first,
            Last::Done => !seen.contains(&2),
            Last::Dropped => comes_first,
        };
        if after { Died::After } else { Died::Before }
    }
}

fn deaths_with_a_lease(name: &str, last: Last, worker: fn(Bytes)) {
    let mut scene = Leasing { ring: Ring::new(), last, kills: 0 };
    let queue = scene.ring.queue.clone();
    kill_after_every_instruction(name, &queue, worker, &mut scene);
}

#[test]
fn a_message_is_leased_or_not() {
    deaths_with_a_lease("lease", Last::Leased, |queue| {
        let marker = Marker::when_traced();
        queue.lease().unwrap().done().unwrap();
        marker.hit();
        let lease = queue.lease().unwrap();
        marker.hit();
        drop(lease);
    });
}

#[test]
fn a_lease_is_done_or_comes_again() {
    deaths_with_a_lease("lease done", Last::Done, |queue| {
        let marker = Marker::when_traced();
        queue.lease().unwrap().done().unwrap();
        let lease = queue.lease().unwrap();
        marker.hit();
        lease.done().unwrap();
        marker.hit();
    });
}

#[test]
fn a_dropped_lease_comes_again_once() {
    deaths_with_a_lease("lease dropped", Last::Dropped, |queue| {
        let marker = Marker::when_traced();
        drop(queue.lease().unwrap());
        queue.lease().unwrap().done().unwrap();
        let lease = queue.lease().unwrap();
        marker.hit();
        drop(lease);
        marker.hit();
    });
}
