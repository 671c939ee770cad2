//! Producers and consumers of one queue are killed at random, and every message is accounted for.
//!
//! The oracle is a journal under no lock. A producer notes what it is about to send and what it has
//! sent; a consumer counts each message that it got. Every worker is a new one, with a number of its
//! own, so its messages are numbered from 0: all that it noted as sent must have arrived, the one that
//! it was about to send may have, and nothing else.
//!
//! A consumer that simply receives takes one message with it at the most. One that leases takes none;
//! it leaves one at the most that was worked on and comes again.

mod common;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use common::{
    chance::{Chance, number, seed},
    watchdog::watchdog,
};
use commons::{AtomicArray, Exit, Process, Queue, RecvError};

commons::init_in_tests!();

const PRODUCERS: usize = 3;
const CONSUMERS: usize = 3;

/// Messages of one producer at the most; then it ends and there is a new one.
const MOST: usize = 1 << 14;

/// Producers that ended by themselves, at the most.
const RESERVE: usize = 200;

/// How many messages may wait.
const LIMIT: usize = 64;

/// Longer than anything here takes; a queue that does not move for so long is blocked.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who sent it, its number, and bytes that follow from both.
type Message = (u32, u32, Vec<u8>);

/// Some bytes mostly, and now and then more than the smaller rings hold.
fn message(producer: u32, number: u32) -> Message {
    let len = match (producer.wrapping_mul(7919) ^ number.wrapping_mul(31)) % 512 {
        0 => 70_000,
        1..8 => 9000,
        n => n % 200,
    };
    let byte = |at: u32| (at ^ producer ^ number) as u8;
    (producer, number, (0..len).map(byte).collect())
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Journal {
    queue: Queue<Message>,
    /// By producer: how many it was about to send, and how many it has sent.
    intended: AtomicArray<u32>,
    sent: AtomicArray<u32>,
    /// By producer and number: how often it was got.
    got: AtomicArray<u32>,
    /// Stop, and panics.
    flags: AtomicArray<u32>,
}

const STOP: usize = 0;
const PANICS: usize = 1;

impl Journal {
    fn new(producers: usize) -> Self {
        let queue = Queue::options().bytes(256 << 10).bounded(LIMIT).unwrap();
        let array = |len| AtomicArray::new(len).unwrap();
        let (intended, sent, got) = (array(producers), array(producers), array(producers * MOST));
        Self { queue, intended, sent, got, flags: array(2) }
    }

    fn stops(&self) -> bool {
        self.flags.load(STOP) != 0
    }

    /// A panic counts, although the worker may be killed while it still prints it.
    fn count_panics(&self) {
        let (journal, print) = (self.clone(), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |info| {
            journal.flags.fetch_add(PANICS, 1);
            print(info);
        }));
    }

    fn get(&self, message: &Message) {
        self.got.fetch_add(message.0 as usize * MOST + message.1 as usize, 1);
    }
}

/// Sleeps a moment now and then, so that the queue is empty sometimes and full sometimes.
fn rest(chance: &mut Chance) {
    if chance.one_in(24) {
        std::thread::sleep(Duration::from_micros(chance.below(500) as u64));
    }
}

fn produce((journal, me, seed): (Journal, u32, u64)) {
    journal.count_panics();
    let mut chance = Chance::new(seed);
    for number in 0..MOST as u32 {
        if journal.stops() {
            return;
        }
        rest(&mut chance);
        let message = message(me, number);
        journal.intended.store(me as usize, number + 1);
        journal.queue.send_timeout(&message, PATIENCE).expect("there is room in time");
        journal.sent.store(me as usize, number + 1);
    }
}

/// What a consumer knows of each producer: the number that must come next, or a later one.
#[derive(Default)]
struct Order(BTreeMap<u32, u32>);

impl Order {
    fn check(&mut self, got: &Message) {
        let (producer, number, _) = got;
        assert!(*got == message(*producer, *number), "message {number} of producer {producer} is torn");
        let next = self.0.entry(*producer).or_default();
        assert!(*number >= *next, "message {number} of producer {producer} comes after {next}");
        *next = number + 1;
    }
}

fn consume((journal, _, seed): (Journal, u32, u64)) {
    journal.count_panics();
    let (mut order, mut chance) = (Order::default(), Chance::new(seed));
    for message in &journal.queue {
        let message = message.unwrap();
        order.check(&message);
        journal.get(&message);
        rest(&mut chance);
    }
}

fn work((journal, _, seed): (Journal, u32, u64)) {
    journal.count_panics();
    let (mut order, mut chance) = (Order::default(), Chance::new(seed));
    loop {
        let lease = match journal.queue.lease() {
            Ok(lease) => lease,
            Err(RecvError::Closed) => return,
            Err(error) => panic!("{error}"),
        };
        if lease.attempt() == 1 {
            order.check(&lease);
        }
        rest(&mut chance);
        if chance.one_in(50) && !journal.stops() {
            continue;
        }
        journal.get(&lease);
        lease.done().unwrap();
    }
}

type Worker = fn((Journal, u32, u64));

struct Oracle {
    journal: Journal,
    chance: Chance,
    /// The producers first, and what they do.
    workers: Vec<(Process<()>, Worker)>,
    producers: u32,
}

impl Oracle {
    fn start(&mut self, worker: Worker) -> (Process<()>, Worker) {
        let me = self.producers;
        self.producers += u32::from(worker as usize == produce as Worker as usize);
        let process = commons::spawn((self.journal.clone(), me, self.chance.next()), worker).unwrap();
        (process, worker)
    }

    /// Waits until something was sent.
    fn await_progress(&self, kills: u64) {
        let sum = || self.journal.sent.to_vec().into_iter().map(u64::from).sum::<u64>();
        let (before, since) = (sum(), Instant::now());
        while sum() == before {
            assert!(since.elapsed() < PATIENCE, "nothing is sent any more after {kills} kills");
            std::thread::yield_now();
        }
    }

    /// Kills a worker and starts another; whether it was a producer.
    fn kill(&mut self) -> bool {
        let victim = self.chance.below(self.workers.len());
        let (process, worker) = &self.workers[victim];
        let worker = *worker;
        process.kill().unwrap();
        let exit = process.wait_timeout(PATIENCE).unwrap().expect("a killed worker ends");
        let by_itself = victim < PRODUCERS && exit == Exit::Code(0);
        assert!(exit == Exit::Signal(9) || by_itself, "a worker failed before it was killed: {exit:?}");
        assert_eq!(self.journal.flags.load(PANICS), 0, "a worker panicked, see above");
        self.workers[victim] = self.start(worker);
        victim < PRODUCERS
    }
}

/// How often the messages were got that were sent: how many never, and how many once too often.
struct Account {
    sent: u64,
    never: u64,
    again: u64,
    consumers_killed: u64,
}

fn account_after_kills(name: &'static str, consumer: Worker) -> Account {
    let kills = number("COMMONS_KILLS", 300);
    let seed = seed(name);
    let _watchdog = watchdog(name, Duration::from_millis(120_000 + 200 * kills));
    let journal = Journal::new(kills as usize + PRODUCERS + RESERVE);
    let mut oracle = Oracle { journal, chance: Chance::new(seed), workers: Vec::new(), producers: 0 };
    let start = Instant::now();
    for worker in [produce as Worker; PRODUCERS].into_iter().chain([consumer; CONSUMERS]) {
        let started = oracle.start(worker);
        oracle.workers.push(started);
    }
    let mut consumers_killed = 0;
    for kill in 0..kills {
        oracle.await_progress(kill);
        let pause = Duration::from_micros(oracle.chance.below(5000) as u64);
        std::thread::sleep(pause);
        consumers_killed += u64::from(!oracle.kill());
        for at in 0..PRODUCERS {
            if oracle.workers[at].0.is_finished() {
                assert_eq!(oracle.workers[at].0.exit(), Some(Exit::Code(0)));
                oracle.workers[at] = oracle.start(produce);
            }
        }
    }
    let Oracle { journal, mut workers, .. } = oracle;
    journal.flags.store(STOP, 1);
    let ends_well = |(worker, _): (Process<()>, Worker)| {
        assert_eq!(worker.wait_timeout(PATIENCE).unwrap(), Some(Exit::Code(0)));
    };
    workers.drain(..PRODUCERS).for_each(ends_well);
    journal.queue.join_timeout(PATIENCE).expect("all that was sent is taken and done");
    journal.queue.close();
    workers.drain(..).for_each(ends_well);
    assert_eq!(journal.flags.load(PANICS), 0, "a worker panicked, see above");

    let (intended, sent, got) = (journal.intended.to_vec(), journal.sent.to_vec(), journal.got.to_vec());
    let mut account = Account { sent: 0, never: 0, again: 0, consumers_killed };
    for (producer, times) in got.chunks_exact(MOST).enumerate() {
        let (intended, sent) = (intended[producer] as usize, sent[producer] as usize);
        assert!(intended - sent <= 1);
        assert!(
            times[intended..].iter().all(|&times| times == 0),
            "producer {producer}: never sent, and got"
        );
        account.sent += sent as u64;
        account.never += times[..sent].iter().filter(|&&times| times == 0).count() as u64;
        account.again += times.iter().map(|&times| u64::from(times.saturating_sub(1))).sum::<u64>();
    }
    let Account { sent, never, again, .. } = account;
    println!(
        "{name}: {kills} kills ({consumers_killed} of consumers) in {:.1?}; {sent} messages sent, {never} never got, \
         {again} got again",
        start.elapsed()
    );
    account
}

#[test]
fn random_kills_lose_and_double_no_message() {
    let account = account_after_kills("kill_queue, received", consume);
    assert_eq!(account.again, 0, "received twice");
    assert!(account.never <= account.consumers_killed, "lost, and not with its receiver");
}

#[test]
fn random_kills_lose_no_leased_message() {
    let account = account_after_kills("kill_queue, leased", work);
    assert_eq!(account.never, 0, "lost");
    assert!(account.again <= account.consumers_killed, "done, and delivered again");
}
