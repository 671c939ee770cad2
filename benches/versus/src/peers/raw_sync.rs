//! The mutex of the crate `raw_sync`: process-shared, not robust.
//!
//! # Safety
//! The crate places its lock at an address that it is given, and its guard is a pointer.

#![allow(unsafe_code)]

use raw_sync::locks::{LockInit, Mutex};

use super::mapping::Mapping;
use crate::measure::{Made, repeat_alone};

/// Adds one to a number in shared memory, under the lock.
pub(crate) fn mutex() -> Made {
    let mapping = Mapping::create(4096)?;
    let number = mapping.start();
    // SAFETY: inside the mapping, behind the number.
    let lock = unsafe { number.add(64) };
    // SAFETY: zeroed, aligned memory, room enough for both, mapped as long as the lock is used.
    let (lock, _) = unsafe { Mutex::new(lock, number) }.map_err(|error| error.to_string())?;
    let increment = move || {
        let guard = lock.lock().expect("the lock is initialised");
        // SAFETY: the number, aligned and mapped; the guard holds the lock, and the reference ends first.
        let number = unsafe { &mut *guard.cast::<u64>() };
        *number += 1;
        *number
    };
    Ok(Box::new(move |count| {
        // The mapping lives as long as this closure.
        let _mapped = &mapping;
        repeat_alone(count, &increment)
    }))
}
