//! Enums: which tags and fields are values, and that padding is cleared.

use std::{marker::PhantomData, num::NonZeroU16, ops::Range};

use commons::Plain;

use crate::{
    place::{Place, at, clears, valid_bytes},
    structs::{BEST, Best, Pair, Phase},
};

const NINE: i8 = 9;

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(i8)]
enum Signed {
    Low = i8::MIN,
    Next,
    Nine = NINE,
    Ten,
    Shifted = 1 << 2,
    Block = {
        const ONE: i8 = 1;
        -ONE
    },
    Zero,
}

#[test]
fn explicit_discriminants_are_evaluated() {
    let mut valid = valid_bytes(&mut Place::<Signed>::filled(0), 0);
    let mut expected: Vec<u8> =
        [Signed::Low, Signed::Next, Signed::Nine, Signed::Ten, Signed::Shifted, Signed::Block, Signed::Zero]
            .map(|signed| signed as i8 as u8)
            .to_vec();
    valid.sort_unstable();
    expected.sort_unstable();
    assert_eq!(valid, expected);
    assert_eq!(valid, [0, 4, 9, 10, 128, 129, 255]);
}

/// A tag further from the last explicit one than its type's greatest value.
macro_rules! far {
    ($($name:ident)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Plain)]
        #[repr(i8)]
        #[allow(dead_code, reason = "their number is the point")]
        enum Far {
            First = i8::MIN,
            $($name,)*
            Last,
        }
    };
}

far! {
    A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 B0 B1 B2 B3 B4 B5 B6 B7 B8 B9 C0 C1 C2 C3 C4 C5 C6 C7 C8 C9 D0 D1 D2 D3 D4
    D5 D6 D7 D8 D9 E0 E1 E2 E3 E4 E5 E6 E7 E8 E9 F0 F1 F2 F3 F4 F5 F6 F7 F8 F9 G0 G1 G2 G3 G4 G5 G6 G7 G8 G9
    H0 H1 H2 H3 H4 H5 H6 H7 H8 H9 I0 I1 I2 I3 I4 I5 I6 I7 I8 I9 J0 J1 J2 J3 J4 J5 J6 J7 J8 J9 K0 K1 K2 K3 K4
    K5 K6 K7 K8 K9 L0 L1 L2 L3 L4 L5 L6 L7 L8 L9 M0 M1 M2 M3 M4 M5 M6 M7 M8 M9
}

#[test]
fn a_tag_may_be_further_from_the_first_than_its_type_can_count() {
    let mut place = Place::<Far>::filled(3);
    assert_eq!(place.value(), Far::Last);
    let expected: Vec<u8> = (0..=3).chain(128..=255).collect();
    assert_eq!(valid_bytes(&mut place, 0), expected);
}

macro_rules! every_tag {
    ($($integer:ident $name:ident)*) => {
        $(
            #[derive(Clone, Copy, Debug, PartialEq, Plain)]
            #[repr($integer)]
            #[allow(clippy::enum_clike_unportable_variant, reason = "each tag is as wide as its machine says")]
            enum $name { Zero, Far = $integer::MAX - 1, Last }
        )*

        #[test]
        fn every_integer_type_may_be_the_tag() {
            $(
                let mut place = Place::<$name>::filled(0);
                for tag in [0, 1, 2, $integer::MAX - 2, $integer::MAX - 1, $integer::MAX, $integer::MIN] {
                    place.set(0, &tag.to_ne_bytes());
                    let known = [$name::Zero, $name::Far, $name::Last].into_iter().find(|v| *v as $integer == tag);
                    assert_eq!(place.is_valid().then(|| place.value()), known);
                }
                clears($name::Far, &[0..size_of::<$integer>()]);
            )*
        }
    };
}

every_tag!(u8 U8 u16 U16 u32 U32 u64 U64 usize Usize i8 I8 i16 I16 i32 I32 i64 I64 isize Isize);

/// The same variants in each of the layouts that an enum with fields may have.
macro_rules! events {
    ($name:ident, $test:ident, $integer:ident, $($repr:tt)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Plain)]
        #[repr($($repr)*)]
        enum $name {
            Nothing,
            Byte(u8) = 5,
            Named { flag: bool, n: u64, pair: Pair, last: u8 },
            Phases([Phase; 3], NonZeroU16),
            Padded(Pair) = 40,
            Empty {},
            Marker(PhantomData<u8>),
            Bests([Best; 2], char),
        }

        impl $name {
            const TAGS: [u8; 8] = [0, 5, 6, 7, 40, 41, 42, 43];

            fn samples() -> [Self; 8] {
                [
                    Self::Nothing,
                    Self::Byte(3),
                    Self::Named { flag: true, n: u64::MAX, pair: Pair(1, 2), last: 3 },
                    Self::Phases([Phase::Idle, Phase::Busy, Phase::Done], NonZeroU16::MAX),
                    Self::Padded(Pair(4, 5)),
                    Self::Empty {},
                    Self::Marker(PhantomData),
                    Self::Bests([BEST; 2], 'x'),
                ]
            }

            /// Where the tag and the fields lie, as the compiler says.
            fn fields(&self) -> Vec<Range<usize>> {
                let mut fields = vec![0..size_of::<$integer>()];
                match self {
                    Self::Nothing | Self::Empty {} | Self::Marker(_) => {}
                    Self::Byte(byte) => fields.push(at(self, byte)),
                    Self::Named { flag, n, pair, last } => {
                        fields.extend([at(self, flag), at(self, n), at(self, last)]);
                        fields.extend([at(self, &pair.0), at(self, &pair.1)]);
                    }
                    Self::Phases(phases, n) => fields.extend([at(self, phases), at(self, n)]),
                    Self::Padded(pair) => fields.extend([at(self, &pair.0), at(self, &pair.1)]),
                    Self::Bests(bests, letter) => {
                        for best in bests {
                            fields.extend([at(self, &best.found), at(self, &best.score), at(self, &best.phase)]);
                            fields.extend([at(self, &best.letter), at(self, &best.flag)]);
                        }
                        fields.push(at(self, letter));
                    }
                }
                fields
            }

            fn tag(tag: u8) -> [u8; size_of::<$integer>()] {
                $integer::from(tag).to_ne_bytes()
            }
        }

        #[test]
        fn $test() {
            for sample in $name::samples() {
                clears(sample, &sample.fields());
            }
            // No other tag is valid, whatever the fields are.
            for fill in [0, 1, 0xAA] {
                let mut place = Place::<$name>::filled(fill);
                for tag in (0..=u8::MAX).filter(|tag| !$name::TAGS.contains(tag)) {
                    place.set(0, &$name::tag(tag));
                    assert!(!place.is_valid(), "{tag}");
                }
            }
            // Each field of the live variant is checked, and only of that one.
            let [nothing, byte, named, phases, _, empty, marker, bests] = $name::samples();
            for (sample, tag) in [(nothing, 0), (byte, 5), (empty, 41), (marker, 42)] {
                let mut place = Place::holding(sample, &[], 0xAA);
                place.set(0, &$name::tag(tag));
                assert!(place.is_valid(), "{sample:?}");
            }
            if let $name::Named { flag, .. } = &named {
                let at = at(&named, flag).start;
                assert_eq!(valid_bytes(&mut Place::holding(named, &named.fields(), 0xAA), at), [0, 1]);
            }
            if let $name::Phases(list, n) = &phases {
                for phase in list {
                    let at = at(&phases, phase).start;
                    let mut place = Place::holding(phases, &phases.fields(), 0xAA);
                    assert_eq!(valid_bytes(&mut place, at), [1, 2, 9]);
                }
                let mut place = Place::holding(phases, &phases.fields(), 0xAA);
                place.set(at(&phases, n).start, &[0, 0]);
                assert!(!place.is_valid());
            }
            if let $name::Bests([_, best], letter) = &bests {
                let mut place = Place::holding(bests, &bests.fields(), 0xAA);
                assert_eq!(valid_bytes(&mut place, at(&bests, &best.phase).start), [1, 2, 9]);
                let mut place = Place::holding(bests, &bests.fields(), 0xAA);
                place.set(at(&bests, letter).start, &0xD800u32.to_ne_bytes());
                assert!(!place.is_valid());
            }
        }
    };
}

events!(ByteTag, enums_with_fields_and_a_byte_tag, u8, u8);
events!(WideTag, enums_with_fields_and_a_wide_tag, u64, u64);
events!(ShortTag, enums_with_fields_and_a_signed_tag, i16, i16);
events!(Apart, enums_with_fields_apart_from_a_byte_tag, u8, C, u8);
events!(WideApart, enums_with_fields_apart_from_a_wide_tag, u32, C, u32);
events!(AlignedTag, enums_with_fields_and_a_greater_alignment, u8, u8, align(64));

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(u8)]
enum Maybe<T, const N: usize> {
    Nothing,
    Some(T),
    Many { all: [T; N] },
}

#[test]
fn generic_enums_are_plain_if_their_fields_are() {
    type Of = Maybe<Pair, 2>;
    clears(Of::Nothing, &[0..1]);
    clears(Of::Some(Pair(1, 2)), &[0..1, 2..3, 4..6]);
    clears(Of::Many { all: [Pair(1, 2), Pair(3, 4)] }, &[0..1, 2..3, 4..6, 6..7, 8..10]);
    assert_eq!(valid_bytes(&mut Place::<Of>::filled(0), 0), [0, 1, 2]);
}
