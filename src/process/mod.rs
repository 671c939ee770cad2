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
//! | `started` | a process that was started, as its handle and its reaper share it |
//! | `spawner` | the thread that starts and collects them |
//! | `handle` | `Process<R>` |
//! | `watcher` | the end of the parent, seen by a worker |
//! | `child` | what a worker does |
//! | `init` | the front door of `main` |
//! | `spawn` | the front door of everything else |

mod exit;
mod error;
mod facts;
mod outcome;
mod call;
mod function;
mod panics;
mod started;
mod spawner;
mod handle;
mod watcher;
mod child;
mod init;
mod spawn;

pub use self::{
    error::ProcessError,
    exit::Exit,
    handle::Process,
    init::{before_main, init},
    spawn::spawn,
};
