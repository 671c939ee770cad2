//! The derives of [`commons`](https://docs.rs/commons), which re-exports them.

mod fields;
mod plain;
#[cfg(test)]
mod refusals;
mod repr;
mod shareable;
mod tag;

use proc_macro::TokenStream;
use syn::{DeriveInput, Error, parse_macro_input};

/// Implements `commons::Shareable` for a struct whose fields are all `Shareable`, so that it can be
/// used in place in shared memory.
///
/// The struct needs `#[repr(C)]` or `#[repr(transparent)]`, with `align(N)` if wanted. It may have
/// type and const parameters. It has no lifetime and no `Drop`.
///
/// # Examples
/// ```
/// #![forbid(unsafe_code)]
/// use commons::Shareable;
/// use std::sync::atomic::{AtomicU32, AtomicU64};
///
/// #[derive(Shareable)]
/// #[repr(C)]
/// struct Lane {
///     busy: AtomicU32,
///     files: AtomicU64,
/// }
///
/// #[derive(Shareable)]
/// #[repr(C)]
/// struct Census {
///     total: AtomicU64,
///     lanes: [Lane; 4],
/// }
///
/// let fields: Vec<_> = Census::fields().into_iter().map(|f| (f.name, f.offset, f.count, f.stride)).collect();
/// assert_eq!(fields[0], ("total".to_owned(), 0, 1, 8));
/// assert_eq!(fields[1], ("lanes[].busy".to_owned(), 8, 4, 16));
/// assert_eq!(fields[2], ("lanes[].files".to_owned(), 16, 4, 16));
/// ```
///
/// # What does not compile
///
/// A struct without `#[repr(C)]`: the compiler may order its fields anew in each program.
/// ```compile_fail
/// #[derive(commons::Shareable)]
/// struct Census { total: std::sync::atomic::AtomicU64 }
/// ```
/// A plain number, `bool`, reference or anything else that must not change behind `&`:
/// ```compile_fail,E0277
/// #[derive(commons::Shareable)]
/// #[repr(C)]
/// struct Census { total: u64 }
/// ```
/// ```compile_fail,E0277
/// #[derive(commons::Shareable)]
/// #[repr(C)]
/// struct Census { done: bool }
/// ```
/// ```compile_fail,E0277
/// #[derive(commons::Shareable)]
/// #[repr(C)]
/// struct Census { name: &'static str }
/// ```
/// `AtomicBool`, of whose bytes only two are values:
/// ```compile_fail,E0277
/// #[derive(commons::Shareable)]
/// #[repr(C)]
/// struct Census { done: std::sync::atomic::AtomicBool }
/// ```
/// An argument that is not `Shareable`:
/// ```compile_fail,E0277
/// #[derive(commons::Shareable)]
/// #[repr(C)]
/// struct Pair<T>(T, [T; 2]);
///
/// <Pair<u64> as commons::Shareable>::fields();
/// ```
/// An enum (use an integer atomic, or put it in a `commons::sync::Versioned`) or a union:
/// ```compile_fail
/// #[derive(commons::Shareable)]
/// #[repr(u8)]
/// enum Phase { Idle, Busy }
/// ```
/// ```compile_fail
/// #[derive(commons::Shareable)]
/// #[repr(C)]
/// union Either { small: std::mem::ManuallyDrop<std::sync::atomic::AtomicU8> }
/// ```
/// Fields without alignment:
/// ```compile_fail
/// #[derive(commons::Shareable)]
/// #[repr(C, packed)]
/// struct Empty;
/// ```
/// A lifetime:
/// ```compile_fail
/// #[derive(commons::Shareable)]
/// #[repr(C)]
/// struct Census<'a> { total: &'a std::sync::atomic::AtomicU64 }
/// ```
/// A `Drop`, which no process could run for the others:
/// ```compile_fail,E0119
/// #[derive(commons::Shareable)]
/// #[repr(C)]
/// struct Census { total: std::sync::atomic::AtomicU64 }
///
/// impl Drop for Census {
///     fn drop(&mut self) {}
/// }
/// ```
/// ```compile_fail,E0119
/// #[derive(commons::Shareable)]
/// #[repr(C)]
/// struct Pair<T>(T, T);
///
/// impl<T> Drop for Pair<T> {
///     fn drop(&mut self) {}
/// }
/// ```
#[proc_macro_derive(Shareable)]
pub fn shareable(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    shareable::expand(input).unwrap_or_else(Error::into_compile_error).into()
}

/// Implements `commons::Plain` for a struct or an enum whose fields are all `Plain`, so that its
/// values can be copied into and out of shared memory.
///
/// A struct needs `#[repr(C)]` or `#[repr(transparent)]`. An enum needs the integer of its tag,
/// `#[repr(u8)]` or another up to `u64`, `i64`, `usize` and `isize`; with fields it may also be
/// `#[repr(C, u8)]`. `align(N)`, type and const parameters are fine, lifetimes are not.
///
/// Padding is cleared before a value leaves the process. Of bytes that come in, the tags and all
/// fields are checked, each by its own type.
///
/// A field may be an array of anything `Plain`, written as an array (not as an alias of one). An
/// array of a derived type by itself is not `Plain`: wrap it in a struct.
///
/// Do not derive it beside bytemuck's `Pod`, or `NoUninit` and `CheckedBitPattern`: what has those
/// is `Plain` already.
///
/// # Examples
/// ```
/// #![forbid(unsafe_code)]
/// use commons::Plain;
///
/// #[derive(Clone, Copy, Plain)]
/// #[repr(C)]
/// struct Best {
///     score: f64,
///     found: bool,                // seven bytes of padding follow
/// }
///
/// #[derive(Clone, Copy, Plain)]
/// #[repr(u8)]
/// enum State {
///     Idle = 1,
///     Running { since: u64, best: [Best; 4] },
///     Failed(char),
/// }
///
/// #[derive(Clone, Copy, Plain)]
/// #[repr(transparent)]
/// struct Board([State; 9]);
///
/// fn is_plain<T: Plain>() {}
/// is_plain::<Board>();
/// ```
///
/// # What does not compile
///
/// A struct without `#[repr(C)]`, or an enum without `#[repr(u8)]`: the layout is not fixed.
/// ```compile_fail
/// #[derive(Clone, Copy, commons::Plain)]
/// struct Best { score: f64 }
/// ```
/// ```compile_fail
/// #[derive(Clone, Copy, commons::Plain)]
/// enum Phase { Idle, Busy }
/// ```
/// An enum with `#[repr(C)]` alone, whose tag has another size on another machine:
/// ```compile_fail
/// #[derive(Clone, Copy, commons::Plain)]
/// #[repr(C)]
/// enum Phase { Idle, Busy }
/// ```
/// A reference or a pointer, which means nothing to another process:
/// ```compile_fail,E0277
/// #[derive(Clone, Copy, commons::Plain)]
/// #[repr(C)]
/// struct Best { name: &'static str }
/// ```
/// ```compile_fail,E0277
/// #[derive(Clone, Copy, commons::Plain)]
/// #[repr(u8)]
/// enum State { Idle, Running(*const u8) }
/// ```
/// An argument that is not `Plain`:
/// ```compile_fail,E0277
/// #[derive(Clone, Copy, commons::Plain)]
/// #[repr(C)]
/// struct Pair<T>([T; 2]);
///
/// fn is_plain<T: commons::Plain>() {}
/// is_plain::<Pair<&'static str>>();
/// ```
/// What is not `Copy`:
/// ```compile_fail,E0277
/// #[derive(commons::Plain)]
/// #[repr(C)]
/// struct Best { score: f64 }
/// ```
/// A lifetime:
/// ```compile_fail
/// #[derive(Clone, Copy, commons::Plain)]
/// #[repr(C)]
/// struct Best<'a> { score: f64, kind: std::marker::PhantomData<&'a ()> }
/// ```
/// A union, since nothing tells which field is live:
/// ```compile_fail
/// #[derive(Clone, Copy, commons::Plain)]
/// #[repr(C)]
/// union Either { small: u8, large: u64 }
/// ```
/// Fields without alignment:
/// ```compile_fail
/// #[derive(Clone, Copy, commons::Plain)]
/// #[repr(C, packed)]
/// struct Best { found: u8, score: f64 }
/// ```
/// Beside bytemuck's own derives:
/// ```compile_fail,E0119
/// #[derive(Clone, Copy, commons::bytemuck::Pod, commons::bytemuck::Zeroable, commons::Plain)]
/// #[bytemuck(crate = "commons::bytemuck")]
/// #[repr(C)]
/// struct Best { score: f64 }
/// ```
#[proc_macro_derive(Plain)]
pub fn plain(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    plain::expand(input).unwrap_or_else(Error::into_compile_error).into()
}
