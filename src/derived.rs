//! What the code of the derives calls. Not part of the API: it changes with the derives.
//!
//! # Safety
//! The unsafe steps of `#[derive(Plain)]` stand here once, so that the code it writes is a list of
//! field types.

#![allow(unsafe_code)]

use crate::{plain::Plain, shareable};

/// What a `Shareable` structure implements, and what every type with a `Drop` implements already.
///
/// So `impl Drop` for a derived structure is a conflict, at its definition, generic or not.
pub trait HasNoDrop {}

#[allow(drop_bounds, reason = "to find the types that implement `Drop` by hand is the point")]
impl<T: Drop + ?Sized> HasNoDrop for T {}

/// The name of `T` without the paths.
pub fn short_type_name<T: ?Sized>() -> String {
    shareable::short_type_name::<T>()
}

/// The greatest of `aligns`, at least 1: the alignment of a `repr(C)` union.
pub const fn union_align(aligns: &[usize]) -> usize {
    let (mut greatest, mut i) = (1, 0);
    while i < aligns.len() {
        if aligns[i] > greatest {
            greatest = aligns[i];
        }
        i += 1;
    }
    greatest
}

/// A walk along the fields of a `repr(C)` structure, in their order.
///
/// Each field begins at the first multiple of its alignment after the field before. That is the
/// definition of `repr(C)`, and of each variant of an enum with a primitive representation
/// (RFC 2195), for whose fields there is no `offset_of!`. In a `repr(transparent)` structure all
/// fields but one have size 0 and alignment 1, so the rule holds there too.
#[derive(Debug)]
pub struct Walk {
    base: *mut u8,
    /// Where the next field begins at the earliest.
    next: usize,
    /// Bytes before this one are fields, or cleared.
    clean: usize,
}

impl Walk {
    /// A walk along the value at `base` that begins behind `head` bytes, which hold a tag.
    #[inline]
    pub const fn new(base: *mut u8, head: usize) -> Self {
        Self { base, next: head, clean: head }
    }

    /// Goes to the next multiple of `align`, where the fields of a `repr(C, u8)` enum begin.
    #[inline]
    pub const fn align_to(&mut self, align: usize) {
        self.next = self.next.next_multiple_of(align);
    }

    /// Whether the next field, `count` times an `F`, has valid bits.
    ///
    /// # Safety
    /// - The value at `base` has such a field next.
    /// - The value is aligned, readable and initialised, and nobody writes it during the call.
    #[inline]
    pub unsafe fn has_valid_bits<F: Plain>(&mut self, count: usize) -> bool {
        let start = self.enter::<F>(count);
        // SAFETY: the field begins `start` bytes into the value.
        let first = unsafe { self.base.add(start) }.cast::<F>();
        (0..count).all(|i| {
            // SAFETY: the field has `count` elements.
            let element = unsafe { first.add(i) };
            // SAFETY: an element of a field of an aligned, readable, initialised, unwritten value.
            unsafe { F::has_valid_bits(element) }
        })
    }

    /// Clears the padding before the next field, `count` times an `F`, and within it.
    ///
    /// # Safety
    /// - The value at `base` has such a field next, and it is valid.
    /// - The value is aligned and writable, and nobody else touches it during the call.
    #[inline]
    pub unsafe fn clear_padding<F: Plain>(&mut self, count: usize) {
        let start = self.enter::<F>(count);
        // SAFETY: no field lies between the end of the last one and the start of this one.
        unsafe { self.zero_until(start) };
        self.clean = self.next;
        // SAFETY: the field begins `start` bytes into the value.
        let first = unsafe { self.base.add(start) }.cast::<F>();
        for i in 0..count {
            // SAFETY: the field has `count` elements.
            let element = unsafe { first.add(i) };
            // SAFETY: an element of a valid field of an aligned value that is ours to write.
            unsafe { F::clear_padding(element) };
        }
    }

    /// Clears what is left behind the last field of a value of `size` bytes.
    ///
    /// # Safety
    /// - All fields have been walked.
    /// - The value at `base` is writable for `size` bytes, and nobody else touches it during the call.
    #[inline]
    pub unsafe fn clear_rest(self, size: usize) {
        // SAFETY: no field lies behind the last one.
        unsafe { self.zero_until(size) };
    }

    /// Steps over the next field and returns where it begins.
    #[inline]
    const fn enter<F>(&mut self, count: usize) -> usize {
        self.align_to(align_of::<F>());
        let start = self.next;
        self.next += count * size_of::<F>();
        start
    }

    /// # Safety
    /// - The bytes from `clean` up to `end` are padding of the value, and ours to write.
    #[inline]
    unsafe fn zero_until(&self, end: usize) {
        // SAFETY: `clean` is at most `end`, which lies in the value.
        let gap = unsafe { self.base.add(self.clean) };
        // SAFETY: padding of the value, and the caller may write it.
        unsafe { gap.write_bytes(0, end - self.clean) };
    }
}
