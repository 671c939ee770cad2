//! What the standard library offers to the threads of one process.

use std::sync::{
    Mutex, RwLock,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use crate::measure::{Made, repeat_alone};

/// Alone on its cache lines, as what lies in a segment is.
#[repr(align(128))]
struct Apart<T>(T);

/// Adds one to a number under the lock.
pub(crate) fn mutex() -> Made {
    let lock = Box::new(Apart(Mutex::new(0u64)));
    Ok(Box::new(move |count| {
        repeat_alone(count, || {
            let mut guard = lock.0.lock().expect("no thread has panicked");
            *guard += 1;
            *guard
        })
    }))
}

/// Copies a number under a read lock.
pub(crate) fn rwlock_read() -> Made {
    let lock = Box::new(Apart(RwLock::new(7u64)));
    Ok(Box::new(move |count| repeat_alone(count, || *lock.0.read().expect("no thread has panicked"))))
}

pub(crate) fn fetch_add() -> Made {
    let atomic = Box::new(Apart(AtomicU64::new(0)));
    Ok(Box::new(move |count| repeat_alone(count, || atomic.0.fetch_add(1, SeqCst))))
}
