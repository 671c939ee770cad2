//! What may be used in place, through `&T`, while other processes use it too.
//!
//! # Safety
//! This file holds the unsafe trait that says so, and implements it for the atomics.

#![allow(unsafe_code)]

use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32, AtomicU64,
    AtomicUsize,
};

/// A structure that lives in shared memory and is used there through `&T`.
///
/// Integer atomics, everything in [`commons::sync`](crate::sync), arrays of them, and structs of
/// them with `#[derive(Shareable)]` and `#[repr(C)]`. A plain number, `bool`, `char`, enum, pointer
/// or reference is not: `&T` is handed out while others write. Use an integer atomic or a
/// [`Versioned`](crate::sync::Versioned).
///
/// # Safety
/// - Any bytes are a valid value of `Self`: another process may write anything at any time.
/// - All of it may change behind a `&Self` (atomics, or `UnsafeCell`s that are read as bytes).
/// - It holds no address and needs no `Drop`, and its layout is fixed (`repr(C)` or a primitive's).
/// - `reset` makes every lock inside free; `fields` tells its layout truly.
///
/// # Examples
/// ```
/// use commons::{Shareable, Shared, sync::Versioned};
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// #[derive(Default, Shareable)]
/// #[repr(C)]
/// struct Progress {
///     done: AtomicU64,
///     best: Versioned<[f64; 2]>,
/// }
///
/// # fn main() -> commons::Result<()> {
/// let progress = Shared::new(Progress::default())?;
/// progress.done.fetch_add(1, Relaxed);
/// progress.best.set([0.5, 2.0]);
/// assert_eq!(progress.best.get(), [0.5, 2.0]);
/// # Ok(()) }
/// ```
///
/// A `bool` in place does not compile: another process may write a byte that is none.
///
/// ```compile_fail,E0277
/// #[derive(commons::Shareable)]
/// #[repr(C)]
/// struct Progress {
///     finished: bool,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used in place in shared memory",
    label = "is not `Shareable`",
    note = "add `#[derive(commons::Shareable)]` and `#[repr(C)]` to a struct",
    note = "for a plain value use an integer atomic or `commons::sync::Versioned<{Self}>`"
)]
pub unsafe trait Shareable: Send + Sync + Sized + 'static {
    /// The short name of the type, as people and the segment's fingerprint read it.
    fn type_name() -> String;

    /// The named fields, flattened; a single field without a name for a type that has none.
    fn fields() -> Vec<Field> {
        vec![Field::unnamed::<Self>()]
    }

    /// Makes every lock inside free, and clears the padding of what is copied out of it. Called on the
    /// value in its segment, before anybody else knows it.
    fn reset(&mut self);
}

/// Where one field of a [`Shareable`] structure lies, as the segment tells other programs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Field {
    /// `lanes[].files` for the field `files` of each element of the array `lanes`.
    pub name: String,
    /// The short type name of one element.
    pub type_name: String,
    /// Bytes from the start of the payload to the first element.
    pub offset: usize,
    /// Bytes of one element.
    pub size: usize,
    /// How many elements there are: 1 unless the field is in an array.
    pub count: usize,
    /// Bytes from one element to the next.
    pub stride: usize,
}

impl Field {
    /// One element of type `T` that has no name yet.
    pub fn unnamed<T: Shareable>() -> Self {
        let size = size_of::<T>();
        Self { name: String::new(), type_name: T::type_name(), offset: 0, size, count: 1, stride: size }
    }

    /// The fields of `T` as they lie in a field `name` at `offset` of an outer structure.
    ///
    /// # Examples
    /// ```
    /// use commons::Field;
    /// use std::sync::atomic::AtomicU32;
    ///
    /// let fields = Field::nested::<[AtomicU32; 4]>("seats", 8);
    /// assert_eq!((fields[0].name.as_str(), fields[0].offset, fields[0].count), ("seats[]", 8, 4));
    /// ```
    pub fn nested<T: Shareable>(name: &str, offset: usize) -> Vec<Self> {
        let mut fields = T::fields();
        for field in &mut fields {
            let dot = if field.name.is_empty() || field.name.starts_with('[') { "" } else { "." };
            field.name = format!("{name}{dot}{}", field.name);
            field.offset += offset;
        }
        fields
    }
}

// SAFETY: an array of any-bits types is an any-bits type of fixed layout.
unsafe impl<T: Shareable, const N: usize> Shareable for [T; N] {
    fn type_name() -> String {
        format!("[{}; {N}]", T::type_name())
    }

    fn fields() -> Vec<Field> {
        let inner = T::fields();
        if inner.iter().all(|field| field.count == 1) {
            let repeat = |field| Field { count: N, stride: size_of::<T>(), ..field };
            return Field::rename(inner, "[]").into_iter().map(repeat).collect();
        }
        // An array in an array: one row has one stride, so the outer elements get a row each.
        (0..N).flat_map(|i| Field::nested::<T>(&format!("[{i}]"), i * size_of::<T>())).collect()
    }

    fn reset(&mut self) {
        self.iter_mut().for_each(T::reset);
    }
}

impl Field {
    fn rename(mut fields: Vec<Self>, prefix: &str) -> Vec<Self> {
        for field in &mut fields {
            let dot = if field.name.is_empty() { "" } else { "." };
            field.name = format!("{prefix}{dot}{}", field.name);
        }
        fields
    }
}

macro_rules! atomics {
    ($($atomic:ty)*) => {$(
        // SAFETY: an integer atomic takes any bits, may change behind `&`, and holds no lock.
        unsafe impl Shareable for $atomic {
            fn type_name() -> String {
                stringify!($atomic).to_owned()
            }

            fn reset(&mut self) {}
        }
    )*};
}

atomics!(AtomicI8 AtomicI16 AtomicI32 AtomicI64 AtomicIsize AtomicU8 AtomicU16 AtomicU32 AtomicU64 AtomicUsize);

/// The name of `T` without the paths: `Vec<Row>` for `alloc::vec::Vec<my_app::Row>`.
///
/// Two programs that hold the same struct in crates of other names must meet.
pub(crate) fn short_type_name<T: ?Sized>() -> String {
    let full = std::any::type_name::<T>();
    let mut short = String::with_capacity(full.len());
    for part in full.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
        let end = part.trim_end_matches(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).len();
        let (path, delimiter) = part.split_at(end);
        short.push_str(path.rsplit("::").next().unwrap_or(path));
        short.push_str(delimiter);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_paths_only() {
        assert_eq!(short_type_name::<Option<[std::time::Duration; 3]>>(), "Option<[Duration; 3]>");
        assert_eq!(short_type_name::<(u8, Vec<String>)>(), "(u8, Vec<String>)");
        assert_eq!(short_type_name::<f64>(), "f64");
    }

    #[test]
    fn arrays_of_arrays_get_a_row_for_each_outer_element() {
        let names: Vec<_> =
            <[[AtomicU8; 2]; 2]>::fields().into_iter().map(|f| (f.name, f.offset, f.count)).collect();
        assert_eq!(names, [("[0][]".to_owned(), 0, 2), ("[1][]".to_owned(), 2, 2)]);
    }
}
