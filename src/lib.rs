//! Shared memory for parallel processes.

extern crate self as commons;

mod deadline;
#[doc(hidden)]
pub mod derived;
mod error;
mod failure;
mod message;
mod plain;
mod raw;
pub mod sync;
mod shareable;
mod sys;

#[doc(no_inline)]
pub use bytemuck;
pub use commons_derive::{Plain, Shareable};

pub use crate::{
    error::{Error, ErrorKind, Result},
    failure::Failure,
    message::Message,
    plain::Plain,
    shareable::{Field, Shareable},
};
