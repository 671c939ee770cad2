//! What the kernel says about processes: who lives, how many threads and how much memory they have.

use std::{fs, process};

use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, pidfd_open, pidfd_send_signal, setrlimit};

/// The fields of `/proc/PID/stat` from the state on.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// Whether no such process runs: also one that nobody has collected yet is gone.
pub fn is_gone(pid: u32) -> bool {
    stat(pid).is_none_or(|stat| stat[0] == "Z" || stat[0] == "X")
}

/// The processes that this one has started, dead ones that it has not collected too.
pub fn children() -> Vec<u32> {
    children_of(process::id())
}

/// The same for another process.
pub fn children_of(parent: u32) -> Vec<u32> {
    let parent = parent.to_string();
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| stat(pid).is_some_and(|stat| stat[1] == parent)).collect()
}

/// `kill -9` for a child of this process, unless it is gone; whether it was sent.
///
/// A number that went to somebody else meanwhile hits nobody.
pub fn kill_child(pid: u32) -> bool {
    let me = process::id().to_string();
    let open = Pid::from_raw(pid.cast_signed()).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let Some(pidfd) = open else { return false };
    let mine = stat(pid).is_some_and(|stat| stat[1] == me && stat[0] != "Z");
    mine && pidfd_send_signal(pidfd, Signal::KILL).is_ok()
}

/// How many threads this process has.
pub fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// How many bytes of memory this process has in use that are its own.
pub fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

/// A death of this process leaves no file.
pub fn no_core_file() {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
}

/// This process gets hardly more addresses than it has.
pub fn limit_memory() {
    const MORE: u64 = 16 << 20;
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split_whitespace().next().unwrap().parse().unwrap();
    let limit = Some(pages * rustix::param::page_size() as u64 + MORE);
    setrlimit(Resource::As, Rlimit { current: limit, maximum: limit }).unwrap();
}
