//! A queue over which somebody scribbles while others use it: positions, lengths, headers, the table
//! of leases, the counts of ends. Whatever stands there, every call ends soon, with an answer or an
//! error, and never in a panic; and the object goes with its last user.

mod common;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::*},
    thread,
    time::{Duration, Instant},
};

use common::{
    chance::{Chance, number, seed},
    file_of, unique,
    watchdog::watchdog,
    workers::Bytes,
};
use commons::{Queue, Select};

commons::init_in_tests!();

/// What a call that does not wait may take; a lock that looks held costs 100 ms, and there are two.
const BOUND: Duration = Duration::from_secs(5);

/// Bytes of the payload that are scribbled over: everything before the words, and the first of those.
const HEAD: usize = 20_480;
const WORDS: usize = 16384;

/// Lines that everything depends on: the two sides of the ring and what is between them.
const RING: usize = 256;

type Wide = Queue<(u32, Vec<u8>)>;

/// Something to write: numbers at which something ends, and any.
fn word(chance: &mut Chance) -> [u8; 8] {
    let pid = u64::from(std::process::id());
    let special = [
        0,
        1,
        u64::MAX,
        pid,
        pid | 0x8000_0000,
        0x4000_0000,
        0xffff_ff03_0000_0000,
        0x8000_0011_0000_0000,
        0x0000_2000_0000_0000,
        1 << 60,
        5 << 60 | 7,
        15 << 60,
        16383,
        16384,
        i64::MAX as u64,
        1 << 32,
    ];
    let word = match chance.below(4) {
        0 => chance.next(),
        1 => chance.next() >> 32,
        _ => special[chance.below(special.len())],
    };
    word.to_ne_bytes()
}

/// Overwrites a word, or a half or a quarter of one.
fn scribble(bytes: &Bytes, chance: &mut Chance) {
    let place = match chance.below(4) {
        0 | 1 => chance.below(RING),
        2 => chance.below(HEAD),
        _ => HEAD + chance.below(WORDS),
    };
    let len = [8, 4, 2][chance.below(3)];
    bytes.overwrite((place / len * len) as u64, &word(chance)[..len]);
}

/// Does each thing once, of which none may wait; how many did not end in an error.
fn use_all(queue: &Wide, chance: &mut Chance, outcomes: &mut BTreeMap<&'static str, u32>) {
    let calls: [(&'static str, &dyn Fn(usize) -> bool); 14] = [
        ("try_send", &|len| queue.try_send(&(7, vec![7; len])).is_ok()),
        ("send_timeout", &|len| queue.send_timeout(&(7, vec![7; len]), Duration::ZERO).is_ok()),
        ("try_send_bytes", &|len| queue.try_send_bytes(&vec![7; len]).is_ok()),
        ("try_recv", &|_| queue.try_recv().is_ok()),
        ("recv_timeout", &|_| queue.recv_timeout(Duration::from_micros(300)).is_ok()),
        ("try_recv_bytes", &|len| queue.try_recv_bytes(&mut vec![0; len]).is_ok()),
        ("try_lease, done", &|_| queue.try_lease().is_ok_and(|lease| lease.done().is_ok())),
        ("try_lease, dropped", &|_| queue.try_lease().is_ok()),
        ("dead", &|_| queue.dead().is_ok()),
        ("join_timeout", &|_| queue.join_timeout(Duration::ZERO).is_ok()),
        ("select", &|_| Select::new().on(queue).try_wait().is_ok()),
        ("len", &|_| queue.len() < 99 || queue.is_full() || queue.is_empty()),
        ("debug", &|_| !format!("{queue:?} {:?}", queue.info()).is_empty()),
        ("clone", &|_| !queue.clone().is_closed()),
    ];
    for _ in 0..calls.len() {
        let (name, call) = calls[chance.below(calls.len())];
        let len = [0, 8, 100, 9000, 70_000][chance.below(5)];
        let start = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| call(len)));
        let took = start.elapsed();
        assert!(took < BOUND, "{name} took {took:?}");
        *outcomes.entry(name).or_default() += u32::from(ended.expect(name));
    }
}

fn new_queue(name: &str) -> Wide {
    Queue::options().bytes(1 << 20).max_attempts(3).create(name, 50).unwrap()
}

#[test]
fn whatever_stands_in_a_queue_calls_end() {
    let rounds = number("COMMONS_ROUNDS", 1000);
    let mut chance = Chance::new(seed("whatever_stands_in_a_queue"));
    let _guard = watchdog("a scribbled queue", Duration::from_millis(120_000 + 100 * rounds));
    let (mut outcomes, start, mut slowest) = (BTreeMap::new(), Instant::now(), Duration::ZERO);
    for _ in 0..rounds {
        let name = unique("scribbled");
        let queue = new_queue(&name);
        let bytes = Bytes::of(&name);
        (0..chance.below(4)).for_each(|n| queue.send(&(n as u32, vec![1; 100])).unwrap());
        let lease = if chance.one_in(3) { queue.try_lease().ok() } else { None };
        (0..1 + chance.below(3)).for_each(|_| scribble(&bytes, &mut chance));
        let began = Instant::now();
        use_all(&queue, &mut chance, &mut outcomes);
        slowest = slowest.max(began.elapsed());
        drop(lease);
        drop(queue);
        assert!(!file_of(&name).exists(), "the object is left");
    }
    println!(
        "{rounds} rounds in {:.1?}, the slowest {slowest:.1?}; that ended well: {outcomes:?}",
        start.elapsed()
    );
}

#[test]
fn whatever_happens_to_a_queue_meanwhile_calls_end() {
    let rounds = number("COMMONS_ROUNDS", 1000) / 50;
    let mut chance = Chance::new(seed("whatever_happens_to_a_queue"));
    let _guard = watchdog("a queue that is scribbled over", Duration::from_millis(120_000 + 5000 * rounds));
    let (start, scribbles, calls) = (Instant::now(), AtomicU64::new(0), AtomicU64::new(0));
    for _ in 0..rounds {
        let name = unique("live");
        let queue = new_queue(&name);
        let (stop, seeds) = (AtomicBool::new(false), [(); 3].map(|()| chance.next()));
        thread::scope(|scope| {
            scope.spawn(|| {
                let (bytes, mut chance) = (Bytes::of(&name), Chance::new(seeds[0]));
                while !stop.load(Relaxed) {
                    scribble(&bytes, &mut chance);
                    scribbles.fetch_add(1, Relaxed);
                    if chance.one_in(20) {
                        thread::sleep(Duration::from_micros(100));
                    }
                }
            });
            let users = [1, 2].map(|user: usize| {
                let (queue, seed, calls) = (&queue, seeds[user], &calls);
                scope.spawn(move || {
                    let (mut chance, mut outcomes) = (Chance::new(seed), BTreeMap::new());
                    for _ in 0..20 {
                        use_all(queue, &mut chance, &mut outcomes);
                        calls.fetch_add(14, Relaxed);
                    }
                })
            });
            let ended = users.map(thread::ScopedJoinHandle::join);
            stop.store(true, Relaxed);
            ended.into_iter().for_each(|ended| ended.unwrap());
        });
        drop(queue);
        assert!(!file_of(&name).exists(), "the object is left");
    }
    let (scribbles, calls) = (scribbles.into_inner(), calls.into_inner());
    println!("{rounds} rounds, {calls} calls beside {scribbles} scribbles in {:.1?}", start.elapsed());
}
