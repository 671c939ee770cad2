//! The bytes of a value, one by one.
//!
//! # Safety
//! The methods of `Plain` are unsafe, and tests look at single bytes, padding too.

#![allow(unsafe_code)]

use std::{fmt::Debug, mem::MaybeUninit, ops::Range};

use commons::Plain;

/// The bytes of a value in aligned memory of their own.
pub(crate) struct Place<T>(Box<MaybeUninit<T>>);

impl<T: Plain> Place<T> {
    pub(crate) fn filled(byte: u8) -> Self {
        let mut place = Box::new(MaybeUninit::<T>::uninit());
        // SAFETY: the box is writable for one `T`.
        unsafe { place.as_mut_ptr().write_bytes(byte, 1) };
        Self(place)
    }

    /// `value`, with every byte outside `fields` set to `byte`.
    pub(crate) fn holding(value: T, fields: &[Range<usize>], byte: u8) -> Self {
        let mut place = Self(Box::new(MaybeUninit::new(value)));
        for i in (0..size_of::<T>()).filter(|i| !fields.iter().any(|field| field.contains(i))) {
            // SAFETY: a byte of the box.
            unsafe { place.0.as_mut_ptr().cast::<u8>().wrapping_add(i).write(byte) };
        }
        place
    }

    pub(crate) fn set(&mut self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= size_of::<T>());
        for (i, byte) in bytes.iter().enumerate() {
            // SAFETY: a byte of the box.
            unsafe { self.0.as_mut_ptr().cast::<u8>().wrapping_add(at + i).write(*byte) };
        }
    }

    /// All bytes, which must be initialised.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        // SAFETY: the box is readable, and the tests initialise every byte.
        (0..size_of::<T>()).map(|i| unsafe { self.0.as_ptr().cast::<u8>().wrapping_add(i).read() }).collect()
    }

    pub(crate) fn is_valid(&self) -> bool {
        // SAFETY: aligned and readable, and the tests initialise every byte.
        unsafe { T::has_valid_bits(self.0.as_ptr()) }
    }

    pub(crate) fn value(&self) -> T {
        assert!(self.is_valid());
        // SAFETY: the bits were just found valid.
        unsafe { self.0.as_ptr().read() }
    }
}

/// Clears the padding of `value` and checks each byte: those of `fields` stay, all others are zero.
pub(crate) fn clears<T: Plain + Debug + PartialEq>(value: T, fields: &[Range<usize>]) {
    let mut place = Place::holding(value, fields, 0xAA);
    let expected: Vec<u8> = place
        .bytes()
        .into_iter()
        .enumerate()
        .map(|(i, byte)| if fields.iter().any(|field| field.contains(&i)) { byte } else { 0 })
        .collect();
    // SAFETY: the box holds `value`, and nobody else has it.
    unsafe { T::clear_padding(place.0.as_mut_ptr()) };
    assert_eq!(place.bytes(), expected, "{value:?}");
    assert_eq!(place.value(), value);
}

/// Where `field` lies in `value`.
pub(crate) fn at<T, F>(value: &T, field: &F) -> Range<usize> {
    let start = (&raw const *field).addr() - (&raw const *value).addr();
    start..start + size_of::<F>()
}

/// Which values of the byte at `at` are valid, if the other bytes are those of `place`.
pub(crate) fn valid_bytes<T: Plain>(place: &mut Place<T>, at: usize) -> Vec<u8> {
    (0..=u8::MAX)
        .filter(|byte| {
            place.set(at, &[*byte]);
            place.is_valid()
        })
        .collect()
}
