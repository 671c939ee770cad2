//! The atomics, fences and pauses that the machines in memory are made of.
//!
//! Everything below the segments takes them from here, so that a model checker can put its own in
//! their place: `models/` compiles the files of `raw` with another module of this name. Here they are
//! the standard library's and cost nothing.

pub(crate) use std::{
    hint::spin_loop,
    sync::atomic::{
        AtomicBool, AtomicIsize, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence,
        fence,
    },
    thread::{sleep, yield_now},
};
