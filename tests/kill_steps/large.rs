//! Messages that are not simply behind the one before: in a larger ring, or in no ring.

use std::{fmt, time::Duration};

use commons::Queue;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    harness::{Died, Scene, kill_after_every_instruction},
    ptrace::Marker,
    queue::{PROMPT, message, promptly},
};

/// Bytes that are written and read together, and not one by one as a vector's.
#[derive(PartialEq)]
struct Blob(Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl de::Visitor<'_> for Read {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Read)
    }
}

/// What the worker is to do with the large message.
#[derive(Clone, Copy, PartialEq)]
enum Task {
    Send,
    Recv,
    Lease,
    Done,
}

/// Three messages, the second of which the worker sends, takes, leases or finishes.
struct Large<const CALLS: bool> {
    queue: Bytes,
    task: Task,
    lens: [usize; 3],
    stride: u64,
}

impl<const CALLS: bool> Large<CALLS> {
    fn send(&self, number: u8) {
        let blob = Blob(message(number, self.lens[number as usize - 1]));
        promptly("a send", || self.queue.send_timeout(&blob, PROMPT)).unwrap();
    }

    /// Takes messages until none is left; their numbers.
    fn recv_all(&self) -> Vec<u8> {
        let mut numbers = Vec::new();
        while self.queue.join_timeout(Duration::ZERO).is_err() {
            let Blob(bytes) = promptly("a receive", || self.queue.recv_timeout(PROMPT)).unwrap();
            let number = bytes.first().copied().unwrap_or_default();
            let len = self.lens[number.clamp(1, 3) as usize - 1];
            assert!(bytes == message(number, len), "{} bytes, number {number}: torn", bytes.len());
            numbers.push(number);
        }
        numbers
    }
}

impl<const CALLS: bool> Scene for Large<CALLS> {
    const AFTER_CALLS: Option<u64> = if CALLS { Some(400) } else { None };
    // The instructions after one call are the same as those before the next; and a place in memory for
    // bytes is found sooner or later.
    const JITTER: u64 = if CALLS { u64::MAX / 2 } else { 1000 };

    fn stride(&self) -> u64 {
        self.stride
    }

    fn before_start(&mut self) {
        self.send(1);
        if self.task != Task::Send {
            self.send(2);
            self.send(3);
        }
    }

    fn check(&mut self) -> Died {
        if self.task == Task::Send {
            self.send(3);
        }
        match (self.task, &self.recv_all()[..]) {
            (Task::Send, [1, 3]) => Died::Before,
            (Task::Send, [1, 2, 3]) => Died::After,
            (Task::Recv | Task::Lease, [2, 3]) => Died::Before,
            (Task::Recv, [3]) => Died::After,
            (Task::Lease, [3, 2]) => Died::After,
            (Task::Done, [3, 2]) => Died::Before,
            (Task::Done, [3]) => Died::After,
            (_, other) => panic!("received: {other:?}"),
        }
    }
}

type Bytes = Queue<Blob>;
type Handles = (Bytes, usize);

fn send((queue, len): Handles) {
    let blob = Blob(message(2, len));
    // Another queue, in which everything is done for the first time.
    let first = Bytes::options().bytes(64 << 10).unbounded().unwrap();
    first.send(&blob).unwrap();
    let marker = Marker::when_traced();
    marker.hit();
    queue.send(&blob).unwrap();
    marker.hit();
}

fn recv((queue, _): Handles) {
    let marker = Marker::when_traced();
    drop(queue.recv().unwrap());
    marker.hit();
    let blob = queue.recv().unwrap();
    marker.hit();
    drop(blob);
}

fn lease((queue, _): Handles) {
    let marker = Marker::when_traced();
    queue.lease().unwrap().done().unwrap();
    marker.hit();
    let lease = queue.lease().unwrap();
    marker.hit();
    drop(lease);
}

fn done((queue, _): Handles) {
    let marker = Marker::when_traced();
    queue.lease().unwrap().done().unwrap();
    let lease = queue.lease().unwrap();
    marker.hit();
    lease.done().unwrap();
    marker.hit();
}

/// `bytes` is what the queue keeps in rings.
fn deaths<const CALLS: bool>(name: &str, task: Task, bytes: u64, lens: [usize; 3], stride: u64) {
    let queue: Bytes = Queue::options().bytes(bytes).unbounded().unwrap();
    let worker = match task {
        Task::Send => send,
        Task::Recv => recv,
        Task::Lease => lease,
        Task::Done => done,
    };
    let mut scene = Large::<CALLS> { queue: queue.clone(), task, lens, stride };
    kill_after_every_instruction(name, &(queue, lens[1]), worker, &mut scene);
}

/// The first message fills the smallest ring, so that the second enters the next one; and the first of
/// the next round goes back.
const FILLS: [usize; 3] = [130_836, 250, 100];

#[test]
fn a_message_that_enters_a_larger_ring_is_sent_or_not() {
    deaths::<false>("send, larger ring", Task::Send, 1 << 20, FILLS, 29);
}

#[test]
fn a_message_in_a_larger_ring_is_taken_or_not() {
    deaths::<false>("recv, larger ring", Task::Recv, 1 << 20, FILLS, 13);
}

/// The second is larger than the only ring.
const ELSEWHERE: [usize; 3] = [10, 140_000, 20];

#[test]
fn a_message_in_no_ring_is_sent_or_not() {
    deaths::<true>("send, no ring", Task::Send, 64 << 10, ELSEWHERE, 23);
}

#[test]
fn a_message_in_no_ring_is_taken_or_not() {
    deaths::<true>("recv, no ring", Task::Recv, 64 << 10, ELSEWHERE, 23);
}

#[test]
fn a_message_in_no_ring_is_leased_or_not() {
    deaths::<true>("lease, no ring", Task::Lease, 64 << 10, ELSEWHERE, 23);
}

/// Its copy is large too, and given back when it is done.
#[test]
fn a_large_lease_is_done_or_comes_again() {
    deaths::<true>("lease done, large", Task::Done, 64 << 10, ELSEWHERE, 23);
}
