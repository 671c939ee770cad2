//! Lock words, and what the kernel does to those of a thread that has died.

use super::futex;
use crate::primitive::{AtomicU32, AtomicUsize, Ordering::*};

pub(crate) const WAITERS: u32 = 0x8000_0000;
pub(crate) const OWNER_DIED: u32 = 0x4000_0000;
pub(crate) const TID: u32 = 0x3fff_ffff;

#[repr(C)]
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) word: AtomicU32,
    pub(crate) data: [AtomicU32; 5],
    pub(crate) prev: AtomicUsize,
    pub(crate) next: AtomicUsize,
}

impl Node {
    pub(crate) const fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
            data: [const { AtomicU32::new(0) }; 5],
            prev: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
        }
    }
}

/// `handle_futex_death` of Linux 5.10, in `kernel/futex`; whether it marked the word.
pub(crate) fn handle_death(word: &AtomicU32, tid: u32, announced: bool) -> bool {
    let mut old = futex::newest(word);
    while old & TID == tid {
        match word.bare().compare_exchange(old, old & WAITERS | OWNER_DIED, Release, Relaxed) {
            Ok(_) => {
                if old & WAITERS != 0 {
                    futex::wake_bare(word, 1);
                }
                return true;
            }
            Err(now) => old = now,
        }
    }
    // Perhaps it died between its release and its wake-up.
    if announced && old == 0 {
        futex::wake_bare(word, 1);
    }
    false
}
