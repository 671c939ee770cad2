//! Which types are one machine word, and what can be done to it without a lock.
//!
//! Everything is sequentially consistent: all processes see all operations in one order. That costs
//! nothing over acquire and release for read-modify-write on x86, and little elsewhere.
//!
//! Floats live in integer words of their size. A `bool` lives in a byte in which another process may
//! have written anything, so every byte but zero is `true`.

use std::{
    fmt::Debug,
    sync::atomic::{
        AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32, AtomicU64,
        AtomicUsize, Ordering::SeqCst,
    },
};

/// A type that fits into one machine word: integers up to 64 bits, `f32`, `f64` and `bool`.
///
/// What [`Atomic`](crate::Atomic) and [`AtomicArray`](crate::AtomicArray) hold. Nothing else can
/// implement it.
///
/// # Examples
/// ```
/// use commons::{Atomic, Word};
///
/// fn same<T: Word>(a: &Atomic<T>, b: &Atomic<T>) -> bool {
///     a.load() == b.load()
/// }
/// assert!(same(&Atomic::new(1.5f32)?, &Atomic::new(1.5f32)?));
/// # Ok::<(), commons::Error>(())
/// ```
pub trait Word: Copy + Debug + PartialEq + Send + Sync + 'static + sealed::Cell {}

/// A [`Word`] that can be added to and compared: all of them but `bool`.
///
/// # Examples
/// ```
/// use commons::{Atomic, Number};
///
/// fn twice<T: Number>(counter: &Atomic<T>, step: T) {
///     counter.fetch_add(step);
///     counter.fetch_add(step);
/// }
/// let hits = Atomic::new(1u8)?;
/// twice(&hits, 3);
/// assert_eq!(hits.load(), 7);
/// # Ok::<(), commons::Error>(())
/// ```
pub trait Number: Word + sealed::Arithmetic {}

/// A [`Word`] of bits: the integers and `bool`.
///
/// # Examples
/// ```
/// use commons::{Atomic, Bits};
///
/// fn add_all<T: Bits>(flags: &Atomic<T>, more: &[T]) {
///     more.iter().for_each(|&bits| _ = flags.fetch_or(bits));
/// }
/// let flags = Atomic::new(1u8)?;
/// add_all(&flags, &[2, 8]);
/// assert_eq!(flags.load(), 11);
/// # Ok::<(), commons::Error>(())
/// ```
pub trait Bits: Word + sealed::Logic {}

#[allow(unnameable_types)] // what nobody can name, nobody can implement
pub(crate) mod sealed {
    /// One word in shared memory.
    pub trait Cell: Sized {
        /// The atomic it lives in, of the same size and alignment. Any bytes are valid.
        type Cell: Send + Sync + 'static;

        fn cell(self) -> Self::Cell;
        fn load(cell: &Self::Cell) -> Self;
        fn store(cell: &Self::Cell, value: Self);
        fn swap(cell: &Self::Cell, value: Self) -> Self;
        fn compare_exchange(cell: &Self::Cell, current: Self, new: Self) -> Result<Self, Self>;
    }

    pub trait Arithmetic: Sized + Cell {
        fn fetch_add(cell: &Self::Cell, value: Self) -> Self;
        fn fetch_sub(cell: &Self::Cell, value: Self) -> Self;
        fn fetch_max(cell: &Self::Cell, value: Self) -> Self;
        fn fetch_min(cell: &Self::Cell, value: Self) -> Self;
    }

    pub trait Logic: Sized + Cell {
        fn fetch_and(cell: &Self::Cell, value: Self) -> Self;
        fn fetch_or(cell: &Self::Cell, value: Self) -> Self;
        fn fetch_xor(cell: &Self::Cell, value: Self) -> Self;
    }
}

/// Forwards to the atomic's own functions.
macro_rules! forward {
    ($atomic:ty, $value:ty: $($operation:ident)*) => {$(
        #[inline]
        fn $operation(cell: &$atomic, value: $value) -> $value {
            cell.$operation(value, SeqCst)
        }
    )*};
}

macro_rules! integers {
    ($($integer:ty: $atomic:ty,)*) => {$(
        impl Word for $integer {}
        impl Number for $integer {}
        impl Bits for $integer {}

        impl sealed::Cell for $integer {
            type Cell = $atomic;

            fn cell(self) -> $atomic {
                <$atomic>::new(self)
            }

            #[inline]
            fn load(cell: &$atomic) -> Self {
                cell.load(SeqCst)
            }

            #[inline]
            fn store(cell: &$atomic, value: Self) {
                cell.store(value, SeqCst);
            }

            #[inline]
            fn compare_exchange(cell: &$atomic, current: Self, new: Self) -> Result<Self, Self> {
                cell.compare_exchange(current, new, SeqCst, SeqCst)
            }

            forward!($atomic, Self: swap);
        }

        impl sealed::Arithmetic for $integer {
            forward!($atomic, Self: fetch_add fetch_sub fetch_max fetch_min);
        }

        impl sealed::Logic for $integer {
            forward!($atomic, Self: fetch_and fetch_or fetch_xor);
        }
    )*};
}

integers! {
    u8: AtomicU8, u16: AtomicU16, u32: AtomicU32, u64: AtomicU64, usize: AtomicUsize,
    i8: AtomicI8, i16: AtomicI16, i32: AtomicI32, i64: AtomicI64, isize: AtomicIsize,
}

macro_rules! floats {
    ($($float:ty: $atomic:ty,)*) => {$(
        impl Word for $float {}
        impl Number for $float {}

        impl sealed::Cell for $float {
            type Cell = $atomic;

            fn cell(self) -> $atomic {
                <$atomic>::new(self.to_bits())
            }

            #[inline]
            fn load(cell: &$atomic) -> Self {
                Self::from_bits(cell.load(SeqCst))
            }

            #[inline]
            fn store(cell: &$atomic, value: Self) {
                cell.store(value.to_bits(), SeqCst);
            }

            #[inline]
            fn swap(cell: &$atomic, value: Self) -> Self {
                Self::from_bits(cell.swap(value.to_bits(), SeqCst))
            }

            #[inline]
            fn compare_exchange(cell: &$atomic, current: Self, new: Self) -> Result<Self, Self> {
                let answer = cell.compare_exchange(current.to_bits(), new.to_bits(), SeqCst, SeqCst);
                answer.map(Self::from_bits).map_err(Self::from_bits)
            }
        }

        impl sealed::Arithmetic for $float {
            #[inline]
            fn fetch_add(cell: &$atomic, value: Self) -> Self {
                replace(cell, |old: Self| old + value)
            }

            #[inline]
            fn fetch_sub(cell: &$atomic, value: Self) -> Self {
                replace(cell, |old: Self| old - value)
            }

            #[inline]
            fn fetch_max(cell: &$atomic, value: Self) -> Self {
                replace(cell, |old: Self| old.max(value))
            }

            #[inline]
            fn fetch_min(cell: &$atomic, value: Self) -> Self {
                replace(cell, |old: Self| old.min(value))
            }
        }
    )*};
}

floats! { f32: AtomicU32, f64: AtomicU64, }

/// Puts `change(old)` in the place of `old`, which it returns; if that is `None`, nothing changes.
#[inline]
pub(crate) fn update<T: Word>(cell: &T::Cell, mut change: impl FnMut(T) -> Option<T>) -> Result<T, T> {
    let mut old = T::load(cell);
    while let Some(new) = change(old) {
        match T::compare_exchange(cell, old, new) {
            Ok(old) => return Ok(old),
            Err(changed) => old = changed,
        }
    }
    Err(old)
}

/// Puts `new(old)` in the place of `old`, which it returns.
#[inline]
fn replace<T: sealed::Cell + Copy>(cell: &T::Cell, new: impl Fn(T) -> T) -> T {
    let mut old = T::load(cell);
    loop {
        match T::compare_exchange(cell, old, new(old)) {
            Ok(old) => return old,
            Err(changed) => old = changed,
        }
    }
}

impl Word for bool {}
impl Bits for bool {}

impl sealed::Cell for bool {
    type Cell = AtomicU8;

    fn cell(self) -> AtomicU8 {
        AtomicU8::new(self.into())
    }

    #[inline]
    fn load(cell: &AtomicU8) -> Self {
        cell.load(SeqCst) != 0
    }

    #[inline]
    fn store(cell: &AtomicU8, value: Self) {
        cell.store(value.into(), SeqCst);
    }

    #[inline]
    fn swap(cell: &AtomicU8, value: Self) -> Self {
        cell.swap(value.into(), SeqCst) != 0
    }

    #[inline]
    fn compare_exchange(cell: &AtomicU8, current: Self, new: Self) -> Result<Self, Self> {
        let mut byte = u8::from(current);
        loop {
            match cell.compare_exchange(byte, new.into(), SeqCst, SeqCst) {
                Ok(old) => return Ok(old != 0),
                // Another byte that is just as true: somebody wrote it past this crate.
                Err(old) if (old != 0) == current => byte = old,
                Err(old) => return Err(old != 0),
            }
        }
    }
}

impl sealed::Logic for bool {
    #[inline]
    fn fetch_and(cell: &AtomicU8, value: Self) -> Self {
        replace(cell, |old: Self| old & value)
    }

    #[inline]
    fn fetch_or(cell: &AtomicU8, value: Self) -> Self {
        replace(cell, |old: Self| old | value)
    }

    #[inline]
    fn fetch_xor(cell: &AtomicU8, value: Self) -> Self {
        replace(cell, |old: Self| old ^ value)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        sealed::{Arithmetic, Cell, Logic},
        *,
    };

    #[test]
    fn any_byte_but_zero_is_true() {
        let cell = AtomicU8::new(0x40);
        assert!(bool::load(&cell));
        assert_eq!(bool::compare_exchange(&cell, false, true), Err(true));
        assert_eq!(bool::compare_exchange(&cell, true, false), Ok(true));
        assert_eq!(cell.into_inner(), 0);
        let cell = AtomicU8::new(2);
        assert!(bool::fetch_and(&cell, true) && bool::fetch_xor(&cell, true));
        assert_eq!(cell.into_inner(), 0);
    }

    #[test]
    fn floats_add_and_compare_as_floats() {
        let cell = 1.5f64.cell();
        assert_eq!(f64::fetch_add(&cell, 2.0), 1.5);
        assert_eq!(f64::fetch_max(&cell, -1.0), 3.5);
        assert_eq!(f64::fetch_min(&cell, -1.0), 3.5);
        assert_eq!(f64::compare_exchange(&cell, -1.0, f64::NAN), Ok(-1.0));
        assert!(f64::load(&cell).is_nan());
    }

    #[test]
    fn a_cell_is_as_large_as_its_word() {
        fn same<T: Word>() -> bool {
            size_of::<T>() == size_of::<T::Cell>() && align_of::<T>() == align_of::<T::Cell>()
        }
        assert!(same::<u8>() && same::<i16>() && same::<f32>() && same::<f64>() && same::<usize>());
        assert!(same::<bool>() && same::<u64>() && same::<isize>());
    }
}
