//! How far it is: counted in shared memory, drawn by whoever wants to see it.
//!
//! | file | the one thing |
//! |---|---|
//! | `line` | what there is to say at one moment |
//! | `words` | how it is said |
//! | `lines` | where stderr is no terminal: when a line is due |
//! | `panics` | their messages have the terminal to themselves |
//! | `bars`, `no_bars` | on a terminal: indicatif's bars, or none without the feature |
//! | `picture` | one drawing, as lines or as a bar |
//! | `artist` | the one thread of a process that draws |
//! | `drawing` | `Drawing`: from the first look to the last |
//! | `handle` | `Progress`: made, opened, sent |
//! | `counter` | `Progress`: advanced, looked at, drawn |

mod line;
mod words;
mod lines;
#[cfg(feature = "progress")]
mod panics;
#[cfg_attr(not(feature = "progress"), path = "no_bars.rs")]
mod bars;
mod picture;
mod artist;
mod drawing;
mod handle;
mod counter;

pub(crate) use self::drawing::end_all;
pub use self::{
    drawing::{Drawing, draw, draw_as},
    handle::Progress,
    line::ProgressLine,
};
