//! Values that change whole, read without a lock while their writers are killed.

mod common;

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::*},
    time::{Duration, Instant},
};

use common::{
    chance::{Chance, number, seed},
    scene::join,
    watchdog::watchdog,
};
use commons::{Exit, Process, Shareable, Shared, Value, sync::Versioned};

commons::init_in_tests!();

const READERS: usize = 2;
const WIDE: usize = 256;

#[derive(Shareable)]
#[repr(C)]
struct Table {
    cell: Versioned<[u64; 8]>,
    /// So wide that it takes longer to read than what is between two changes.
    wide: Versioned<[u64; WIDE]>,
    stop: AtomicU32,
    reads: [AtomicU64; READERS],
}

type Objects = (Shared<Table>, Value<[u64; 16]>);

/// The value after `n` changes: no two of them share a word.
fn after<const N: usize>(n: u64) -> [u64; N] {
    std::array::from_fn(|at| n * N as u64 + at as u64)
}

/// How many changes made this value; a mixture is none.
fn changes<const N: usize>(value: [u64; N]) -> u64 {
    let n = value[0] / N as u64;
    assert_eq!(value, after(n), "torn");
    n
}

fn step<const N: usize>(value: &mut [u64; N]) {
    *value = after(changes(*value) + 1);
}

fn write((table, value): Objects) {
    let wide = [[u64::from(std::process::id()); WIDE], [1 << 40; WIDE]];
    loop {
        for _ in 0..16 {
            wide.iter().for_each(|&wide| table.wide.set(wide));
        }
        table.cell.update(step);
        value.update(step);
        table.cell.update(step);
        step(&mut value.lock());
    }
}

/// Reads until it is told to stop; how often.
fn read(((table, value), lane): (Objects, usize)) -> u64 {
    let (mut reads, mut last) = (0, (0, 0));
    while table.stop.load(Relaxed) == 0 {
        for _ in 0..1000 {
            let now = (changes(table.cell.get()), changes(value.get()));
            assert!(now.0 >= last.0 && now.1 >= last.1, "from {last:?} back to {now:?}");
            last = now;
            let wide = table.wide.get();
            assert_eq!(wide, [wide[0]; WIDE], "torn");
        }
        reads += 3000;
        table.reads[lane].store(reads, Relaxed);
    }
    reads
}

#[test]
fn no_reader_sees_a_torn_or_older_value() {
    let time = Duration::from_secs(number("COMMONS_SECONDS", 2));
    let mut chance = Chance::new(seed("versioned"));
    let _watchdog = watchdog("versioned", time * 4 + Duration::from_secs(60));
    let reads = [const { AtomicU64::new(0) }; READERS];
    let table = Table {
        cell: Versioned::new(after(0)),
        wide: Versioned::new([0; WIDE]),
        stop: AtomicU32::new(0),
        reads,
    };
    let objects: Objects = (Shared::new(table).unwrap(), Value::new(after(0)).unwrap());
    let (table, value) = &objects;

    let readers: [Process<u64>; READERS] =
        [0, 1].map(|lane| commons::spawn((objects.clone(), lane), read).unwrap());
    let writer = || commons::spawn(objects.clone(), write).unwrap();
    let mut writers: [Process<()>; 2] = [writer(), writer()];
    let (mut kills, start) = (0, Instant::now());
    while start.elapsed() < time {
        let before = changes(value.get());
        common::eventually("somebody writes", || changes(value.get()) > before);
        std::thread::sleep(Duration::from_micros(chance.below(20_000) as u64));
        let at = chance.below(2);
        writers[at].kill().unwrap();
        let exit = common::scene::end_of(&writers[at]);
        assert_eq!(exit, Exit::Signal(9), "a writer failed");
        kills += 1;
        writers[at] = writer();
    }
    table.stop.store(1, Relaxed);
    let reads: u64 = readers.into_iter().map(join).sum();
    for writer in writers {
        writer.kill().unwrap();
        common::scene::end_of(&writer);
    }
    let made = (changes(table.cell.get()), changes(value.get()));
    assert!(reads > 0 && kills > 0, "nothing was tried");
    println!("{reads} reads of {made:?} changes, {kills} writers killed, {:?}", start.elapsed());
}
