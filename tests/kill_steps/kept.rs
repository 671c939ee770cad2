//! A queue of which one thread keeps a side's lock: it dies inside without having taken any, or another
//! dies while it takes the lock away.

use commons::Queue;

use super::{
    harness::{Died, Scene, kill_after_every_instruction},
    ptrace::Marker,
    queue::{PROMPT, promptly},
};

type Numbers = Queue<u64>;

/// More than it takes to keep a lock.
const OFTEN: u64 = 200;

/// Sends and receives until the calling thread keeps both locks.
fn keep(queue: &Numbers) {
    for number in 0..OFTEN {
        queue.send(&number).unwrap();
        assert_eq!(queue.recv().unwrap(), number);
    }
}

/// The messages that wait when the steps begin.
fn fill(queue: &Numbers) {
    queue.send(&1).unwrap();
    queue.send(&2).unwrap();
}

fn recv(queue: &Numbers) -> u64 {
    promptly("a receive", || queue.recv_timeout(PROMPT)).unwrap()
}

/// What a worker does between its markers.
#[derive(Clone, Copy)]
enum Task {
    Send,
    Recv,
}

struct Kept {
    queue: Numbers,
    task: Task,
    /// Whether this process keeps the locks, and the worker takes one away.
    here: bool,
}

impl Scene for Kept {
    /// Who takes a lock away watches its keeper for a moment, which is no number of instructions.
    const JITTER: u64 = 5000;

    fn stride(&self) -> u64 {
        if self.here { 23 } else { 1 }
    }

    fn before_start(&mut self) {
        if self.here {
            // A new handle has no bad memories of others that took the lock away.
            self.queue = self.queue.clone();
            keep(&self.queue);
            fill(&self.queue);
        }
    }

    fn check(&mut self) -> Died {
        let queue = &self.queue;
        let waiting = queue.len();
        promptly("a send", || queue.send_timeout(&9, PROMPT)).unwrap();
        assert_eq!(queue.len(), waiting + 1, "counted before anybody has mended anything");
        let left: Vec<u64> = (0..queue.len()).map(|_| recv(queue)).collect();
        assert!(queue.is_empty());
        match (self.task, &left[..]) {
            (_, [1, 2, 9]) => Died::Before,
            (Task::Send, [1, 2, 3, 9]) | (Task::Recv, [2, 9]) => Died::After,
            (_, other) => panic!("left: {other:?}"),
        }
    }
}

fn deaths(name: &str, task: Task, here: bool) {
    let queue = Numbers::bounded(1000).unwrap();
    let worker = match (task, here) {
        (Task::Send, true) => send,
        (Task::Recv, true) => receive,
        (Task::Send, false) => |queue: Numbers| {
            keep(&queue);
            fill(&queue);
            send(queue);
        },
        (Task::Recv, false) => |queue: Numbers| {
            keep(&queue);
            fill(&queue);
            receive(queue);
        },
    };
    let scene = &mut Kept { queue: queue.clone(), task, here };
    kill_after_every_instruction(name, &queue, worker, scene);
}

fn send(queue: Numbers) {
    let marker = Marker::when_traced();
    marker.hit();
    queue.send(&3).unwrap();
    marker.hit();
}

fn receive(queue: Numbers) {
    let marker = Marker::when_traced();
    marker.hit();
    assert_eq!(queue.recv().unwrap(), 1);
    marker.hit();
}

#[test]
fn who_keeps_the_senders_lock_has_sent_or_not() {
    deaths("send, kept", Task::Send, false);
}

#[test]
fn who_keeps_the_receivers_lock_has_taken_or_not() {
    deaths("recv, kept", Task::Recv, false);
}

#[test]
fn who_takes_the_senders_lock_away_has_sent_or_not() {
    deaths("send, taken away", Task::Send, true);
}

#[test]
fn who_takes_the_receivers_lock_away_has_taken_or_not() {
    deaths("recv, taken away", Task::Recv, true);
}
