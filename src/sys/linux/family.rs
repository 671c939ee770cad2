//! Who is whose child, and who stands still, as `/proc` shows it.
//!
//! By the parent's number in every `/proc/PID/stat`,
//! <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>, and not by
//! `/proc/PID/task/TID/children`: not every kernel is built with that file, it has to be read for
//! each thread, and it leaves children out if others end meanwhile. A whole listing costs some ten
//! microseconds a process.

use std::{fs, io, path::Path};

use super::identity::{self, ProcessId, read_text};

/// A process and the number of its parent, at the moment of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) process: ProcessId,
    pub(crate) parent: u32,
}

/// All processes that `/proc` shows, by number, each as it is when the iterator comes to it.
///
/// # Errors
/// `Unsupported` where its numbers are not those of this process's pid namespace.
pub(crate) fn all() -> io::Result<impl Iterator<Item = io::Result<Relation>>> {
    if fs::read_link("/proc/self")? != Path::new(&identity::current_pid().to_string()) {
        let why = "/proc shows the processes of another pid namespace";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    Ok(fs::read_dir("/proc")?.filter_map(|entry| match entry {
        // What cannot be read has ended since.
        Ok(entry) => look(entry.file_name().to_str()?.parse().ok()?).map(Ok),
        Err(error) => Some(Err(error)),
    }))
}

/// Process `pid`, if there is one.
pub(crate) fn look(pid: u32) -> Option<Relation> {
    relation(pid, &read_text(format!("/proc/{pid}/stat")).ok()?)
}

/// The states of the threads of process `pid`, as letters of proc(5); none if it is gone.
pub(crate) fn states(pid: u32) -> String {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return String::new() };
    let stats = threads.flatten().filter_map(|thread| read_text(thread.path().join("stat")).ok());
    stats.filter_map(|stat| after_name(&stat)?.chars().next()).collect()
}

fn relation(pid: u32, stat: &str) -> Option<Relation> {
    let mut fields = after_name(stat)?.split_ascii_whitespace();
    // Fields 4 and 22; the first here is number 3.
    let parent = fields.nth(1)?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    Some(Relation { process: ProcessId { pid, start }, parent })
}

/// The name in brackets may hold anything, brackets and spaces too.
fn after_name(stat: &str) -> Option<&str> {
    Some(stat.rsplit_once(')')?.1.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_among_all_and_has_its_parent() {
        let me = ProcessId::current().unwrap();
        let mine = look(me.pid).unwrap();
        assert_eq!(mine, Relation { process: me, parent: identity::parent_pid() });
        assert!(all().unwrap().any(|found| found.unwrap() == mine));
        assert!(states(me.pid).contains('R'));
        assert_eq!((look(u32::MAX), states(u32::MAX)), (None, String::new()));
    }

    #[test]
    fn a_name_may_hold_brackets() {
        let stat = "7 (a) (b) S 3 7 7 0 -1 1 0 0 0 0 0 0 0 0 20 0 1 0 9876 1 1";
        let process = ProcessId { pid: 7, start: 9876 };
        assert_eq!(relation(7, stat), Some(Relation { process, parent: 3 }));
        assert_eq!(relation(7, "7 (cut"), None);
    }
}
