//! Single elements and copies of many.

use std::{
    fmt::Debug,
    mem, thread,
    time::{Duration, Instant},
};

use commons::{Array, ErrorKind, Plain};

use crate::common::{
    chance::Chance,
    unique,
    workers::{
        BEST, Best, Bytes, LONG, Line, NO_VALUE, Nothing, Phase, Stage, await_stage, bounded, has, join,
        join_all, kill, panic_of,
    },
};

#[test]
fn elements_are_read_and_written() {
    let array = Array::<f64>::new(4).unwrap();
    assert_eq!((array.len(), array.is_empty(), array.to_vec()), (4, false, vec![0.0; 4]));
    array.set(3, 1.0);
    array.update(3, |x| *x += 1.0);
    assert_eq!(array.update(2, |x| mem::replace(x, 7.0)), 0.0);
    assert_eq!([2, 3, 4, usize::MAX].map(|i| array.get(i)), [Some(7.0), Some(2.0), None, None]);
    array.write(0, &[5.0, 6.0]).unwrap();
    let mut three = [0.0; 3];
    array.read(1, &mut three).unwrap();
    assert_eq!((three, array.to_vec()), ([6.0, 7.0, 2.0], vec![5.0, 6.0, 7.0, 2.0]));
    assert_eq!(array.clone().to_vec(), array.to_vec());
    assert_eq!(format!("{array:?}"), "Array { type: \"f64\", shape: [4] }");
}

#[test]
fn what_is_out_of_range_names_both_sides() {
    let array = Array::from_slice(&[1u8, 2, 3]).unwrap();
    for said in
        [panic_of(|| array.set(3, 1)), panic_of(|| array.update(3, |_| ())), panic_of(|| array.set(300, 1))]
    {
        has(said, &["the index is 3", "the length of the shared array is 3"]);
    }
    for (offset, count) in [(0, 4), (3, 1), (4, 0), (usize::MAX, 2)] {
        let parts = [count.to_string(), offset.to_string(), "array of 3".to_owned()];
        let parts = [parts[0].as_str(), parts[1].as_str(), parts[2].as_str()];
        for error in [array.read(offset, &mut vec![0; count]), array.write(offset, &vec![9; count])] {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            has(error, &parts);
        }
    }
    array.write(3, &[]).unwrap();
    array.read(0, &mut []).unwrap();
    assert_eq!(array.to_vec(), [1, 2, 3]);
}

#[test]
fn a_panic_inside_update_changes_nothing_and_leaves_the_array_free() {
    let array = Array::from_slice(&[[1u64; 9]; 2]).unwrap();
    panic_of(|| {
        array.update(1, |v| {
            v.fill(2);
            panic!("in the middle");
        })
    });
    assert_eq!(array.get(1), Some([1; 9]));
    array.update(1, |v| v.fill(3));
    assert_eq!(array.lock_timeout(LONG).unwrap()[1], [3; 9]);
}

#[test]
fn nested_use_panics_with_a_sentence_and_leaves_the_array_free() {
    let _watch = bounded("nested use of an array");
    let array = Array::from_slice(&[1u64, 2, 3]).unwrap();
    let again = array.clone();
    let sentence = ["this thread would wait for itself", "`update`"];
    let attempts: [&dyn Fn(); 4] =
        [&|| assert_eq!(again.get(2), None), &|| again.set(2, 7), &|| again.update(2, |v| *v = 7), &|| {
            drop(again.to_vec())
        }];
    for attempt in attempts {
        has(panic_of(|| array.update(0, |_| attempt())), &sentence);
        assert_eq!(array.to_vec(), [1, 2, 3]);
    }
    array.update(0, |_| {
        let errors = [
            again.read(0, &mut [0; 2]),
            again.write(0, &[1]),
            again.claim(2..).map(drop),
            again.lock().map(drop),
        ];
        for error in errors.map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::WouldDeadlock);
            has(error, &sentence);
        }
    });
    array.lock_timeout(LONG).unwrap().reverse();
    assert_eq!(array.to_vec(), [3, 2, 1]);
}

#[test]
fn every_update_counts_in_threads_of_processes() {
    const TIMES: u64 = 1_500;
    fn add(array: &Array<[u64; 3]>) {
        for turn in 0..TIMES as usize {
            array.update(turn % 4, |v| v.iter_mut().for_each(|n| *n += 1));
        }
    }
    let _watch = bounded("counting in threads of processes");
    let array = Array::<[u64; 3]>::new(4).unwrap();
    let work = |array: Array<[u64; 3]>| {
        thread::scope(|scope| {
            scope.spawn(|| add(&array));
            add(&array);
        });
    };
    let workers = [(); 2].map(|()| commons::spawn(array.clone(), work));
    work(array.clone());
    join_all(workers);
    assert_eq!(array.to_vec(), [[6 * TIMES / 4; 3]; 4]);
}

#[test]
fn copies_are_of_one_moment() {
    let _watch = bounded("copies while others write");
    const END: u64 = 500;
    let array = Array::<u64>::new(300).unwrap();
    let write = |(array, first): (Array<u64>, u64)| {
        for n in (first..=END).step_by(2) {
            array.write(0, &[n; 300]).unwrap();
        }
        array.write(0, &[END; 300]).unwrap();
    };
    let writers = [1, 2].map(|first| commons::spawn((array.clone(), first), write));
    let mut part = [0; 200];
    while part[0] != END {
        array.read(50, &mut part).unwrap();
        assert!(part.iter().all(|&n| n == part[0]), "{part:?}");
        let whole = array.to_vec();
        assert!(whole.iter().all(|&n| n == whole[0]), "{whole:?}");
    }
    join_all(writers);
}

#[test]
fn an_element_of_a_killed_writer_is_old_or_new() {
    let _watch = bounded("writers killed in the middle of an element");
    type Wide = [u64; 3_000];
    let array = Array::<Wide>::new(3).unwrap();
    let write = |array: Array<Wide>| -> () {
        let mut n = array.get(1).unwrap()[0];
        loop {
            n += 1;
            array.set(1, [n; 3_000]);
        }
    };
    let mut chance = Chance::new(1);
    for round in 0..24 {
        let before = array.get(1).unwrap()[0];
        let writer = commons::spawn(array.clone(), write).unwrap();
        while array.get(1).unwrap()[0] == before {
            thread::yield_now();
        }
        // Somewhere else each time: copying the old element, or the new one, or between two.
        let (start, moment) = (Instant::now(), Duration::from_micros(chance.below(1_000) as u64));
        while start.elapsed() < moment {
            thread::yield_now();
        }
        kill(&writer);
        let [left, right] = [0, 2].map(|i| array.get(i).unwrap());
        let middle = array.get(1).unwrap();
        assert!(middle.iter().all(|&n| n == middle[0]), "element 1 is a mixture after round {round}");
        assert_eq!((left, right), ([0; 3_000], [0; 3_000]), "its neighbours are as they were");
        array.set(1, middle);
    }
}

#[test]
fn who_is_killed_inside_update_changes_nothing() {
    let _watch = bounded("killed inside update");
    let (array, stage) = (Array::from_slice(&[BEST; 2]).unwrap(), Stage::new(0).unwrap());
    let hold = |(array, stage): (Array<Best>, Stage)| {
        array.update(0, |best| -> () {
            best.phase = Phase::Done;
            stage.set(1);
            loop {
                thread::park();
            }
        });
    };
    let holder = commons::spawn((array.clone(), stage.clone()), hold).unwrap();
    await_stage(&stage, 1);
    kill(&holder);
    assert_eq!(array.to_vec(), [BEST; 2]);
    array.update(0, |best| best.phase = Phase::Idle);
    assert_eq!(array.get(0).unwrap().phase, Phase::Idle);
}

/// Whether a type goes through an array whole, here and in another process.
#[track_caller]
fn travels<T: Plain + Send + PartialEq + Debug>(one: T, two: T) {
    let name = unique("type");
    let array = Array::create_from(&name, &[one, two, one, one, two]).unwrap();
    assert_eq!(array.info().element_size, size_of::<T>() as u64);
    array.set(0, two);
    array.update(1, |v| *v = one);
    array.write(2, &[two, two]).unwrap();
    assert_eq!(Array::<T>::open(&name).unwrap().to_vec(), [two, one, two, two, two]);
    join(commons::spawn(array.clone(), |array: Array<T>| {
        let mut first = [array.get(2).unwrap(); 2];
        array.read(0, &mut first).unwrap();
        array.write(3, &first).unwrap();
        let last = array.get(4).unwrap();
        array.update(0, |v| *v = last);
    }));
    assert_eq!(array.to_vec(), [one, one, two, two, one]);
    assert_eq!(array.get(4), Some(one));
}

#[test]
fn every_plain_type_travels() {
    travels((), ());
    travels(Nothing, Nothing);
    travels(true, false);
    travels('a', '\u{10FFFF}');
    travels(1u8, u8::MAX);
    travels(-1i16, i16::MIN);
    travels(1.5f32, -0.0);
    travels(1u64, u64::MAX);
    travels(1u128, u128::MAX - 1);
    travels([1u8, 2, 3], [9, 8, 7]);
    travels([1u16; 7], [2; 7]);
    travels([[1u64; 3]; 40], [[7; 3]; 40]);
    travels(BEST, Best { found: false, letter: 'x', ..BEST });
    travels(Phase::Idle, Phase::Done);
    travels(Line { n: 1 }, Line { n: 2 });
}

#[test]
fn elements_of_no_size_cost_nothing() {
    let many = Array::<()>::new(usize::MAX).unwrap();
    assert_eq!((many.len(), many.get(usize::MAX - 1)), (usize::MAX, Some(())));
    many.set(1 << 40, ());
    assert_eq!(many.claim(..).unwrap().len(), usize::MAX);
    assert!(many.info().file_bytes < 1 << 20);
}

#[test]
fn bytes_that_are_no_value_are_told_and_mended_by_the_next_set() {
    #[track_caller]
    fn check<T: Plain + Send + PartialEq + Debug>(good: T) {
        let name = unique("corrupt");
        let array = Array::create_from(&name, &[good; 3]).unwrap();
        Bytes::of(&name).overwrite_last(&vec![NO_VALUE; size_of::<T>()]);
        let short = std::any::type_name::<T>().rsplit("::").next().unwrap();
        let valid = format!("a valid {short} at index 2");
        let sentence = [valid.as_str(), "another process has overwritten it"];
        let mut all = [good; 3];
        let error = array.read(0, &mut all).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        has(error, &sentence);
        has(panic_of(|| array.get(2)), &sentence);
        has(panic_of(|| array.update(2, |_| ())), &sentence);
        has(panic_of(|| array.to_vec()), &sentence);
        assert_eq!((array.get(0), array.get(1)), (Some(good), Some(good)), "the others are whole");
        array.set(2, good);
        assert_eq!(array.to_vec(), [good; 3]);
    }
    check(true);
    check('x');
    check(Phase::Busy);
    check(BEST);
}
