//! Other processes that run a function of this program.
//!
//! | file | the one thing |
//! |---|---|
//! | `exit` | how a process ended |
//! | `error` | why it did not give its result |
//! | `facts` | what a worker must know, as bytes |
//! | `outcome` | what a worker has to tell at the end |
//! | `call` | the memfd that carries all of these, the arguments and the state |
//! | `function` | a function pointer that can travel |
//! | `panics` | what is told about a panic |
//! | `title` | what lists of processes call a worker |
//! | `environment` | the variables of a child |
//! | `tree` | ends a process with all its descendants |
//! | `started` | a process that was started, as its handle and its reaper share it |
//! | `reaper` | starts them, and the thread that collects them |
//! | `handle` | `Process<R>` |
//! | `active` | the processes that were started and have not ended |
//! | `parent` | the parent of a worker |
//! | `watcher` | the end of the parent, seen by a worker |
//! | `child` | what a worker does |
//! | `init` | the front door of `main` |
//! | `builder` | starts them, with a name and variables |
//! | `spawn` | the front door of everything else |

mod exit;
mod error;
mod facts;
mod outcome;
mod call;
mod function;
mod panics;
mod title;
mod environment;
mod tree;
mod started;
mod reaper;
mod handle;
mod active;
mod parent;
mod watcher;
mod child;
mod init;
mod builder;
mod spawn;

pub(crate) use self::panics::{Report, caught, discard, note as note_panics};
pub use self::{
    active::{ChildInfo, active_children},
    builder::ProcessBuilder,
    error::ProcessError,
    exit::Exit,
    handle::Process,
    init::{before_main, init},
    parent::{Parent, parent},
    spawn::spawn,
};
