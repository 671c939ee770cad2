//! Machines without a payload are `Shareable` as they are: words that any process may change.
//!
//! # Safety
//! Implements the unsafe trait for types whose only field is a machine of `raw`.

#![allow(unsafe_code)]

use super::{barrier::Barrier, condvar::Condvar, event::Event, once::Once, semaphore::Semaphore};
use crate::shareable::Shareable;

macro_rules! machines {
    ($([$($generics:tt)*] $type:ty: $name:expr;)*) => {$(
        // SAFETY: a machine of `raw` is made of atomics, for which any bits are a value and which may
        // change behind `&`. `repr(C)`, no address that is followed, no `Drop`.
        unsafe impl<$($generics)*> Shareable for $type {
            fn type_name() -> String {
                $name
            }

            fn reset(&mut self) {
                self.raw.empty();
            }
        }
    )*};
}

machines! {
    [] Event: "Event".to_owned();
    [] Once: "Once".to_owned();
    [] Condvar: "Condvar".to_owned();
    [const PERMITS: usize] Semaphore<PERMITS>: format!("Semaphore<{PERMITS}>");
    [const PARTIES: usize] Barrier<PARTIES>: format!("Barrier<{PARTIES}>");
}
