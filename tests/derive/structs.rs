//! Structs: which bits are values, and that padding is cleared.

use std::marker::PhantomData;

use commons::Plain;

use crate::place::{Place, at, clears, valid_bytes};

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(u8)]
pub(crate) enum Phase {
    Idle = 1,
    Busy,
    Done = 9,
}

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
pub(crate) struct Best {
    pub(crate) found: bool,
    pub(crate) score: f64,
    pub(crate) phase: Phase,
    pub(crate) letter: char,
    pub(crate) flag: bool,
}

pub(crate) const BEST: Best =
    Best { found: true, score: -0.5, phase: Phase::Busy, letter: 'ß', flag: false };

#[test]
fn padding_of_a_struct_is_cleared() {
    clears(BEST, &[0..1, 8..16, 16..17, 20..24, 24..25]);
}

#[test]
fn each_field_of_a_struct_is_checked() {
    let mut place = Place::holding(BEST, &[0..25], 0xAA);
    assert_eq!(valid_bytes(&mut place, 0), [0, 1]);
    place.set(0, &[1]);
    assert_eq!(valid_bytes(&mut place, 16), [1, 2, 9]);
    place.set(16, &[9]);
    assert_eq!(valid_bytes(&mut place, 24), [0, 1]);
    place.set(24, &[0]);
    for (bits, letter) in
        [(0x41, Some('A')), (0xD800, None), (0xDFFF, None), (0x0010_FFFF, Some('\u{10FFFF}'))]
    {
        place.set(20, &u32::to_ne_bytes(bits));
        assert_eq!(place.is_valid().then(|| place.value().letter), letter);
    }
    place.set(20, &u32::to_ne_bytes(0x0011_0000));
    assert!(!place.is_valid());
}

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
struct Nested {
    small: u8,
    best: Best,
    grid: [[Best; 2]; 2],
    none: [Best; 0],
    tail: Pair,
}

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
pub(crate) struct Pair(pub(crate) u8, pub(crate) u16);

#[test]
fn padding_is_cleared_in_fields_and_in_arrays_of_structs() {
    let nested = Nested { small: 3, best: BEST, grid: [[BEST; 2]; 2], none: [], tail: Pair(1, 2) };
    let mut fields =
        vec![at(&nested, &nested.small), at(&nested, &nested.tail.0), at(&nested, &nested.tail.1)];
    for best in [&nested.best].into_iter().chain(nested.grid.as_flattened()) {
        fields.extend([at(&nested, &best.found), at(&nested, &best.score), at(&nested, &best.phase)]);
        fields.extend([at(&nested, &best.letter), at(&nested, &best.flag)]);
    }
    clears(nested, &fields);
}

#[test]
fn each_element_of_an_array_is_checked() {
    let nested = Nested { small: 3, best: BEST, grid: [[BEST; 2]; 2], none: [], tail: Pair(1, 2) };
    for best in nested.grid.as_flattened() {
        let mut place = Place::holding(nested, &[0..size_of::<Nested>()], 0);
        let phase = at(&nested, &best.phase).start;
        assert_eq!(valid_bytes(&mut place, phase), [1, 2, 9]);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(transparent)]
struct Transparent(PhantomData<u8>, Pair, PhantomData<u8>);

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(transparent)]
struct Flags([bool; 3]);

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C, align(16))]
struct Aligned {
    n: u32,
    aligner: [u64; 0],
    m: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
struct Unit;

#[test]
fn fields_of_no_size_and_greater_alignments_are_counted() {
    clears(Transparent(PhantomData, Pair(1, 2), PhantomData), &[0..1, 2..4]);
    clears(Aligned { n: 7, aligner: [], m: 9 }, &[0..4, 8..9]);
    clears(Unit, &[]);
    assert!(Place::<Unit>::filled(0).is_valid());
}

#[test]
fn an_array_of_what_has_invalid_bits_is_checked() {
    for i in 0..3 {
        assert_eq!(valid_bytes(&mut Place::<Flags>::filled(0), i), [0, 1]);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
struct Generic<T, M, const N: usize> {
    flag: bool,
    items: [T; N],
    last: T,
    kind: PhantomData<M>,
}

#[test]
fn generic_structs_are_plain_if_their_fields_are() {
    let generic = Generic { flag: true, items: [BEST; 2], last: BEST, kind: PhantomData::<u32> };
    let mut fields = vec![0..1];
    for best in generic.items.iter().chain([&generic.last]) {
        fields.extend([at(&generic, &best.found), at(&generic, &best.score), at(&generic, &best.phase)]);
        fields.extend([at(&generic, &best.letter), at(&generic, &best.flag)]);
    }
    clears(generic, &fields);
    let mut place = Place::<Generic<Phase, u8, 3>>::filled(1);
    for i in 1..5 {
        assert_eq!(valid_bytes(&mut place, i), [1, 2, 9]);
        place.set(i, &[1]);
    }
}
