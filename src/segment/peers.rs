//! Which of the others that use a segment are dead.
//!
//! The kernel marks the locks of a dead thread itself; this is asked for the few it cannot see (a
//! woken waiter that dies, `exec` from a second thread, the out-of-memory reaper). A wrong "dead"
//! would give one lock to two, so everything that cannot be read counts as alive.
//!
//! A free slot byte alone proves nothing: a process on its way out closes its files before its last
//! threads stop. A taken one proves nothing either: a forked child shares its parent's description.

use std::sync::atomic::Ordering::*;

use super::{attach::Attachment, locks, rows};
use crate::{
    raw::region::Peers,
    sys::{
        filelock::{self, Others},
        fork, identity,
    },
};

impl Peers for Attachment {
    fn thread_is_dead(&self, slot: u32, tid: u32) -> bool {
        let own_slot = self.slot();
        let Some(owner) = rows::read(self.mapping(), slot) else { return self.has_no_thread(tid) };
        if !identity::thread_exists(owner.pid, tid) {
            return true;
        }
        if identity::start_time(owner.pid).is_ok_and(|start| start != owner.start) {
            return true;
        }
        slot != own_slot && self.slot_is_free(slot) && self.is_done(owner.pid, tid)
    }

    fn recover(&self, steal: &mut dyn FnMut()) -> bool {
        let _ = self.slot(); // after a fork the description must be our own before we lock with it
        let mark = fork::mark();
        // The byte excludes other processes, this word the other threads of ours. A word that a parent
        // left behind in our copy of its memory counts for nothing.
        let seen = self.recovering().load(Acquire);
        if seen == mark || self.recovering().compare_exchange(seen, mark, AcqRel, Acquire).is_err() {
            return false;
        }
        let alone = filelock::try_exclusive(self.hold().file(), locks::RECOVERY).unwrap_or(false);
        if alone {
            steal();
            let _ = filelock::unlock(self.hold().file(), locks::RECOVERY);
        }
        self.recovering().store(0, Release);
        alone
    }

    fn after_fork(&self) -> u32 {
        self.slot()
    }
}

impl Attachment {
    /// Whether no process that uses this segment has a thread `tid`, where no row says which it was.
    fn has_no_thread(&self, tid: u32) -> bool {
        if identity::thread_is_nowhere(tid) {
            return true;
        }
        identity::process_of_thread(tid).is_some_and(|pid| self.is_done(pid, tid))
    }

    fn slot_is_free(&self, slot: u32) -> bool {
        filelock::probe(self.hold().file(), locks::slot(slot))
            .is_ok_and(|others| others == Others::HaveNothing)
    }

    /// Whether the thread has ended, or its process has this segment no more (it ran another program).
    fn is_done(&self, pid: u32, tid: u32) -> bool {
        let inode = self.hold().inode();
        identity::thread_is_zombie(pid, tid)
            || identity::maps_file(pid, inode.device, inode.number) == Some(false)
    }
}
