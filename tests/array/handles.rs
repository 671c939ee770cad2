//! Making, opening, describing and sending.

use std::collections::HashMap;

use commons::{Array, AtomicArray, Error, ErrorKind, Value};
use serde::{Deserialize, Serialize};

use crate::common::{
    file_of, unique,
    workers::{Line, bounded, has, join, panic_of},
};

#[test]
fn arrays_have_shapes() {
    let matrix = Array::<f64>::with_shape([3, 4]).unwrap();
    assert_eq!((matrix.len(), matrix.shape()), (12, vec![3, 4]));
    assert_eq!(format!("{matrix:?}"), "Array { type: \"f64\", shape: [3, 4] }");
    matrix.set(11, 1.0);
    assert_eq!(matrix.share(..).unwrap()[11], 1.0);
    assert_eq!(Array::<u8>::new(7).unwrap().shape(), [7]);
    assert_eq!(Array::<u8>::with_shape([2; 8]).unwrap().len(), 256);
    let one = Array::<u8>::with_shape([]).unwrap();
    assert_eq!((one.len(), one.shape()), (1, vec![]));
    let none = Array::<u8>::with_shape([4, 0, 5]).unwrap();
    assert_eq!((none.len(), none.shape()), (0, vec![4, 0, 5]));
    let error = Array::<u8>::with_shape([1; 9]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    has(error, &["9 dimensions", "8"]);

    let name = unique("shape");
    let made = Array::<u16>::options().create_with_shape(&name, [2, 3]).unwrap();
    assert_eq!(Array::<u16>::open(&name).unwrap().shape(), [2, 3]);
    let shape = join(commons::spawn(made.clone(), |array: Array<u16>| array.shape()));
    assert_eq!((shape, made.info().shape), (vec![2, 3], vec![2, 3]));
}

#[test]
fn split_covers_everything_once() {
    for len in [0, 1, 2, 5, 10, 97] {
        let array = Array::<u8>::new(len).unwrap();
        for parts in [1, 2, 3, 4, 7, 96, 97, 98, usize::MAX] {
            let ranges = array.split(parts);
            assert_eq!(ranges.len(), parts.min(len).max(1));
            let ranges: Vec<_> = ranges.collect();
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, len));
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            let sizes: Vec<_> = ranges.iter().map(ExactSizeIterator::len).collect();
            assert!(
                sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1,
                "{len} in {parts}: {sizes:?}"
            );
        }
        has(panic_of(|| array.split(0).len()), &["0 parts"]);
    }
}

#[test]
fn names_are_made_opened_and_go() {
    let name = unique("name");
    let array = Array::<u32>::create(&name, 5).unwrap();
    array.set(1, 8);
    assert_eq!(array.name(), Some(name.as_str()));
    assert_eq!(format!("{array:?}"), format!("Array {{ name: {name:?}, type: \"u32\", shape: [5] }}"));
    assert_eq!(Array::<u32>::open(&name).unwrap().get(1), Some(8));
    assert_eq!(Array::<u32>::open_or_create(&name, 5).unwrap().get(1), Some(8));
    for taken in [Array::<u32>::create(&name, 5), Array::create_from(&name, &[1u32])] {
        let taken = taken.unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
        has(taken, &[&name]);
    }
    let info = array.info();
    assert_eq!(
        (info.kind.as_str(), info.type_name.as_str(), info.shape.as_slice()),
        ("Array", "u32", &[5][..])
    );
    drop(array);
    assert!(!file_of(&name).exists());
    assert_eq!(Array::<u32>::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(Array::<u32>::open_or_create(&name, 2).unwrap().to_vec(), [0, 0]);
}

#[test]
fn opening_something_else_names_both_sides() {
    #[track_caller]
    fn differs<H: std::fmt::Debug>(opened: Result<H, Error>, parts: &[&str]) {
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        has(error, parts);
    }
    let name = unique("other");
    let _array = Array::<u32>::create(&name, 5).unwrap();
    differs(Array::<u64>::open(&name), &[&name, "u32", "u64"]);
    differs(Array::<f32>::open(&name), &[&name, "u32", "f32"]);
    differs(Array::<[u32; 1]>::open(&name), &[&name, "u32", "[u32; 1]"]);
    differs(Array::<Line>::open(&name), &[&name, "u32", "Line"]);
    differs(Array::<u32>::open_or_create(&name, 6), &[&name, "5 elements", "6 elements"]);
    differs(Value::<u32>::open(&name), &[&name, "Array of u32", "Value of u32"]);
    differs(AtomicArray::<u32>::open(&name), &[&name, "Array of u32", "AtomicArray of u32"]);
}

#[test]
fn more_than_there_is_is_an_error_with_numbers() {
    #[track_caller]
    fn too_much<H: std::fmt::Debug>(made: Result<H, Error>, parts: &[&str]) {
        let error = made.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        has(error, parts);
    }
    let name = unique("huge");
    let all = usize::MAX.to_string();
    too_much(Array::<u64>::new(usize::MAX), &[&all, "u64", "8 bytes each"]);
    too_much(Array::<u8>::new(usize::MAX), &[&all]);
    too_much(Array::<u8>::with_shape([usize::MAX, 2]), &[&all, "2"]);
    too_much(Array::<u64>::create(&name, usize::MAX), &[&all]);
    too_much(Array::<u64>::open_or_create(&name, usize::MAX), &[&all]);
    // What can be addressed and is not there.
    for len in [1 << 52, 1 << 62] {
        let needed = len.to_string()[..4].to_owned();
        too_much(Array::<u8>::new(len), &[&needed, "needs", "only", "more"]);
        too_much(Array::<u8>::create(&name, len), &[&name, "needs", "only", "more"]);
        too_much(Array::<u8>::with_shape([2, len / 2]), &["needs"]);
    }
    assert!(!file_of(&name).exists());
    assert_eq!(Array::<u8>::create(&name, 3).unwrap().len(), 3);
}

/// Handles wherever a message can have them.
#[derive(Serialize, Deserialize)]
struct Carrier {
    array: Array<u64>,
    maybe: Option<Array<[u8; 3]>>,
    many: Vec<Array<u64>>,
    by_name: HashMap<String, Array<f64>>,
}

#[test]
fn what_a_worker_made_is_here_when_it_is_gone() {
    let _watch = bounded("arrays of workers that end at once");
    let array = join(commons::spawn(1_000, |len| {
        let array = Array::<f64>::new(len).unwrap();
        array.claim(..).unwrap().fill(0.5);
        array
    }));
    assert_eq!(array.share(..).unwrap().iter().sum::<f64>(), 500.0);

    let carrier = join(commons::spawn(array, |halves| Carrier {
        array: Array::from_slice(&[1, 2, 3]).unwrap(),
        maybe: Some(Array::create_from(&unique("carried"), &[[1, 2, 3]]).unwrap()),
        many: (1..=20).map(|len| Array::new(len).unwrap()).collect(),
        by_name: HashMap::from([("halves".to_owned(), halves)]),
    }));
    assert_eq!(carrier.array.to_vec(), [1, 2, 3]);
    let named = carrier.maybe.unwrap();
    assert_eq!(Array::<[u8; 3]>::open(named.name().unwrap()).unwrap().to_vec(), [[1, 2, 3]]);
    assert!(carrier.many.iter().zip(1..).all(|(array, len)| array.len() == len));
    assert_eq!(carrier.by_name["halves"].len(), 1_000, "what went there came back");

    let failed: Result<Array<u8>, commons::Failure> =
        join(commons::spawn((), |()| Array::<u8>::new(usize::MAX).map_err(commons::Failure::from)));
    has(failed.unwrap_err(), &["18446744073709551615"]);
}

#[test]
fn a_handle_to_something_else_is_refused() {
    let array = Array::<u64>::new(3).unwrap();
    let bytes = postcard::to_stdvec(&array).unwrap();
    assert_eq!(postcard::from_bytes::<Array<u64>>(&bytes).unwrap().len(), 3);
    assert!(postcard::from_bytes::<Array<i64>>(&bytes).is_err());
    assert!(postcard::from_bytes::<Value<u64>>(&bytes).is_err());
    drop(array);
    assert!(postcard::from_bytes::<Array<u64>>(&bytes).is_err());
}
