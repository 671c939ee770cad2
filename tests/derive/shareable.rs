//! Offsets, names and resets of derived structures.

use std::{
    mem::offset_of,
    sync::atomic::{AtomicI16, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
};

use commons::{Field, Shareable};

/// Name, type, offset, count and stride of each field.
fn rows<T: Shareable>() -> Vec<(String, String, usize, usize, usize)> {
    T::fields().into_iter().map(|f| (f.name, f.type_name, f.offset, f.count, f.stride)).collect()
}

fn row(
    name: &str,
    type_name: &str,
    offset: usize,
    count: usize,
    stride: usize,
) -> (String, String, usize, usize, usize) {
    (name.to_owned(), type_name.to_owned(), offset, count, stride)
}

#[derive(Default, Shareable)]
#[repr(C)]
struct Lane {
    busy: AtomicU8,
    files: AtomicU32,
}

#[derive(Default, Shareable)]
#[repr(C)]
struct Census {
    seen: AtomicU8,
    total: AtomicU64,
    first: Lane,
    lanes: [Lane; 3],
    r#type: AtomicI16,
}

#[test]
fn fields_lie_where_the_compiler_puts_them() {
    assert_eq!(Census::type_name(), "Census");
    let lanes = offset_of!(Census, lanes);
    let expected = [
        row("seen", "AtomicU8", 0, 1, 1),
        row("total", "AtomicU64", 8, 1, 8),
        row("first.busy", "AtomicU8", 16, 1, 1),
        row("first.files", "AtomicU32", 20, 1, 4),
        row("lanes[].busy", "AtomicU8", lanes, 3, 8),
        row("lanes[].files", "AtomicU32", lanes + 4, 3, 8),
        row("type", "AtomicI16", offset_of!(Census, r#type), 1, 2),
    ];
    assert_eq!(rows::<Census>(), expected);
    assert_eq!(offset_of!(Census, total), 8);
    assert_eq!(lanes, 24);
}

#[derive(Shareable)]
#[repr(C)]
struct Pair(AtomicU8, AtomicU64);

#[derive(Shareable)]
#[repr(transparent)]
struct Wrapper(Pair);

#[derive(Shareable)]
#[repr(C)]
struct Nothing;

#[derive(Shareable)]
#[repr(C, align(64))]
struct Line {
    count: AtomicU64,
}

#[test]
fn tuple_fields_are_numbered() {
    assert_eq!(rows::<Pair>(), [row("0", "AtomicU8", 0, 1, 1), row("1", "AtomicU64", 8, 1, 8)]);
    assert_eq!(rows::<Wrapper>(), [row("0.0", "AtomicU8", 0, 1, 1), row("0.1", "AtomicU64", 8, 1, 8)]);
}

#[test]
fn a_structure_may_be_empty_or_aligned() {
    assert_eq!(Nothing::type_name(), "Nothing");
    assert_eq!(Nothing::fields(), []);
    assert_eq!(rows::<[Line; 2]>(), [row("[].count", "AtomicU64", 0, 2, 64)]);
}

#[test]
fn nested_fields_are_the_same_wherever_they_are_asked_for() {
    assert_eq!(Field::nested::<Lane>("first", 16), Census::fields()[2..4]);
}

/// Stands for the cells of `commons::sync`: it has something to reset, and `T` is not `Shareable`.
#[derive(Default)]
#[repr(C)]
struct Cell<T> {
    word: AtomicU32,
    kind: std::marker::PhantomData<T>,
}

// SAFETY: its only bytes are an atomic's.
#[allow(unsafe_code)]
unsafe impl<T: Send + Sync + 'static> Shareable for Cell<T> {
    fn type_name() -> String {
        "Cell".to_owned()
    }

    fn reset(&mut self) {
        *self.word.get_mut() = 0;
    }
}

#[derive(Default, Shareable)]
#[repr(C)]
struct Generic<T, U, V, const N: usize>
where
    [V; N]: Default,
{
    head: T,
    cell: Cell<U>,
    tail: [V; N],
}

#[test]
fn generic_structures_name_their_arguments() {
    type Of = Generic<AtomicU8, std::time::Duration, Lane, 2>;
    assert_eq!(Of::type_name(), "Generic<AtomicU8, Duration, Lane, 2>");
    let expected = [
        row("head", "AtomicU8", 0, 1, 1),
        row("cell", "Cell", 4, 1, 4),
        row("tail[].busy", "AtomicU8", 8, 2, 8),
        row("tail[].files", "AtomicU32", 12, 2, 8),
    ];
    assert_eq!(rows::<Of>(), expected);
    assert_eq!(<Generic<Lane, u8, Lane, 1>>::type_name(), "Generic<Lane, u8, Lane, 1>");
}

#[derive(Default, Shareable)]
#[repr(C)]
struct Outer {
    count: AtomicU64,
    inner: Generic<AtomicU8, u8, Cell<f64>, 2>,
}

#[test]
fn reset_reaches_every_cell() {
    let mut outer = Outer::default();
    let words = |outer: &Outer| {
        [&outer.inner.cell.word, &outer.inner.tail[0].word, &outer.inner.tail[1].word]
            .map(|w| w.load(Relaxed))
    };
    outer.count.store(7, Relaxed);
    outer.inner.cell.word.store(1, Relaxed);
    outer.inner.tail.iter().for_each(|cell| cell.word.store(1, Relaxed));
    assert_eq!(words(&outer), [1, 1, 1]);

    outer.reset();

    assert_eq!(words(&outer), [0, 0, 0]);
    assert_eq!(outer.count.load(Relaxed), 7);
}

macro_rules! structure {
    ($name:ident, $ty:ty) => {
        #[derive(Shareable)]
        #[repr(C)]
        struct $name {
            all: $ty,
        }
    };
}

structure!(FromMacro, [AtomicU8; 4]);

#[test]
fn a_macro_may_write_the_structure() {
    assert_eq!(rows::<FromMacro>(), [row("all[]", "AtomicU8", 0, 4, 1)]);
}
