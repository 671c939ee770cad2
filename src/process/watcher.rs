//! The end of the parent, seen by a worker: no orphan stays.

use std::{io, os::fd::AsFd, thread, time::Duration};

use crate::sys::{identity, parent as end, pidfd, signals};

/// Watches `parent`; when it ends, runs `give_up` and ends this process.
///
/// Until the watcher stands, the kernel kills this process together with its parent; from then on
/// it only wakes a stopped one, so that the watcher can act. If no watcher can be had, the kernel's
/// way stays.
pub(super) fn start(parent: u32, give_up: fn()) -> io::Result<()> {
    let process = pidfd::open(parent)?;
    // Between the look at the parent and the call above the number may have become another's.
    if identity::parent_pid() != parent {
        end::exit_now(0);
    }
    thread::Builder::new().name("commons-watcher".into()).spawn(move || {
        signals::block_in_this_thread();
        while pidfd::wait_for_end(process.as_fd()).is_err() && identity::parent_pid() == parent {
            // Out of memory, at worst; look again soon.
            thread::sleep(Duration::from_millis(100));
        }
        give_up();
        end::exit_now(0);
    })?;
    end::death_continues()
}
