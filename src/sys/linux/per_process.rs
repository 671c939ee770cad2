//! A value that each process makes for itself, a forked child too.
//!
//! A `OnceLock` that another thread was filling at the moment of a fork stays locked in the child
//! for ever, and one that was full holds the parent's threads and descriptors. Here both the value
//! and the right to make it carry the [`fork::mark`] of their process.
//!
//! # Safety
//! Hands out `&'static T` from an atomic pointer: what was published is never freed.

#![allow(unsafe_code)]

use std::{
    ptr,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering::*},
    thread,
};

use super::fork;

/// A lazily made value of this process. What a fork makes obsolete is left where it is.
pub(crate) struct PerProcess<T: 'static> {
    /// INVARIANT: null or a leaked `Made<T>`.
    made: AtomicPtr<Made<T>>,
    /// The mark of the process in which a thread makes the value now. Zero or another process's
    /// mark (then that thread is not here): nobody.
    maker: AtomicU64,
}

struct Made<T> {
    mark: u64,
    value: T,
}

impl<T: Send + Sync> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self { made: AtomicPtr::new(ptr::null_mut()), maker: AtomicU64::new(0) }
    }

    /// The value, made by `make` on first use in this process. A failure is tried again next time.
    pub(crate) fn get_or_try_init<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&'static T, E> {
        let mark = fork::mark();
        let _turn = loop {
            if let Some(value) = self.get(mark) {
                return Ok(value);
            }
            let maker = self.maker.load(Relaxed);
            if maker != mark && self.maker.compare_exchange(maker, mark, Acquire, Relaxed).is_ok() {
                break Turn(&self.maker);
            }
            thread::yield_now();
        };
        if let Some(value) = self.get(mark) {
            return Ok(value);
        }
        let made = Box::leak(Box::new(Made { mark, value: make()? }));
        self.made.store(made, Release);
        Ok(&made.value)
    }

    /// The value, if this process has made it.
    pub(crate) fn if_made(&self) -> Option<&'static T> {
        self.get(fork::mark())
    }

    fn get(&self, mark: u64) -> Option<&'static T> {
        let made = self.made.load(Acquire);
        // SAFETY: null, or a leaked box by the invariant; its contents were written before the
        // Release store that this Acquire load has seen, and are only shared since.
        let made = unsafe { made.as_ref::<'static>() }?;
        (made.mark == mark).then_some(&made.value)
    }
}

/// The right to make the value, given back at the end whatever happens.
struct Turn<'a>(&'a AtomicU64);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(0, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_made_once_and_a_failure_is_tried_again() {
        static CELL: PerProcess<u32> = PerProcess::new();
        assert_eq!(CELL.get_or_try_init(|| Err("not yet")), Err("not yet"));
        assert_eq!(CELL.if_made(), None);
        let first: Result<_, ()> = CELL.get_or_try_init(|| Ok(7));
        assert_eq!(first, Ok(&7));
        assert_eq!(CELL.get_or_try_init(|| Err("never run")), Ok(&7));
        assert_eq!(CELL.if_made(), Some(&7));
    }

    #[test]
    fn what_another_process_made_or_was_making_does_not_count() {
        static CELL: PerProcess<u32> = PerProcess::new();
        let elsewhere = Made { mark: u64::MAX, value: 1 };
        CELL.made.store(Box::leak(Box::new(elsewhere)), Release);
        CELL.maker.store(u64::MAX, Release);
        assert_eq!(CELL.get_or_try_init(|| Ok::<_, ()>(2)), Ok(&2));
    }
}
