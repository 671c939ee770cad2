//! `Atomic` and `AtomicArray`: numbers that change without a lock.

mod common;

use std::{fmt::Debug, thread};

use common::{
    file_of, unique,
    workers::{Bytes, bounded, has, join, join_all, kill, panic_of},
};
use commons::{Atomic, AtomicArray, Bits, Error, ErrorKind, Number, Value, Word};
use serde::{Deserialize, Serialize};

commons::init_in_tests!();

/// What all of them do, with `a` and `b` that differ; here and in another process.
#[track_caller]
fn is_a_word<T: Word>(a: T, b: T) {
    let name = unique("word");
    let one = Atomic::create(&name, a).unwrap();
    let other = Atomic::<T>::open(&name).unwrap();
    assert_eq!((one.load(), one.swap(b), other.swap(a), one.load()), (a, a, b, a));
    assert_eq!((one.compare_exchange(b, a), one.compare_exchange(a, b), other.load()), (Err(a), Ok(a), b));
    assert_eq!((one.fetch_update(|_| None), one.fetch_update(|_| Some(a))), (Err(b), Ok(b)));
    one.store(b);
    assert_eq!((other.load(), one.info().element_size), (b, size_of::<T>() as u64));

    let lanes = AtomicArray::<T>::new(3).unwrap();
    let zero = lanes.load(0);
    lanes.store(1, a);
    assert_eq!(
        (lanes.swap(1, b), lanes.compare_exchange(1, a, b), lanes.compare_exchange(1, b, a)),
        (a, Err(b), Ok(b))
    );
    assert_eq!((lanes.fetch_update(1, |_| None), lanes.fetch_update(1, |_| Some(b))), (Err(a), Ok(a)));
    assert_eq!((lanes.to_vec(), lanes.len(), lanes.is_empty()), (vec![zero, b, zero], 3, false));

    // A worker writes what it finds in the one into the lanes.
    one.store(a);
    join(commons::spawn((one, lanes.clone()), |(one, lanes): (Atomic<T>, AtomicArray<T>)| {
        lanes.store(0, one.load());
        lanes.store(2, one.swap(lanes.load(1)));
    }));
    assert_eq!((other.load(), lanes.to_vec()), (b, vec![a, b, a]));
}

#[track_caller]
fn is_a_number<T: Number>(three: T, five: T, eight: T, wrapped: T) {
    is_a_word(three, five);
    let n = Atomic::new(three).unwrap();
    assert_eq!((n.fetch_add(five), n.fetch_sub(five), n.load()), (three, eight, three));
    assert_eq!(
        (n.fetch_max(five), n.fetch_max(three), n.fetch_min(three), n.fetch_min(five)),
        (three, five, five, three)
    );
    assert_eq!((n.fetch_sub(five), n.load()), (three, wrapped));
    let lanes = AtomicArray::<T>::new(2).unwrap();
    lanes.store(1, three);
    assert_eq!((lanes.fetch_add(1, five), lanes.fetch_sub(1, five)), (three, eight));
    assert_eq!((lanes.fetch_max(1, five), lanes.fetch_min(1, three), lanes.load(1)), (three, five, three));
    assert_eq!((lanes.fetch_sub(1, five), lanes.load(1)), (three, wrapped));
}

#[track_caller]
fn is_bits<T: Bits>(six: T, three: T, two: T, seven: T) {
    let n = Atomic::new(six).unwrap();
    assert_eq!((n.fetch_and(three), n.load()), (six, two));
    n.store(six);
    assert_eq!((n.fetch_or(three), n.fetch_xor(three), n.fetch_xor(three), n.load()).0, six);
    assert_eq!(n.load(), seven);
    let lanes = AtomicArray::<T>::new(2).unwrap();
    lanes.store(1, six);
    assert_eq!((lanes.fetch_and(1, three), lanes.fetch_or(1, six), lanes.load(1)), (six, two, six));
    assert_eq!((lanes.fetch_xor(1, three), lanes.fetch_xor(1, three), lanes.load(1)).0, six);
}

#[test]
fn all_words_do_what_words_do() {
    macro_rules! integers {
        ($($word:ty)*) => {$(
            is_a_number::<$word>(3, 5, 8, <$word>::wrapping_sub(3, 5));
            is_a_word::<$word>(<$word>::MIN, <$word>::MAX);
            is_bits::<$word>(6, 3, 2, 7);
        )*};
    }
    let _watch = bounded("all words");
    integers!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);
    is_a_number(3.0f32, 5.0, 8.0, -2.0);
    is_a_number(3.0f64, 5.0, 8.0, -2.0);
    is_a_word(f64::INFINITY, f64::MIN_POSITIVE);
    is_a_word(true, false);
}

#[test]
fn bools_are_bits() {
    let flag = Atomic::new(false).unwrap();
    assert!(!flag.fetch_or(true) && flag.fetch_and(true) && flag.fetch_xor(true) && !flag.load());
    let flags = AtomicArray::<bool>::new(2).unwrap();
    assert!(!flags.fetch_or(1, true) && flags.fetch_xor(1, true) && !flags.fetch_and(1, true));
    let name = unique("bool");
    let flag = Atomic::create(&name, false).unwrap();
    Bytes::of(&name).overwrite(0, &[0xEE]);
    assert!(flag.load(), "every byte but zero is true");
    assert_eq!(flag.compare_exchange(true, false), Ok(true));
}

#[test]
fn floats_are_compared_by_their_bits() {
    let x = Atomic::new(0.0f64).unwrap();
    assert_eq!(x.compare_exchange(-0.0, 1.0), Err(0.0));
    x.store(f64::NAN);
    assert!(x.compare_exchange(f64::NAN, 1.0).unwrap().is_nan());
    assert_eq!(x.load(), 1.0);
}

#[test]
fn every_change_counts_in_threads_of_processes() {
    const TIMES: usize = 5_000;
    type Numbers = (Atomic<u64>, Atomic<f64>, AtomicArray<i32>);
    fn change((n, x, lanes): &Numbers) {
        for turn in 0..TIMES {
            n.fetch_add(1);
            x.fetch_add(0.5);
            lanes.fetch_sub(turn % 4, 1);
            lanes.fetch_update(4, |n| Some(n + 1)).unwrap();
            lanes.fetch_max(5, turn as i32);
        }
    }
    let _watch = bounded("counting in threads of processes");
    let numbers = (Atomic::new(0).unwrap(), Atomic::new(0.0).unwrap(), AtomicArray::new(6).unwrap());
    let work = |numbers: Numbers| {
        thread::scope(|scope| {
            scope.spawn(|| change(&numbers));
            change(&numbers);
        });
    };
    let workers = [(); 2].map(|()| commons::spawn(numbers.clone(), work));
    work(numbers.clone());
    join_all(workers);
    let (n, x, lanes) = numbers;
    let times = 6 * TIMES as i32;
    assert_eq!((n.load(), x.load()), (times as u64, f64::from(times) / 2.0));
    assert_eq!(lanes.to_vec(), [-times / 4, -times / 4, -times / 4, -times / 4, times, TIMES as i32 - 1]);
}

#[test]
fn tickets_are_given_once() {
    let _watch = bounded("tickets");
    let next = Atomic::new(0usize).unwrap();
    let taken = AtomicArray::<u8>::new(3_000).unwrap();
    let take = |(next, taken): (Atomic<usize>, AtomicArray<u8>)| {
        let mut mine = 0;
        while let Ok(ticket) = next.fetch_update(|n| (n < 3_000).then_some(n + 1)) {
            taken.fetch_add(ticket, 1);
            mine += 1;
        }
        mine
    };
    let workers = [(); 2].map(|()| commons::spawn((next.clone(), taken.clone()), take));
    let mine: u32 = take((next, taken.clone()));
    assert_eq!(mine + join_all(workers).iter().sum::<u32>(), 3_000);
    assert_eq!(taken.to_vec(), [1; 3_000]);
}

#[test]
fn who_is_killed_leaves_whole_numbers() {
    let _watch = bounded("killed adders");
    let lanes = AtomicArray::<u64>::new(2).unwrap();
    let add = |lanes: AtomicArray<u64>| -> () {
        loop {
            lanes.fetch_add(0, 1 << 32 | 1);
        }
    };
    for _ in 0..5 {
        let before = lanes.load(0);
        let worker = commons::spawn(lanes.clone(), add).unwrap();
        while lanes.load(0) == before {
            thread::yield_now();
        }
        kill(&worker);
        let left = lanes.load(0);
        assert_eq!(left >> 32, left & 0xFFFF_FFFF);
    }
}

#[test]
fn an_index_behind_the_end_panics_and_names_both_sides() {
    let lanes = AtomicArray::<u8>::new(3).unwrap();
    let attempts: [&dyn Fn(); 7] = [
        &|| drop(lanes.load(3).to_string()),
        &|| lanes.store(3, 1),
        &|| drop(lanes.swap(3, 1).to_string()),
        &|| drop(lanes.fetch_add(3, 1).to_string()),
        &|| drop(lanes.fetch_or(3, 1).to_string()),
        &|| drop(lanes.compare_exchange(3, 0, 1).is_ok().to_string()),
        &|| drop(lanes.fetch_update(3, Some).is_ok().to_string()),
    ];
    for attempt in attempts {
        has(panic_of(attempt), &["element 3 of an AtomicArray of 3 elements"]);
    }
    has(panic_of(|| lanes.store(usize::MAX, 1)), &[&usize::MAX.to_string(), "3"]);
    let none = AtomicArray::<u64>::new(0).unwrap();
    assert_eq!((none.len(), none.is_empty(), none.to_vec()), (0, true, vec![]));
    has(panic_of(|| none.load(0)), &["0"]);
}

#[test]
fn names_are_made_opened_and_go() {
    let name = unique("name");
    let made = Atomic::create(&name, 1u16).unwrap();
    assert_eq!(made.name(), Some(name.as_str()));
    assert_eq!(Atomic::create(&name, 2u16).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(Atomic::open_or_create(&name, 3u16).unwrap().load(), 1);
    has(format!("{made:?}"), &[&name, "1"]);
    drop(made);
    assert!(!file_of(&name).exists());
    assert_eq!(Atomic::<u16>::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
    let lanes = AtomicArray::<u16>::create(&name, 4).unwrap();
    assert_eq!((lanes.name(), AtomicArray::<u16>::open(&name).unwrap().len()), (Some(name.as_str()), 4));
    has(format!("{lanes:?}"), &[&name, "4 elements"]);
    assert_eq!((Atomic::new(1u8).unwrap().name(), AtomicArray::<u8>::new(1).unwrap().name()), (None, None));
}

#[test]
fn opening_something_else_names_both_sides() {
    #[track_caller]
    fn differs<H: Debug>(opened: Result<H, Error>, parts: &[&str]) {
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        has(error, parts);
    }
    let (one, many) = (unique("one"), unique("many"));
    let _kept = (Atomic::create(&one, 1u64).unwrap(), AtomicArray::<u64>::create(&many, 4).unwrap());
    differs(Atomic::<i64>::open(&one), &[&one, "u64", "i64"]);
    differs(Atomic::<f64>::open_or_create(&one, 0.0), &[&one, "u64", "f64"]);
    differs(AtomicArray::<u64>::open(&one), &[&one, "Atomic of u64", "AtomicArray of u64"]);
    differs(Value::<u64>::open(&one), &[&one, "Atomic of u64", "Value of u64"]);
    differs(AtomicArray::<u32>::open(&many), &[&many, "u64", "u32"]);
    differs(AtomicArray::<u64>::open_or_create(&many, 5), &[&many, "4 elements", "5 elements"]);
}

#[test]
fn more_than_there_is_is_an_error_with_numbers() {
    let name = unique("huge");
    for len in [usize::MAX, 1 << 60, 1 << 52] {
        for made in [
            AtomicArray::<u64>::new(len),
            AtomicArray::create(&name, len),
            AtomicArray::open_or_create(&name, len),
        ] {
            let error = made.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
            assert!(error.to_string().matches(|c: char| c.is_ascii_digit()).count() >= 16, "{error}");
        }
    }
    assert!(!file_of(&name).exists());
}

#[derive(Serialize, Deserialize)]
struct Carrier {
    hits: Atomic<u64>,
    maybe: Option<AtomicArray<f32>>,
    many: Vec<Atomic<bool>>,
}

#[test]
fn what_a_worker_made_is_here_when_it_is_gone() {
    let _watch = bounded("atomics of workers that end at once");
    let hits = Atomic::new(5u64).unwrap();
    let carrier = join(commons::spawn(hits.clone(), |hits: Atomic<u64>| {
        let lanes = AtomicArray::new(3).unwrap();
        lanes.store(2, 0.5);
        let many = (0..5).map(|i| Atomic::new(i == 3).unwrap()).collect();
        Carrier { hits, maybe: Some(lanes), many }
    }));
    carrier.hits.fetch_add(1);
    assert_eq!(hits.load(), 6);
    assert_eq!(carrier.maybe.unwrap().to_vec(), [0.0, 0.0, 0.5]);
    assert_eq!(carrier.many.iter().position(Atomic::load), Some(3));
}
