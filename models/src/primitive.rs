//! The atomics of the product's module of this name, made of loom's.
//!
//! Each access is one of the thread's steps, before which it can die. Loom's atomics register
//! themselves when they are made, which a `const fn` cannot do: these do it when they are looked at
//! for the first time, so a machine is shown to loom ([`crate::scene::shared`]) before threads use it.

use std::{fmt, sync::OnceLock, time::Duration};

pub(crate) use loom::sync::atomic::{Ordering, fence};
use loom::thread::yield_now;

use crate::scene::{note, step};

/// The one compiler fence of the machines stands for the light side of an asymmetric barrier, which
/// loom does not have. See `sys::barrier`.
pub(crate) fn compiler_fence(order: Ordering) {
    fence(order);
}

/// No time passes, but others run.
pub(crate) fn sleep(_: Duration) {
    yield_now();
}

/// Writes the access into the log of this execution, with the value that it left or found.
macro_rules! note {
    ($word:expr, $what:expr, $value:expr) => {
        note($what, (&raw const *$word) as usize, $value as u64)
    };
}

macro_rules! atomic {
    ($name:ident, $value:ty, $store:expr) => {
        pub(crate) struct $name {
            first: $value,
            made: OnceLock<loom::sync::atomic::$name>,
        }

        impl $name {
            pub(crate) const fn new(first: $value) -> Self {
                Self { first, made: OnceLock::new() }
            }

            /// Loom's atomic; its accesses are no steps of the thread.
            pub(crate) fn bare(&self) -> &loom::sync::atomic::$name {
                self.made.get_or_init(|| loom::sync::atomic::$name::new(self.first))
            }

            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                step();
                let value = self.bare().load(order);
                note!(self, "load", value);
                value
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                step();
                $store(self.bare(), value, order);
                note!(self, "store", value);
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                step();
                let answer = self.bare().compare_exchange(old, new, success, failure);
                note!(
                    self,
                    if answer.is_ok() { "exchange" } else { "fail to exchange" },
                    answer.map_or_else(|now| now, |_| new)
                );
                answer
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                step();
                let old = self.bare().swap(value, order);
                note!(self, "swap", value);
                old
            }

            #[track_caller]
            pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                step();
                let old = self.bare().fetch_add(value, order);
                note!(self, "add", old.wrapping_add(value));
                old
            }

            #[track_caller]
            pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                step();
                let old = self.bare().fetch_or(value, order);
                note!(self, "or", old | value);
                old
            }

            #[track_caller]
            pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                step();
                let old = self.bare().fetch_and(value, order);
                note!(self, "and", old & value);
                old
            }

            #[track_caller]
            pub(crate) fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut old = self.load(fetch);
                while let Some(new) = change(old) {
                    match self.compare_exchange(old, new, set, fetch) {
                        Ok(old) => return Ok(old),
                        Err(now) => old = now,
                    }
                }
                Err(old)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(0)
            }
        }

        /// Shows the atomic to loom, and says no more.
        impl fmt::Debug for $name {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.bare();
                Ok(())
            }
        }
    };
}

// Lock words are stored to and exchanged at the same time. Loom does not know that nothing comes between
// a value and the exchange that read it: it lets such a store come before one that it came after. An
// exchange in its place does not; the values that others may read stay the same.
atomic!(AtomicU32, u32, |word: &loom::sync::atomic::AtomicU32, value, order| _ = word.swap(value, order));
atomic!(AtomicU64, u64, loom::sync::atomic::AtomicU64::store);
atomic!(AtomicUsize, usize, loom::sync::atomic::AtomicUsize::store);
