//! The end of the parent, seen by a worker: no orphan stays.

use std::io;

use crate::{
    deadline::Deadline,
    process::parent::Parent,
    sys::{signals, thread},
};

/// Watches `parent`; when it ends, runs `end`, which ends this process.
pub(super) fn start(parent: &'static Parent, end: fn() -> !) -> io::Result<()> {
    let run = |(parent, end): &(&Parent, fn() -> !)| {
        signals::block_in_this_thread();
        while !parent.wait_until(Deadline::NEVER) {}
        end();
    };
    thread::start(Box::leak(Box::new(thread::Work { name: c"commons-watcher", run, with: (parent, end) })))
}
