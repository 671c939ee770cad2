//! Shared memory for parallel processes.

extern crate self as commons;

mod error;
mod failure;
mod deadline;
mod plain;
mod shareable;
#[doc(hidden)]
pub mod derived;
mod message;
mod sys;
mod raw;
mod segment;
pub mod sync;
mod placed;
mod shared;
mod atomic;
mod value;
mod array;
mod process;

#[doc(no_inline)]
pub use bytemuck;
pub use commons_derive::{Plain, Shareable};

pub use crate::{
    array::{Array, Claim, Share},
    atomic::{Atomic, AtomicArray, Bits, Number, Word},
    error::{Error, ErrorKind, Result},
    failure::Failure,
    message::Message,
    plain::Plain,
    process::{Exit, Process, ProcessError, init, spawn},
    segment::{Options, SegmentInfo, catalog},
    shareable::{Field, Shareable},
    shared::Shared,
    value::{Value, ValueGuard},
};

#[doc(hidden)]
pub use crate::process::before_main as __before_main;
