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
        fork,
        identity::{self, ProcessId},
    },
};

impl Peers for Attachment {
    fn thread_is_dead(&self, slot: u32, tid: u32) -> bool {
        let own_slot = self.slot();
        match rows::read(self.mapping(), slot).filter(|&owner| may_have_thread(owner, tid)) {
            // A child that was forked from a process keeps its byte; what has ended is a zombie all the same.
            Some(owner) if slot != own_slot => {
                identity::thread_is_zombie(owner.pid, tid)
                    || self.slot_is_free(slot) && self.is_done(owner.pid, tid)
            }
            Some(_) => false,
            // An owner writes its slot after its id. One that is stopped in between shows the slot of
            // the last owner, so a slot that does not fit proves nothing: ask about the thread itself.
            None => self.has_no_thread(tid),
        }
    }

    fn member_is_gone(&self, slot: u32, tid: u32) -> bool {
        slot != self.slot() && self.slot_is_free(slot) || self.thread_is_dead(slot, tid)
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

    fn slot_is_alive(&self, slot: u32) -> bool {
        let Some(process) = rows::read(self.mapping(), slot) else { return false };
        slot == self.slot() || !self.slot_is_free(slot) && process.exists()
    }

    fn after_fork(&self) -> u32 {
        self.slot()
    }
}

impl Attachment {
    /// Whether no process that uses this segment has a thread `tid`, where no row tells which it was.
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
        identity::thread_is_zombie(pid, tid)
            || (self.is_mapped_by(pid, tid) == Some(false) && self.maps_can_tell())
    }

    fn is_mapped_by(&self, pid: u32, tid: u32) -> Option<bool> {
        let inode = self.hold().inode();
        identity::maps_file(pid, tid, inode.device, inode.number)
    }

    /// Some file systems show another device in `maps` than in `stat`; then not even we seem to have it.
    fn maps_can_tell(&self) -> bool {
        self.is_mapped_by(identity::current_pid(), identity::current_tid().get()) == Some(true)
    }
}

/// Whether `tid` can be a thread of the process that a row names: both exist, and it is no namesake.
fn may_have_thread(owner: ProcessId, tid: u32) -> bool {
    identity::thread_exists(owner.pid, tid)
        && identity::start_time(owner.pid).map_or(true, |start| start == owner.start)
}

#[cfg(test)]
mod tests {
    use std::{alloc, sync::mpsc, thread};

    use super::*;
    use crate::raw::region::NO_SLOT;
    use crate::segment::{
        fingerprint::Element,
        kind::Kind,
        layout::{Layout, Settings},
        table::Segment,
    };
    use crate::sys::fork::testing;

    fn segment() -> Segment {
        let element = Element::new(alloc::Layout::new::<u64>(), "u64".to_owned(), vec![]);
        let layout = Layout {
            kind: Kind::Value,
            element,
            shape: vec![],
            payload_len: 8,
            payload_align: 8,
            reserved: None,
        };
        Segment::create(None, &Settings::default(), &layout, |_| {}).unwrap()
    }

    /// A forked child that attaches and then runs `child`; its pid and slot.
    fn attached(segment: &Segment, child: fn()) -> (u32, u32) {
        let pid = testing::start(|| {
            let _ = segment.attachment().slot();
            child();
        });
        // The row stays when the child is gone; its lock may be gone before we look.
        let of_child =
            |slot: &u32| rows::read(segment.attachment().mapping(), *slot).is_some_and(|p| p.pid == pid);
        loop {
            match (0..rows::ROWS).find(of_child) {
                Some(slot) => return (pid, slot),
                None => thread::yield_now(),
            }
        }
    }

    #[test]
    fn threads_of_this_process_live_until_they_end() {
        let segment = segment();
        let attachment = segment.attachment();
        let slot = attachment.slot();
        assert!(!attachment.thread_is_dead(slot, identity::current_tid().get()));
        assert!(!attachment.thread_is_dead(NO_SLOT, identity::current_tid().get()));
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || sender.send(identity::current_tid().get()).unwrap());
        let tid = receiver.recv().unwrap();
        thread.join().unwrap();
        // Joined is not yet gone: the kernel wakes the joiner a little before.
        while !attachment.thread_is_dead(slot, tid) {
            thread::yield_now();
        }
        for slot in [slot, slot + 1, rows::ROWS, NO_SLOT] {
            assert!(attachment.thread_is_dead(slot, tid), "slot {slot}");
        }
    }

    #[test]
    fn a_forked_child_lives_until_it_is_killed() {
        let segment = segment();
        let attachment = segment.attachment();
        let (pid, slot) = attached(&segment, testing::sleep);
        assert_ne!(slot, attachment.slot());
        for slot in [slot, NO_SLOT, slot + 1] {
            assert!(!attachment.thread_is_dead(slot, pid), "slot {slot}");
        }
        // An owner that has not yet written its slot: there stands the last owner's.
        let mine = identity::current_tid().get();
        let stale = [(attachment.slot(), pid), (slot, mine)];
        let taken_for_dead = stale.map(|(slot, tid)| attachment.thread_is_dead(slot, tid));
        testing::kill(pid);
        assert_eq!(taken_for_dead, [false, false], "slots of other processes prove nothing");
        // A zombie, which nobody has waited for, is dead.
        while !attachment.thread_is_dead(slot, pid) {
            thread::yield_now();
        }
        assert!(attachment.thread_is_dead(NO_SLOT, pid));
        testing::wait_for(pid);
        assert!(attachment.thread_is_dead(slot, pid));
        assert_eq!(segment.info().attached, [std::process::id()]);
    }

    /// The child that has ended, unlike its slot's byte, which the grandchild keeps.
    #[test]
    fn a_zombie_is_dead_although_a_child_of_it_lives() {
        fn fork_and_sleep() {
            rustix::process::setpgid(None, None).unwrap();
            testing::start(testing::sleep);
            testing::sleep();
        }
        let segment = segment();
        let (pid, slot) = attached(&segment, fork_and_sleep);
        let children = format!("/proc/{pid}/task/{pid}/children");
        while std::fs::read_to_string(&children).unwrap().is_empty() {
            thread::yield_now();
        }
        testing::kill(pid);
        let attachment = segment.attachment();
        while !identity::thread_is_zombie(pid, pid) {
            thread::yield_now();
        }
        let found = (attachment.slot_is_free(slot), attachment.thread_is_dead(slot, pid));
        let group = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        testing::wait_for(pid);
        assert_eq!(found, (false, true));
    }

    #[test]
    fn a_process_that_runs_another_program_has_no_threads_of_ours() {
        let segment = segment();
        let attachment = segment.attachment();
        let (pid, slot) = attached(&segment, testing::run_another_program);
        while !attachment.thread_is_dead(slot, pid) {
            thread::yield_now();
        }
        let lives = identity::thread_exists(pid, pid) && !identity::thread_is_zombie(pid, pid);
        assert!(lives, "what has no threads of ours lives on");
        testing::kill(pid);
        testing::wait_for(pid);
    }

    #[test]
    fn threads_live_although_the_first_of_their_process_has_ended() {
        let segment = segment();
        let (pid, slot) = attached(&segment, testing::go_on_in_another_thread);
        let mut other = None;
        while other.is_none() || !identity::thread_is_zombie(pid, pid) {
            let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            let tids =
                threads.map(|entry| entry.unwrap().file_name().into_string().unwrap().parse().unwrap());
            other = tids.into_iter().find(|&tid: &u32| tid != pid);
        }
        let dead = [slot, NO_SLOT].map(|slot| segment.attachment().thread_is_dead(slot, other.unwrap()));
        testing::kill(pid);
        testing::wait_for(pid);
        assert_eq!(dead, [false, false], "it lived");
        assert!(segment.attachment().thread_is_dead(slot, other.unwrap()));
    }

    #[test]
    fn one_at_a_time_recovers() {
        let segment = segment();
        let attachment = segment.attachment();
        let mut inner = true;
        assert!(attachment.recover(&mut || inner = attachment.recover(&mut || unreachable!("two recover"))));
        assert!(!inner);
        assert!(attachment.recover(&mut || {}), "and then the next");
    }
}
