//! The end of the parent, seen by a worker: no orphan stays.

use std::io;

use crate::{
    deadline::Deadline,
    process::parent::Parent,
    sys::{parent as end, signals, thread},
};

/// Watches `parent`; when it ends, runs `give_up` and ends this process.
///
/// Until the watcher stands, the kernel kills this process together with its parent; from then on
/// it only wakes a stopped one, so that the watcher can act. If no watcher can be had, the kernel's
/// way stays.
pub(super) fn start(parent: &'static Parent, give_up: fn()) -> io::Result<()> {
    let run = |(parent, give_up): &(&Parent, fn())| {
        signals::block_in_this_thread();
        while !parent.wait_until(Deadline::NEVER) {}
        give_up();
        end::exit_now(0);
    };
    thread::start(Box::leak(Box::new(thread::Work {
        name: c"commons-watcher",
        run,
        with: (parent, give_up),
    })))?;
    end::death_continues()
}
