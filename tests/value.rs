//! `Value`: whole or not at all, between threads and between processes.

mod common;

use std::{collections::HashMap, fmt::Debug, mem, sync::mpsc, thread, time::Duration};

use common::{
    file_of, unique,
    workers::{
        BEST, Best, Bytes, LONG, Line, NO_VALUE, Nothing, Phase, SHORT, Stage, await_stage, bounded, has,
        join, join_all, kill, panic_of,
    },
};
use commons::{Error, ErrorKind, Message, Plain, Shareable, Shared, Value, sync::Versioned};
use serde::{Deserialize, Serialize};

commons::init_in_tests!();

#[test]
fn get_set_update_and_lock_see_each_other() {
    let best = Value::new(0.0f64).unwrap();
    best.set(1.5);
    best.update(|b| *b = b.max(3.0));
    {
        let mut guard = best.lock();
        *guard += 1.0;
        assert_eq!((*guard, best.get()), (4.0, 3.0), "a guard is a private copy");
    }
    assert_eq!(best.get(), 4.0);
    assert_eq!(best.try_get().unwrap(), 4.0);
    assert_eq!(best.update(|b| mem::replace(b, 9.0)), 4.0);
    assert_eq!(best.clone().get(), 9.0);
    assert_eq!(format!("{best:?}"), "Value { value: 9.0 }");
    assert_eq!(format!("{:?}", best.lock()), "9.0");
}

#[test]
fn a_panic_inside_commits_nothing_and_leaves_the_value_free() {
    let value = Value::new([1u64; 9]).unwrap();
    let said = panic_of(|| {
        value.update(|v| {
            v.fill(2);
            panic!("in the middle");
        })
    });
    assert_eq!(said, "in the middle");
    panic_of(|| {
        let mut guard = value.lock();
        guard.fill(3);
        panic!("with a guard");
    });
    assert_eq!(value.get(), [1; 9]);
    value.try_lock().expect("free").fill(4);
    assert_eq!(value.get(), [4; 9]);
}

#[test]
fn a_guard_taken_and_dropped_while_the_thread_unwinds_commits() {
    struct Count<'a>(&'a Value<u32>);
    impl Drop for Count<'_> {
        fn drop(&mut self) {
            assert!(thread::panicking());
            self.0.update(|n| *n += 1);
            *self.0.lock() += 1;
        }
    }
    let drops = Value::new(0).unwrap();
    panic_of(|| {
        let _count = Count(&drops);
        panic!("down");
    });
    assert_eq!(drops.get(), 2);
}

#[test]
fn nested_use_panics_with_a_sentence_and_leaves_the_value_free() {
    let _watch = bounded("nested use of a value");
    let value = Value::new(1u64).unwrap();
    let again = value.clone();
    let attempts: [&dyn Fn(); 4] =
        [&|| again.set(7), &|| again.update(|v| *v = 7), &|| *again.lock() = 7, &|| {
            drop(again.lock_timeout(LONG))
        }];
    for attempt in attempts {
        has(
            panic_of(|| value.update(|_| attempt())),
            &["this thread holds the lock already", "drop the first guard"],
        );
        let guard = value.lock();
        has(panic_of(attempt), &["this thread holds the lock already"]);
        assert!(again.try_lock().is_none());
        assert_eq!(again.get(), 1, "reading takes no lock");
        drop(guard);
        drop(again.try_lock().expect("free"));
    }
    assert_eq!(value.get(), 1);
    // Caught inside, the outer change counts.
    value.update(|v| {
        *v = 2;
        panic_of(|| again.set(7));
    });
    assert_eq!(value.get(), 2);
}

#[test]
fn one_changes_while_others_wait_and_read() {
    let _watch = bounded("threads and a guard");
    let value = Value::new(1u32).unwrap();
    thread::scope(|scope| {
        let (locked, is_locked) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        scope.spawn({
            let value = &value;
            move || {
                let mut guard = value.lock();
                *guard = 2;
                locked.send(()).unwrap();
                may_go_on.recv_timeout(LONG).unwrap();
            }
        });
        is_locked.recv_timeout(LONG).unwrap();
        assert!(value.try_lock().is_none());
        assert!(value.lock_timeout(SHORT).is_none());
        assert!(value.lock_timeout(Duration::ZERO).is_none());
        assert_eq!(value.get(), 1);
        let (set, is_set) = mpsc::channel();
        scope.spawn({
            let value = &value;
            move || {
                value.update(|v| *v += 10);
                set.send(()).unwrap();
            }
        });
        assert!(is_set.recv_timeout(SHORT).is_err(), "it waits for the guard");
        go_on.send(()).unwrap();
        is_set.recv_timeout(LONG).unwrap();
        assert_eq!(value.get(), 12);
        assert!(value.lock_timeout(Duration::MAX).is_some());
    });
}

#[test]
fn every_update_counts_in_threads_of_processes() {
    const TIMES: u64 = 2_000;
    fn add(value: &Value<[u64; 5]>) {
        for turn in 0..TIMES {
            match turn % 3 {
                0 => value.update(|v| v.iter_mut().for_each(|n| *n += 1)),
                1 => value.lock().iter_mut().for_each(|n| *n += 1),
                _ => value.lock_timeout(LONG).unwrap().iter_mut().for_each(|n| *n += 1),
            }
        }
    }
    let _watch = bounded("counting in threads of processes");
    let value = Value::new([0u64; 5]).unwrap();
    let work = |value: Value<[u64; 5]>| {
        thread::scope(|scope| {
            scope.spawn(|| add(&value));
            add(&value);
        });
    };
    let workers = [(); 2].map(|()| commons::spawn(value.clone(), work));
    work(value.clone());
    join_all(workers);
    assert_eq!(value.get(), [6 * TIMES; 5]);
}

#[test]
fn nobody_ever_reads_a_mixture() {
    let _watch = bounded("reading while others write");
    const END: u32 = 3_000;
    let value = Value::new([0u32; 33]).unwrap();
    let write = |value: Value<[u32; 33]>| {
        while value.update(|v| {
            let next = v[0] + 1;
            v.fill(next);
            next < END
        }) {}
    };
    let writers = [(); 2].map(|()| commons::spawn(value.clone(), write));
    let mut last = 0;
    while last < END {
        let seen = value.get();
        assert!(seen.iter().all(|&n| n == seen[0]), "{seen:?}");
        assert!(seen[0] >= last, "{} after {last}", seen[0]);
        last = seen[0];
    }
    join_all(writers);
}

#[test]
fn a_killed_writer_leaves_the_old_value_and_a_free_lock() {
    let _watch = bounded("a killed writer");
    let (value, stage) = (Value::new(BEST).unwrap(), Stage::new(0).unwrap());
    let hold = |(value, stage): (Value<Best>, Stage)| -> () {
        let mut guard = value.lock();
        guard.phase = Phase::Done;
        stage.set(1);
        loop {
            thread::park();
        }
    };
    let holder = commons::spawn((value.clone(), stage.clone()), hold).unwrap();
    await_stage(&stage, 1);
    assert!(value.try_lock().is_none());
    assert_eq!(value.get(), BEST);
    kill(&holder);
    assert_eq!(*value.lock_timeout(LONG).expect("the kernel hands it on"), BEST);
    value.update(|best| best.phase = Phase::Idle);
    assert_eq!(value.get(), Best { phase: Phase::Idle, ..BEST });
}

#[test]
fn writers_killed_at_any_moment_leave_whole_values() {
    let _watch = bounded("writers killed at any moment");
    let value = Value::new([0u64; 2_000]).unwrap();
    let write = |value: Value<[u64; 2_000]>| -> () {
        loop {
            value.update(|v| {
                let next = v[0] + 1;
                v.fill(next);
            });
        }
    };
    for round in 0..12 {
        let before = value.get()[0];
        let writer = commons::spawn(value.clone(), write).unwrap();
        // Somewhere else in an update each time.
        value.wait_until_timeout(|v| v[0] > before + round, LONG).unwrap();
        kill(&writer);
        let left = value.get();
        assert!(left.iter().all(|&n| n == left[0]));
        value.lock_timeout(LONG).expect("the kernel hands it on")[0] = left[0];
    }
}

#[test]
fn a_leaked_guard_commits_nothing_and_ends_with_its_thread() {
    let _watch = bounded("a leaked guard");
    let value = Value::new(1u8).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut guard = value.lock();
            *guard = 2;
            mem::forget(guard);
            assert!(value.try_lock().is_none());
        });
    });
    assert_eq!(*value.lock_timeout(LONG).expect("its thread has ended"), 1);
    let leak = |value: Value<u8>| mem::forget(value.lock());
    join(commons::spawn(value.clone(), leak));
    assert_eq!(*value.lock_timeout(LONG).expect("its process has ended"), 1);
}

#[test]
fn waiting_ends_when_some_process_makes_it_true() {
    let _watch = bounded("wait_until");
    let value = Value::new(0u64).unwrap();
    assert_eq!(value.wait_until(|&v| v == 0), 0, "it is true already");
    let timed_out = value.wait_until_timeout(|&v| v > 0, SHORT).unwrap_err();
    assert_eq!(timed_out.kind(), ErrorKind::TimedOut);
    has(timed_out, &["20ms", "no process made the value as wanted"]);
    assert_eq!(value.wait_until_timeout(|&v| v == 0, Duration::ZERO).unwrap(), 0);

    // Two processes that take turns, each asleep meanwhile.
    let odd = |value: Value<u64>| {
        for turn in 0..50 {
            value.wait_until_timeout(|&v| v == 2 * turn + 1, LONG).unwrap();
            value.set(2 * turn + 2);
        }
    };
    let other = commons::spawn(value.clone(), odd);
    for turn in 0..50 {
        *value.lock() = 2 * turn + 1;
        assert_eq!(value.wait_until(|&v| v == 2 * turn + 2), 2 * turn + 2);
    }
    join(other);

    // All who wait are told.
    let stage = Value::new(0u8).unwrap();
    thread::scope(|scope| {
        let waiters = [(); 5].map(|()| scope.spawn(|| stage.wait_until(|&s| s == 3)));
        (1..=3).for_each(|s| stage.set(s));
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), 3);
        }
    });
}

/// Whether a type goes through shared memory whole, here and in another process.
#[track_caller]
fn travels<T: Plain + Send + PartialEq + Debug>(first: T, second: T) {
    let name = unique("type");
    let pair = (Value::create(&name, first).unwrap(), Value::new(second).unwrap());
    let opened = Value::<T>::open(&name).unwrap();
    assert_eq!((opened.get(), pair.1.get()), (first, second));
    assert_eq!(pair.0.info().element_size, size_of::<T>() as u64);
    // A worker exchanges them.
    join(commons::spawn(pair.clone(), |(one, two): (Value<T>, Value<T>)| {
        let (a, b) = (one.get(), two.try_get().unwrap());
        one.set(b);
        two.update(|two| *two = a);
    }));
    assert_eq!((opened.get(), pair.1.get()), (second, first));
    assert_eq!((*opened.lock(), *pair.1.lock()), (second, first));
}

#[test]
fn every_plain_type_travels() {
    travels((), ());
    travels(Nothing, Nothing);
    travels(true, false);
    travels('a', '\u{10FFFF}');
    travels(1u8, u8::MAX);
    travels(-1i16, i16::MIN);
    travels(1u32, u32::MAX);
    travels(1.5f32, -0.0);
    travels(f64::INFINITY, f64::MIN_POSITIVE);
    travels(1u128, u128::MAX - 1);
    travels(i128::MIN, -2);
    travels([1u8, 2, 3], [9, 8, 7]);
    travels([1u16; 5], [2; 5]);
    travels([[1u64; 3]; 40], [[7; 3]; 40]);
    travels([0u8; 4099], [5; 4099]);
    travels(BEST, Best { found: false, letter: 'x', ..BEST });
    travels(Phase::Idle, Phase::Done);
    travels(Line { n: 1 }, Line { n: 2 });
    travels(Some(std::num::NonZeroU32::MIN), None);
    assert_eq!(mem::align_of::<Line>(), 64);
}

#[test]
fn an_alignment_that_no_segment_has_is_refused() {
    #[derive(Clone, Copy, Debug, Plain)]
    #[repr(C, align(8192))]
    struct TwoPages {
        n: u8,
    }
    let error = Value::new(TwoPages { n: 1 }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    has(error, &["TwoPages", "8192", "4096"]);
}

#[test]
fn names_are_made_opened_and_go() {
    let name = unique("name");
    let missing = Value::<u8>::open(&name).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    has(missing, &[&name]);

    let made = Value::create(&name, 1u8).unwrap();
    assert_eq!((made.name(), made.clone().name()), (Some(name.as_str()), Some(name.as_str())));
    assert_eq!(format!("{made:?}"), format!("Value {{ name: {name:?}, value: 1 }}"));
    let taken = Value::create(&name, 2u8).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    has(taken, &[&name]);
    assert_eq!(Value::open_or_create(&name, 3u8).unwrap().get(), 1);
    assert_eq!(join(commons::spawn(name.clone(), |name| Value::<u8>::open(&name).unwrap().get())), 1);

    let info = made.info();
    assert_eq!(
        (info.kind.as_str(), info.type_name.as_str(), info.attached),
        ("Value", "u8", vec![std::process::id()])
    );
    drop(made);
    assert_eq!(Value::<u8>::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!file_of(&name).exists());
    assert_eq!(Value::open_or_create(&name, 3u8).unwrap().get(), 3);
    assert_eq!(Value::<u8>::new(0).unwrap().name(), None);
}

#[test]
fn opening_something_else_names_both_sides() {
    #[track_caller]
    fn differs<H: Debug>(opened: Result<H, Error>, parts: &[&str]) {
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        has(error, parts);
    }
    mod other {
        #[derive(Clone, Copy, Debug, commons::Plain)]
        #[repr(C)]
        pub(super) struct Line {
            n: u32,
        }
    }
    let name = unique("other");
    let _value = Value::create(&name, 1u32).unwrap();
    differs(Value::<u64>::open(&name), &[&name, "u32", "u64"]);
    differs(Value::<i32>::open(&name), &[&name, "u32", "i32"]);
    differs(Value::<Nothing>::open_or_create(&name, Nothing), &[&name, "u32", "Nothing"]);
    differs(commons::Atomic::<u32>::open(&name), &[&name, "Value of u32", "Atomic of u32"]);
    differs(commons::Array::<u32>::open(&name), &[&name, "Value of u32", "Array of u32"]);
    differs(Shared::<Versioned<u32>>::open(&name), &[&name, "Value of u32", "Shared of Versioned<u32>"]);
    let name = unique("same-name");
    let _line = Value::create(&name, Line { n: 1 }).unwrap();
    differs(Value::<other::Line>::open(&name), &["Line", "64"]);
}

/// A handle wherever a message can have one.
#[derive(Debug, Serialize, Deserialize)]
struct Carrier {
    plain: Value<u64>,
    maybe: Option<Value<u64>>,
    many: Vec<Value<u64>>,
    by_name: HashMap<String, Value<u64>>,
}

impl Carrier {
    fn of(value: &Value<u64>) -> Self {
        Self {
            plain: value.clone(),
            maybe: Some(value.clone()),
            many: vec![value.clone(); 3],
            by_name: HashMap::from([("one".to_owned(), value.clone())]),
        }
    }

    fn add(&self) {
        self.plain.update(|n| *n += 1);
        self.maybe.as_ref().unwrap().update(|n| *n += 10);
        self.many.iter().for_each(|v| v.update(|n| *n += 100));
        self.by_name["one"].update(|n| *n += 1_000);
    }
}

#[test]
fn handles_travel_inside_anything() {
    let _watch = bounded("handles in messages");
    for value in [Value::new(0u64), Value::create(&unique("carried"), 0u64)] {
        let value = value.unwrap();
        let back = join(commons::spawn(Carrier::of(&value), |carrier| {
            carrier.add();
            // On to a process of its own, and all the way back.
            join(commons::spawn(carrier, |carrier| {
                carrier.add();
                carrier
            }))
        }));
        back.add();
        assert_eq!(value.get(), 3 * 1_311);
        assert_eq!(back.plain.name(), value.name());
    }
}

/// What a worker made that has ended at once is here.
#[track_caller]
fn comes_home<R: Message>(make: fn(()) -> R, look: impl Fn(R)) {
    look(join(commons::spawn((), make)));
}

#[test]
fn what_a_worker_made_is_here_when_it_is_gone() {
    let _watch = bounded("results of workers that end at once");
    comes_home(|()| Value::new(7u64).unwrap(), |value| assert_eq!(value.update(|v| *v + 1), 8));
    comes_home(|()| Some(Value::new(BEST).unwrap()), |value| assert_eq!(value.unwrap().get(), BEST));
    comes_home(
        |()| Value::new([7u8; 3]).map_err(commons::Failure::from),
        |value| assert_eq!(value.unwrap().get(), [7; 3]),
    );
    comes_home(
        |()| (0..20).map(|n| Value::new(n).unwrap()).collect::<Vec<Value<u64>>>(),
        |values| values.into_iter().enumerate().for_each(|(n, value)| assert_eq!(value.get(), n as u64)),
    );
    comes_home(
        |()| Value::create(&unique("home"), 5u8).unwrap(),
        |value| {
            assert_eq!(Value::<u8>::open(value.name().unwrap()).unwrap().get(), 5);
            value.set(6);
        },
    );
    comes_home(
        |()| {
            let value = Value::new(1u64).unwrap();
            value.update(|v| *v = 2);
            Carrier::of(&value)
        },
        |carrier| {
            carrier.add();
            assert_eq!(carrier.by_name["one"].get(), 1_313);
        },
    );
}

#[test]
fn a_handle_whose_object_is_gone_says_so() {
    let value = Value::new(1u64).unwrap();
    let bytes = postcard::to_stdvec(&value).unwrap();
    assert_eq!(postcard::from_bytes::<Value<u64>>(&bytes).unwrap().get(), 1);
    assert!(postcard::from_bytes::<Value<u32>>(&bytes).is_err());
    drop(value);
    assert!(postcard::from_bytes::<Value<u64>>(&bytes).is_err());
}

#[test]
fn bytes_that_are_no_value_are_told_and_mended_by_the_next_set() {
    #[track_caller]
    fn check<T: Plain + Send + PartialEq + Debug>(good: T) {
        let name = unique("corrupt");
        let value = Value::create(&name, good).unwrap();
        // Two slots stand behind lock and counters.
        Bytes::of(&name).overwrite(64, &vec![NO_VALUE; 2 * size_of::<T>()]);
        let error = value.try_get().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let short = std::any::type_name::<T>().rsplit("::").next().unwrap();
        let sentence = [format!("a valid {short}"), "another process has overwritten it".to_owned()];
        let sentence = [sentence[0].as_str(), sentence[1].as_str()];
        has(error, &sentence);
        has(panic_of(|| value.get()), &sentence);
        has(panic_of(|| value.update(|_| ())), &sentence);
        has(panic_of(|| drop(value.lock())), &sentence);
        has(panic_of(|| drop(value.try_lock())), &sentence);
        has(panic_of(|| value.wait_until_timeout(|_| true, LONG)), &sentence);
        has(format!("{value:?}"), &["<corrupt>"]);
        let other =
            join(commons::spawn(value.clone(), |value: Value<T>| value.try_get().unwrap_err().to_string()));
        has(other, &sentence);
        // Every failure left the lock free, and a whole value can be set.
        value.set(good);
        assert_eq!(value.get(), good);
    }
    check(true);
    check('x');
    check(Phase::Busy);
    check(BEST);
}

#[test]
fn counters_that_somebody_scribbled_over_hang_nobody() {
    let _watch = bounded("scribbled counters");
    // Two counters stand behind the lock of 40 bytes.
    for (at, bits) in [(40, u64::MAX), (48, u64::MAX), (48, u64::MAX - 1), (40, 1 << 40), (48, 1 << 63)] {
        let name = unique("scribbled");
        let value = Value::create(&name, 5u64).unwrap();
        Bytes::of(&name).overwrite(at, &bits.to_ne_bytes());
        value.get();
        for n in 0..5 {
            value.set(n);
            assert_eq!(value.get(), n);
            value.update(|v| *v += 1);
            assert_eq!(value.get(), n + 1);
        }
    }
}

#[derive(Shareable)]
#[repr(C)]
struct Board {
    best: Versioned<Best>,
    lanes: [Versioned<[u64; 3]>; 4],
}

#[test]
fn cells_in_a_structure_are_values_of_their_own() {
    let _watch = bounded("cells in a structure");
    let board = Board { best: Versioned::new(BEST), lanes: Default::default() };
    board.lanes[1].update(|lane| lane[2] = 7);
    assert_eq!(board.lanes[1].get(), [0, 0, 7], "it works before it is shared, too");
    let board = Shared::new(board).unwrap();
    let add = |(board, lane): (Shared<Board>, usize)| {
        for _ in 0..1_000 {
            board.lanes[lane].update(|n| n.iter_mut().for_each(|n| *n += 1));
            board.best.update(|best| best.score += 1.0);
        }
    };
    let workers = [0, 1].map(|lane| commons::spawn((board.clone(), lane), add));
    add((board.clone(), 3));
    join_all(workers);
    assert_eq!(
        board.lanes.each_ref().map(Versioned::get),
        [[1_000; 3], [1_000, 1_000, 1_007], [0; 3], [1_000; 3]]
    );
    assert_eq!(board.best.get().score, 2_999.5);
}

#[test]
fn a_cell_outside_of_segments_works_in_its_process() {
    let _watch = bounded("cells on the stack");
    let cell = Versioned::new([0u64; 2]);
    cell.update(|v| v[1] = 1);
    assert_eq!(cell.get(), [0, 1]);
    panic_of(|| {
        cell.update(|v| {
            v[1] = 9;
            panic!("in the middle");
        })
    });
    has(panic_of(|| cell.update(|_| cell.set([9; 2]))), &["this thread holds the lock already"]);
    let boxed = Box::new(Versioned::new(0u64));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..1_000).for_each(|_| boxed.update(|n| *n += 1)));
        }
    });
    assert_eq!((cell.get(), boxed.get()), ([0, 1], 3_000));
    assert_eq!(format!("{cell:?}"), "Versioned([0, 1])");
}
