//! Ends a process together with all that descends from it.
//!
//! Everybody is stopped first: who stands still starts nobody, ends not, and collects nobody. Then
//! nothing new turns up, and all are killed, children before their parents: a worker wakes up when
//! its parent dies. It also does when the thread ends that started it, which can be one of this process
//! or one that is on its way out where it is stopped; so all are stopped again and again, and the root,
//! whose parent alone goes on, is looked at last.
//!
//! Never a stranger: a process counts as a child if `/proc` says so in a look that was taken while
//! neither it nor its parent had ended, by descriptors that were opened before. Until a process has
//! ended its number is its own, so that look was at these two. Signals go to descriptors only.
//!
//! Who descends from a process that had ended before it could be stopped was given to another
//! parent by the kernel, and is not found.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd},
    thread,
    time::Duration,
};

use crate::{
    deadline::Deadline,
    segment,
    sys::{
        family::{self, Relation},
        pidfd,
    },
};

/// A tree that still grows after this time is killed as far as it is known.
const LIMIT: Duration = Duration::from_secs(5);
/// A thread that sleeps in the kernel for this long will not start a process when it wakes: it
/// waits for one that it has started, which was stopped before it ran its program.
const PATIENCE: Duration = Duration::from_millis(100);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// Kills `root`, whose number is `pid`, and all its descendants. Who has ended already is fine.
///
/// # Errors
/// What kept it from finding or killing all. Everybody who was found is killed also then.
pub(crate) fn kill(root: BorrowedFd<'_>, pid: u32) -> io::Result<()> {
    let root = Member { pid, process: Box::new(root) };
    let mut tree = Tree { members: vec![root], places: HashMap::from([(pid, 0)]), refusal: None };
    let limit = Deadline::after(LIMIT);
    loop {
        let stopped = tree.stop(limit);
        tree.kill_descendants();
        // Awake it may have started another one.
        if stopped.is_err() || limit.has_passed() || stand_still(&tree.members[..1], limit) {
            let killed = tree.kill_root();
            return stopped.and(killed);
        }
    }
}

struct Tree<'a> {
    /// Parents before their children.
    members: Vec<Member<'a>>,
    /// Where the last member of a number stands.
    places: HashMap<u32, usize>,
    /// The first one for which a signal was refused.
    refusal: Option<io::Error>,
}

/// One that was stopped.
struct Member<'a> {
    pid: u32,
    process: Box<dyn AsFd + 'a>,
}

impl Tree<'_> {
    /// Stops the root and whoever descends from it, until nobody new turns up.
    fn stop(&mut self, deadline: Deadline) -> io::Result<()> {
        let mut patience = Deadline::after(PATIENCE);
        loop {
            self.stop_again()?;
            let still = stand_still(&self.members, patience);
            let grown = self.adopt()?;
            // They stood still before that look and after it, so it has shown all of their children.
            if still && !grown && stand_still(&self.members, patience) {
                return Ok(());
            }
            if deadline.has_passed() {
                let why = "they become more faster than they can be stopped";
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            if grown {
                patience = Deadline::after(PATIENCE);
            } else {
                thread::sleep(PAUSE);
            }
        }
    }

    /// Stops all members, some of which may have been woken.
    fn stop_again(&self) -> io::Result<()> {
        self.members.iter().try_for_each(|member| unless_gone(pidfd::stop(member.process.as_fd())))
    }

    /// Stops the descendants that are no members yet, and makes them members; whether there were any.
    ///
    /// Each is stopped as it is seen, so those that a listing shows after it are all that it has.
    fn adopt(&mut self) -> io::Result<bool> {
        let before = self.members.len();
        for relation in family::all()? {
            let relation = relation?;
            if let Some(&parent) = self.places.get(&relation.parent)
                && !self.has(relation.process.pid)?
                && let Some(member) = self.stopped_child(parent, relation)?
            {
                self.places.insert(member.pid, self.members.len());
                self.members.push(member);
            }
        }
        Ok(self.members.len() > before)
    }

    /// Whether the process that has this number now is a member.
    fn has(&self, pid: u32) -> io::Result<bool> {
        let Some(&place) = self.places.get(&pid) else { return Ok(false) };
        Ok(!pidfd::has_ended(self.members[place].process.as_fd())?)
    }

    /// The process of this relation, stopped, if it is a child of the member at `parent`.
    fn stopped_child(&mut self, parent: usize, relation: Relation) -> io::Result<Option<Member<'static>>> {
        let pid = relation.process.pid;
        let process = match segment::with_descriptors(|| pidfd::open(pid)) {
            Err(error) if pidfd::is_gone(&error) => return Ok(None),
            opened => opened?,
        };
        let now = family::look(pid);
        let parent = self.members[parent].process.as_fd();
        if now != Some(relation) || pidfd::has_ended(process.as_fd())? || pidfd::has_ended(parent)? {
            return Ok(None);
        }
        if let Err(error) = unless_gone(pidfd::stop(process.as_fd())) {
            // Somebody else's, such as a program with more rights: the others go all the same.
            self.refusal.get_or_insert(error);
            return Ok(None);
        }
        Ok(Some(Member { pid, process: Box::new(process) }))
    }

    fn kill_descendants(&mut self) {
        for member in self.members[1..].iter().rev() {
            if let Err(error) = unless_gone(pidfd::kill(member.process.as_fd())) {
                self.refusal.get_or_insert(error);
            }
        }
    }

    fn kill_root(self) -> io::Result<()> {
        unless_gone(pidfd::kill(self.members[0].process.as_fd()))?;
        self.refusal.map_or(Ok(()), Err)
    }
}

/// Whether none of them can start a process any more.
fn stand_still(members: &[Member<'_>], patience: Deadline) -> bool {
    let still: &[char] =
        if patience.has_passed() { &['T', 't', 'Z', 'X', 'D'] } else { &['T', 't', 'Z', 'X'] };
    members.iter().all(|member| family::states(member.pid).chars().all(|state| still.contains(&state)))
}

fn unless_gone(sent: io::Result<()>) -> io::Result<()> {
    sent.or_else(|error| if pidfd::is_gone(&error) { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;
    use crate::sys::identity::ProcessId;

    fn sleep() -> Child {
        Command::new("sleep").arg("1000").spawn().unwrap()
    }

    #[test]
    fn who_is_no_child_or_has_another_start_is_not_touched() {
        let mut sleeps = [sleep(), sleep()];
        let (of_root, stranger) = (pidfd::open(sleeps[0].id()).unwrap(), sleeps[1].id());
        let root = Member { pid: sleeps[0].id(), process: Box::new(of_root) };
        let places = HashMap::from([(root.pid, 0)]);
        let mut tree = Tree { members: vec![root], places, refusal: None };
        let process = family::look(stranger).unwrap().process;
        // What a listing showed before the number was another's.
        let was_a_child = Relation { process, parent: sleeps[0].id() };
        assert!(tree.stopped_child(0, was_a_child).unwrap().is_none());
        let older = ProcessId { start: process.start - 1, ..process };
        let older = Relation { process: older, parent: std::process::id() };
        assert!(tree.stopped_child(0, older).unwrap().is_none());
        // A true relation, but the parent has ended: the number in it may be another's.
        sleeps[0].kill().unwrap();
        let limit = Deadline::after(Duration::from_secs(60));
        assert!(pidfd::wait_for_end(tree.members[0].process.as_fd(), limit).unwrap());
        let now = family::look(stranger).unwrap();
        assert!(tree.stopped_child(0, now).unwrap().is_none());
        assert!(!tree.has(sleeps[0].id()).unwrap(), "one that has ended has no number");
        assert!(!family::states(stranger).contains('T'), "a stranger was stopped");
        for sleep in &mut sleeps {
            sleep.kill().unwrap();
            sleep.wait().unwrap();
        }
    }
}
