//! Damaged and hostile segment files, opened as every kind of object and used.
//!
//! What coverage-guided fuzzing does at random (`fuzz/`), here in a fixed order: every cut, every byte
//! of every header, numbers that overflow, locks that nobody can release. Found cases come here too.
//! Nothing may come out but an error or wrong data, and soon.

#![allow(unsafe_code, reason = "locks bytes of a file as another process would")]

#[allow(dead_code, unreachable_pub)]
#[path = "../fuzz/fuzz_targets/open_segment/stage.rs"]
mod stage;
#[allow(dead_code, unreachable_pub)]
#[path = "../fuzz/fuzz_targets/open_segment/stock.rs"]
mod stock;
#[allow(unreachable_pub)]
#[path = "../fuzz/fuzz_targets/open_segment/uses.rs"]
mod uses;

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use commons::{Array, ErrorKind, Value, catalog};

use self::{
    stage::Stage,
    stock::{Stock, Template},
    uses::Opened,
};

/// Where the header has what is changed here, as in `docs/format.md`.
const HEADER: usize = 256;
const TABLE_END: usize = 6400;
const PAYLOAD_OFFSET: usize = 88;
const PAYLOAD_LEN: usize = 96;
const ELEMENT_COUNT: usize = 120;
const DIMENSIONS: usize = 136;
const SCHEMA_LEN: usize = 140;
const SHAPE: usize = 144;

/// Where a `Versioned` has its counters, behind the writers' lock.
const BEGIN: usize = 40;

fn unique(what: &str) -> String {
    format!("test-{}-corrupt-{what}", std::process::id())
}

/// Opens and uses the file as one kind or as every kind; how many it could be opened as (none or one).
fn attempt(stage: &Stage, kind: Option<usize>, file: &[u8], len: usize) -> usize {
    stage.set(file, len as u64);
    let opened = Opened::open(stage.name(), kind);
    opened.use_all(&stage.payload(), Duration::ZERO);
    let count = opened.count();
    drop(opened);
    stage.check();
    count
}

/// Runs `test` for the file of each kind, idle and held, and prints how much was tried.
fn for_each_file(what: &str, mut test: impl FnMut(&Stage, usize, &[u8]) -> usize) {
    let (stock, stage, start) =
        (Stock::new(&unique(&format!("{what}-stock"))), Stage::new(&unique(what)), Instant::now());
    let mut tried = 0;
    for (kind, Template { idle, held }) in stock.templates.iter().enumerate() {
        for file in [idle, held] {
            assert_eq!(attempt(&stage, None, file, file.len()), 1, "an undamaged file of kind {kind}");
            tried += test(&stage, kind, file);
        }
    }
    println!("{what}: {tried} damaged files in {:?}", start.elapsed());
    drop(stage);
    assert_eq!(catalog::inspect(&unique(what)).unwrap_err().kind(), ErrorKind::NotFound);
}

fn put(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

fn number(file: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(file[at..at + 8].try_into().unwrap())
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for_each_file("cut", |stage, kind, file| {
        let end = number(file, PAYLOAD_OFFSET) + number(file, PAYLOAD_LEN);
        let cuts =
            (0..file.len()).step_by(64).chain([1, 255, 257, TABLE_END - 1, TABLE_END + 1, file.len() - 1]);
        cuts.map(|len| {
            let complete = len as u64 >= end;
            assert_eq!(
                attempt(stage, Some(kind), file, len),
                complete.into(),
                "kind {kind} cut to {len} bytes"
            );
        })
        .count()
    });
}

#[test]
fn every_byte_of_a_header_may_be_anything() {
    for_each_file("header", |stage, kind, file| {
        let mut tried = 0;
        for at in 0..HEADER {
            for byte in [0, 0xff, file[at].wrapping_add(1)] {
                // The kind (14, 15) and the fingerprint (128..136) say what it may be opened as.
                let kind = (!matches!(at, 14 | 15 | 128..136)).then_some(kind);
                attempt(stage, kind, &put(file, at, &[byte]), file.len());
                tried += 1;
            }
        }
        tried
    });
}

#[test]
fn numbers_that_overflow_are_refused() {
    const NUMBERS: [u64; 10] = [
        0,
        1,
        63,
        u32::MAX as u64,
        1 << 47,
        i64::MAX as u64,
        1 << 63,
        u64::MAX - 4351,
        u64::MAX - 63,
        u64::MAX,
    ];
    for_each_file("numbers", |stage, kind, file| {
        let mut tried = 0;
        for at in (PAYLOAD_OFFSET..DIMENSIONS).step_by(8).chain((SHAPE..SHAPE + 64).step_by(8)) {
            for number in NUMBERS {
                attempt(stage, Some(kind), &put(file, at, &number.to_ne_bytes()), file.len());
                tried += 1;
            }
        }
        for at in [DIMENSIONS, SCHEMA_LEN, TABLE_END] {
            for number in [1, 2, 8, 9, 1 << 20, (1 << 20) + 1, u32::MAX] {
                if at + 4 <= file.len() {
                    attempt(stage, Some(kind), &put(file, at, &u32::to_ne_bytes(number)), file.len());
                    tried += 1;
                }
            }
        }
        tried
    });
}

#[test]
fn a_count_that_wraps_to_the_right_length_is_refused() {
    // 2^61 + 6 numbers of 8 bytes are 48 bytes if nobody looks at the carry.
    let (stock, stage) = (Stock::new(&unique("wrap-stock")), Stage::new(&unique("wrap")));
    let file = &stock.templates[2].idle;
    for (dimensions, shape) in [(1u32, [(1 << 61) + 6, 0]), (2, [1 << 32, 1 << 32]), (2, [u64::MAX, 2])] {
        let count = shape[..dimensions as usize].iter().fold(1u64, |count, &n| count.wrapping_mul(n));
        let file = put(file, DIMENSIONS, &dimensions.to_ne_bytes());
        let file = put(&put(&file, SHAPE, &shape[0].to_ne_bytes()), SHAPE + 8, &shape[1].to_ne_bytes());
        let file = put(&file, ELEMENT_COUNT, &count.to_ne_bytes());
        assert_eq!(attempt(&stage, None, &file, file.len()), 0, "{shape:?}");
        assert!(Array::<u64>::open(stage.name()).is_err());
    }
}

#[test]
fn every_word_of_a_payload_may_be_anything() {
    for_each_file("payload", |stage, kind, file| {
        let (start, mut tried) = (number(file, PAYLOAD_OFFSET) as usize, 0);
        // The whole of the small ones, and of arrays the lock, two claims, the last one, and the elements.
        let words = (start..file.len()).step_by(4).filter(|at| !(start + 192..start + 4096).contains(at));
        for at in words.filter(|at| at + 4 <= file.len()) {
            for word in [0, 1, 0x3fff_ffff, 0x4000_0000, 0x8000_0000, u32::MAX] {
                attempt(stage, Some(kind), &put(file, at, &word.to_ne_bytes()), file.len());
                tried += 1;
            }
        }
        tried
    });
}

#[test]
fn a_peer_may_overwrite_everything_while_it_is_used() {
    for_each_file("live", |stage, kind, file| {
        let (start, mut tried) = (number(file, PAYLOAD_OFFSET) as usize, 0);
        for byte in [0, 1, 0x7f, 0xff] {
            stage.set(file, file.len() as u64);
            let opened = Opened::open(stage.name(), Some(kind));
            for range in [0..HEADER, HEADER..TABLE_END, start..file.len()] {
                stage.scribble(range.start, &vec![byte; range.len()]);
                opened.use_all(&stage.payload(), Duration::ZERO);
                tried += 1;
            }
            drop(opened);
        }
        tried
    });
}

/// Found by `open_segment`: the lock named a living thread, and `begin` was ahead of every version.
#[test]
fn a_value_with_damaged_counters_is_read_although_its_lock_is_held() {
    let (stock, stage) = (Stock::new(&unique("counters-stock")), Stage::new(&unique("counters")));
    let file = &stock.templates[0].held;
    let start = number(file, PAYLOAD_OFFSET) as usize;
    assert_eq!(file[start..start + 4], stock.keeper.to_ne_bytes(), "the lock is held by a living thread");
    for begin in [2, u64::MAX] {
        let file = put(file, start + BEGIN, &begin.to_ne_bytes());
        stage.set(&file, file.len() as u64);
        let name = stage.name().to_owned();
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            let value = Value::<[u64; 3]>::open(&name).unwrap();
            send.send((value.try_get().unwrap(), value.get())).unwrap();
        });
        let read = receive.recv_timeout(Duration::from_secs(10)).expect("reading takes no lock");
        assert_eq!(read, ([1, 2, 3], [1, 2, 3]));
    }
}
