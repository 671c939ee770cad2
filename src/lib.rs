//! Shared memory for parallel processes.

extern crate self as commons;

mod deadline;
mod error;
mod failure;
mod message;
mod plain;
mod process;
mod raw;
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
    process::{Exit, Process, ProcessError, init, spawn},
    shareable::{Field, Shareable},
};

#[doc(hidden)]
pub use crate::process::before_main as __before_main;
