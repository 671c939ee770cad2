//! Shared memory for parallel processes.

extern crate self as commons;

mod atomic;
mod deadline;
mod error;
mod failure;
mod message;
mod plain;
mod raw;
mod segment;
mod shareable;
mod shared;
mod sys;

#[doc(no_inline)]
pub use bytemuck;
pub use commons_derive::{Plain, Shareable};

pub use crate::{
    atomic::{Atomic, AtomicArray, Bits, Number, Word},
    error::{Error, ErrorKind, Result},
    failure::Failure,
    message::Message,
    plain::Plain,
    segment::{Options, SegmentInfo, catalog},
    shareable::{Field, Shareable},
    shared::Shared,
};
