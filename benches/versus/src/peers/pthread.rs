//! The robust, process-shared mutex of the C library.
//!
//! # Safety
//! Calls the C library's functions on memory that this file has mapped and laid out.

#![allow(unsafe_code)]

use std::{cell::UnsafeCell, mem::MaybeUninit};

use libc::{
    PTHREAD_MUTEX_ROBUST, PTHREAD_PROCESS_SHARED, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_t,
    pthread_mutex_unlock, pthread_mutexattr_destroy, pthread_mutexattr_init, pthread_mutexattr_setpshared,
    pthread_mutexattr_setrobust, pthread_mutexattr_t,
};

use super::mapping::Mapping;

/// A number and its lock, in shared memory.
#[derive(Debug)]
pub(crate) struct Counter {
    /// INVARIANT: holds a `Cell` at its start whose mutex is initialised.
    mapping: Mapping,
}

#[repr(C)]
struct Cell {
    mutex: UnsafeCell<pthread_mutex_t>,
    number: UnsafeCell<u64>,
}

// SAFETY: the mutex is made for several threads, and `number` is used by its holder only.
unsafe impl Sync for Cell {}

impl Counter {
    pub(crate) const SIZE: usize = size_of::<Cell>();

    /// A counter in new memory, starting at 0.
    pub(crate) fn create(mapping: Mapping) -> Result<Self, String> {
        assert!(mapping.len() >= Self::SIZE, "the mapping holds a cell");
        let mut attributes = MaybeUninit::<pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: writable memory for the attributes.
        check(unsafe { pthread_mutexattr_init(attributes) })?;
        // SAFETY: initialised attributes, here and below.
        check(unsafe { pthread_mutexattr_setpshared(attributes, PTHREAD_PROCESS_SHARED) })?;
        // SAFETY: see above.
        check(unsafe { pthread_mutexattr_setrobust(attributes, PTHREAD_MUTEX_ROBUST) })?;
        let counter = Self { mapping };
        // SAFETY: zeroed memory of which nobody else knows, and initialised attributes.
        check(unsafe { pthread_mutex_init(counter.cell().mutex.get(), attributes) })?;
        // SAFETY: initialised attributes, not used again.
        check(unsafe { pthread_mutexattr_destroy(attributes) })?;
        Ok(counter)
    }

    /// The counter that another process has created.
    pub(crate) fn of_other(mapping: Mapping) -> Self {
        assert!(mapping.len() >= Self::SIZE, "the mapping holds a cell");
        Self { mapping }
    }

    fn cell(&self) -> &Cell {
        // SAFETY: the mapping starts with a cell, at the start of a page, and lives as long as `self`;
        // all of the cell may change behind a reference.
        unsafe { &*self.mapping.start().cast::<Cell>() }
    }

    /// Adds one under the lock.
    #[inline]
    pub(crate) fn increment(&self) -> u64 {
        let cell = self.cell();
        // SAFETY: an initialised mutex.
        let refused = unsafe { pthread_mutex_lock(cell.mutex.get()) };
        assert_eq!(refused, 0, "no owner has died");
        // SAFETY: this thread holds the lock, and the reference ends before it is released.
        let number = unsafe { &mut *cell.number.get() };
        *number += 1;
        let result = *number;
        // SAFETY: an initialised mutex that this thread holds.
        let refused = unsafe { pthread_mutex_unlock(cell.mutex.get()) };
        assert_eq!(refused, 0, "this thread holds the lock");
        result
    }
}

fn check(refused: i32) -> Result<(), String> {
    if refused == 0 { Ok(()) } else { Err(std::io::Error::from_raw_os_error(refused).to_string()) }
}
