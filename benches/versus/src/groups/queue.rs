//! Messages from producers to consumers: ours between processes, others as they can.

use commons::{Message, Queue};
use serde::{Deserialize, Serialize};

use crate::{
    cpus::Side,
    crew::{Crew, Post},
    measure::{CROWDED_ROUND, Made, ROUND, repeat_alone},
    peers::{copies, crossbeam, ipc_channel, python, standard},
    row::{NO_TARGET, Row},
};

const GROUP: &str = "queue";

const fn row(name: &'static str, peer: &'static str, target: f64, ours: Maker, theirs: Maker) -> Row {
    Row { group: GROUP, name, peer, target, round: ROUND, ours, theirs }
}

/// With more members than a small machine has CPUs.
const fn crowded(name: &'static str, ours: Maker, theirs: Maker) -> Row {
    Row { round: CROWDED_ROUND, ..row(name, "crossbeam", 0.70, ours, theirs) }
}

type Maker = fn() -> Made;

pub(crate) const ROWS: &[Row] = &[
    row("u64", "crossbeam", 0.80, || ours::<u64>(ONE_TO_ONE), || crossbeam::queue::<u64>(ONE_TO_ONE)),
    row("64-bytes", "crossbeam", 0.80, || ours::<Line>(ONE_TO_ONE), || crossbeam::queue::<Line>(ONE_TO_ONE)),
    crowded("2x2", || ours::<u64>(TWO_TO_TWO), || crossbeam::queue::<u64>(TWO_TO_TWO)),
    crowded("4x4", || ours::<u64>(FOUR_TO_FOUR), || crossbeam::queue::<u64>(FOUR_TO_FOUR)),
    row("one-cpu", "crossbeam", 1.00, || ours::<u64>(ON_ONE_CPU), || crossbeam::queue::<u64>(ON_ONE_CPU)),
    row("alone", "crossbeam", NO_TARGET, ours_alone, crossbeam::alone),
    row(
        "std",
        "std-sync_channel",
        NO_TARGET,
        || ours::<u64>(ONE_TO_ONE),
        || standard::sync_channel(ONE_TO_ONE),
    ),
    row("ipc-channel", "ipc-channel", 0.03, || ours::<u64>(ONE_TO_ONE), || ipc_channel::queue(ONE_TO_ONE)),
    row("python", "python-queue", 0.005, || ours::<u64>(ONE_TO_ONE), python_queue),
    row("1-MiB", "two-memcpys", 1.50, mebibytes, || copies::twice(MEBIBYTE)),
];

/// How many messages may wait, on either side.
pub(crate) const CAPACITY: usize = 1024;

/// Who is there, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
    /// The CPU of producers and of consumers; `None` leaves it to the scheduler.
    seats: Option<[Side; 2]>,
}

const ONE_TO_ONE: Shape = Shape { producers: 1, consumers: 1, seats: Some([Side::Leader, Side::Partner]) };
const TWO_TO_TWO: Shape = Shape { producers: 2, consumers: 2, seats: None };
const FOUR_TO_FOUR: Shape = Shape { producers: 4, consumers: 4, seats: None };
const ON_ONE_CPU: Shape = Shape { producers: 1, consumers: 1, seats: Some([Side::Leader, Side::Leader]) };

/// What a member of a crew does; the number is that of its like.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Job<S, R> {
    Send(S, u64),
    Receive(R, u64),
}

impl Shape {
    /// The jobs of producers and consumers, with a copy of their end each.
    pub(crate) fn jobs<S: Clone, R: Clone>(self, sender: &S, receiver: &R) -> Vec<(Option<Side>, Job<S, R>)> {
        let send = Job::Send(sender.clone(), self.producers as u64);
        let receive = Job::Receive(receiver.clone(), self.consumers as u64);
        let mut jobs = vec![(self.seats.map(|[seat, _]| seat), send); self.producers];
        jobs.resize(self.producers + self.consumers, (self.seats.map(|[_, seat]| seat), receive));
        jobs
    }

    /// By what a number of messages must be divisible to be shared out.
    pub(crate) fn share(self) -> u64 {
        (self.producers * self.consumers) as u64
    }
}

/// What is sent: the `n`-th message, and back.
pub(crate) trait Parcel: Message + Clone {
    fn number(n: u64) -> Self;
}

impl Parcel for u64 {
    fn number(n: u64) -> Self {
        n
    }
}

/// A cache line.
pub(crate) type Line = [u64; 8];

impl Parcel for Line {
    fn number(n: u64) -> Self {
        [n; 8]
    }
}

fn ours<T: Parcel>(shape: Shape) -> Made {
    let queue = Queue::<T>::bounded(CAPACITY).map_err(|error| error.to_string())?;
    Crew::processes(shape.jobs(&queue, &queue), work::<T>)?.contestant(shape.share())
}

/// One thread that sends many and then receives them: what a message costs where no cache line moves.
pub(crate) fn alone(mut send: impl FnMut(u64) + 'static, mut recv: impl FnMut() -> u64 + 'static) -> Made {
    const BATCH: u64 = 500;
    Ok(Box::new(move |count| {
        let batches = count.div_ceil(BATCH);
        let elapsed = repeat_alone(batches, || {
            (0..BATCH).for_each(&mut send);
            (0..BATCH).fold(0, |sum: u64, _| sum.wrapping_add(recv()))
        });
        elapsed * count as f64 / (batches * BATCH) as f64
    }))
}

fn ours_alone() -> Made {
    let queue = Queue::<u64>::bounded(CAPACITY).map_err(|error| error.to_string())?;
    let receiver = queue.clone();
    alone(
        move |n| queue.send(&n).expect("nobody closes it"),
        move || receiver.recv().expect("nobody closes it"),
    )
}

fn work<T: Parcel>((post, job): (Post, Job<Queue<T>, Queue<T>>)) {
    post.attend(|turn| match &job {
        Job::Send(queue, producers) => {
            for n in 0..turn.count() / producers {
                queue.send(&T::number(n)).expect("nobody closes it");
            }
        }
        Job::Receive(queue, consumers) => {
            for _ in 0..turn.count() / consumers {
                std::hint::black_box(queue.recv().expect("nobody closes it"));
            }
        }
    });
}

const MEBIBYTE: usize = 1 << 20;

fn mebibytes() -> Made {
    let queue = Queue::<Vec<u8>>::bounded(CAPACITY).map_err(|error| error.to_string())?;
    let crew =
        Crew::processes(ONE_TO_ONE.jobs(&queue, &queue), |(post, job): (Post, Job<Queue<Vec<u8>>, _>)| {
            let mut buffer = vec![7; MEBIBYTE];
            post.attend(|turn| match &job {
                Job::Send(queue, _) => {
                    for _ in 0..turn.count() {
                        queue.send_bytes(&buffer).expect("nobody closes it");
                    }
                }
                Job::Receive(queue, _) => {
                    let queue: &Queue<Vec<u8>> = queue;
                    for _ in 0..turn.count() {
                        queue.recv_bytes(&mut buffer).expect("nobody closes it");
                    }
                }
            });
        })?;
    crew.contestant(1)
}

/// Python times itself: the first send to the last receive.
fn python_queue() -> Made {
    python::contestant(
        "from multiprocessing import Process, Queue
from time import monotonic_ns

queue, counts, ends = Queue(1024), Queue(), Queue()

def receive():
    while True:
        for _ in range(counts.get()):
            queue.get()
        ends.put(monotonic_ns())

Process(target=receive, daemon=True).start()

def run(count):
    counts.put(count)
    start = monotonic_ns()
    for number in range(count):
        queue.put(number)
    return ends.get() - start
",
    )
}
