//! Shared memory for parallel processes: typed values, arrays, structures and locks that any process
//! can use, and that survive `kill -9` of any of them at any instruction.
//!
//! ```
//! use commons::Value;
//!
//! fn main() -> commons::Result<()> {
//!     # commons::init_in_tests!();
//!     commons::init();                                  // worker processes take over here
//!     let hits = Value::new(0u64)?;
//!     let worker = commons::spawn(hits.clone(), |hits| hits.update(|h| *h += 1))?;
//!     hits.update(|h| *h += 1);
//!     worker.join()?;
//!     assert_eq!(hits.get(), 2);
//!     Ok(())
//! }
//! ```
//!
//! # Handles
//!
//! | handle | holds |
//! |---|---|
//! | [`Value<T>`] | one value of any width that changes whole or not at all |
//! | [`Atomic<T>`], [`AtomicArray<T>`] | lock-free numbers, flags and floats |
//! | [`Array<T>`] | many values; ranges can be claimed as slices |
//! | [`Shared<T>`] | your own [`#[derive(Shareable)]`](derive@Shareable) structure, used in place |
//! | [`Progress`] | a counter with a total, [drawn](Progress::draw) by whoever wants to see it |
//!
//! They are made by `new` (anonymous), `create` (fails if the name exists), `open` (fails if it does
//! not) and `open_or_create`, or through `options()`. Cloning one, or sending it inside an argument,
//! a result or another handle, reaches the same object. The name of an object goes with the last
//! process that uses it, however that ends.
//!
//! Payloads are [`Plain`] where they are copied in and out, [`bytemuck::Pod`] where they are lent as
//! `&mut T`, [`Shareable`] where they are used in place, and [`Message`] where they are sent.
//!
//! # Processes
//!
//! [`init`] at the top of `main`, then [`spawn`] runs a function of the program in a new
//! [`Process`]. In tests and doctests, [`init_in_tests!`] takes the place of `init`. [`cpu_count`] tells
//! how many of them make sense.
//!
//! # Workers
//!
//! [`Parallel`] runs a function on many items, in a line; a [`Pool`] keeps its workers, and takes single
//! tasks too. Both use processes unless told otherwise ([`Backend`]), and a task that dies there costs
//! itself: [`TaskError`] says which it was and why.
//!
//! # Progress
//!
//! [`Progress`] counts in shared memory, and [`draw`] shows a structure of your own: as bars where
//! stderr is a terminal (feature `progress`, on by default), as a few lines elsewhere.
//!
//! # What a death leaves
//!
//! Every value is old or new, whatever instruction was the last. Locks are handed on by the kernel
//! when their owner dies. [`sync::Mutex`] tells the next locker, because its value is changed in
//! place and may be half-done; everything else has nothing to tell. Leftover names go with the next
//! use of the name, the next `create`, or [`catalog::sweep`].
//!
//! # Trust
//!
//! Processes of one user share segments. A peer can destroy data and hold locks, and it can truncate
//! a named file, which ends whoever touches the missing pages (SIGBUS), as with any mapped file. It
//! cannot cause undefined behaviour here: bytes are checked before they become a value, and no
//! pointer or length from shared memory is believed. That others write shared memory meanwhile is
//! outside Rust's memory model; all access here is by atomics, or under a lock that excludes it.
//!
//! # Platform
//!
//! 64-bit Linux, kernel 5.10 or newer.

extern crate self as commons;

mod primitive;
mod error;
mod failure;
mod deadline;
mod plain;
mod shareable;
#[doc(hidden)]
pub mod derived;
mod message;
mod sys;
mod cpus;
mod raw;
mod segment;
pub mod sync;
mod placed;
mod shared;
mod atomic;
mod value;
mod array;
mod queue;
mod channel;
mod pipe;
mod listener;
mod process;
mod select;
mod progress;
mod workers;
mod parallel;

#[doc(no_inline)]
pub use bytemuck;
pub use commons_derive::{Plain, Shareable};

pub use crate::{
    array::{Array, Claim, Share},
    atomic::{Atomic, AtomicArray, Bits, Number, Word},
    channel::{Receiver, Sender, channel},
    cpus::{CpuCount, cpu_count},
    error::{Error, ErrorKind, Result},
    failure::Failure,
    listener::Listener,
    message::Message,
    parallel::{Backend, Delayed, Given, Parallel, Prepared, delayed},
    pipe::{Connection, pipe},
    plain::Plain,
    process::{
        ChildInfo, Exit, Parent, Process, ProcessBuilder, ProcessError, active_children, init, parent, spawn,
    },
    progress::{Drawing, Progress, ProgressLine, draw, draw_as},
    queue::{
        Lease, Messages, Queue, RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError,
        TrySendError,
    },
    segment::{Options, SegmentInfo, catalog},
    select::{Select, Selectable},
    shareable::{Field, Shareable},
    shared::Shared,
    value::{Value, ValueGuard},
    workers::{
        AsCompleted, Executor, MapIter, MapUnordered, Pool, PoolBuilder, Task, TaskError, TaskErrorKind,
        as_completed, wait_any,
    },
};

#[doc(hidden)]
pub use crate::process::before_main as __before_main;

/// The program in the README runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
