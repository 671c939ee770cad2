//! `Parallel`: a function on many items, in a line.
//!
//! | file | the one thing |
//! |---|---|
//! | `backend` | where tasks run |
//! | `warm` | workers that stay for the next call |
//! | `settings` | what was asked for, and the workers that this means |
//! | `verbose` | joblib's lines |
//! | `watched` | a call that is watched |
//! | `delayed` | a call of a function that is not made yet |
//! | `builder` | `Parallel` and its settings |
//! | `methods` | `map` and its kin |

mod backend;
mod warm;
mod settings;
mod verbose;
mod watched;
mod delayed;
mod builder;
mod methods;

pub use self::{
    backend::Backend,
    builder::{Given, Parallel, Prepared},
    delayed::{Delayed, delayed},
};
