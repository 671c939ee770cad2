//! Which process is that, and does it still live: pid, start time, boot, namespaces.
//!
//! A pid alone names another process tomorrow; pid and start time within one boot do not.
//!
//! # Safety
//! Asks the kernel about a thread by a call that takes three numbers.

#![allow(unsafe_code)]

use std::{
    fs,
    io::{self, Read as _},
    num::NonZeroU32,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::*},
};

use rustix::{
    io::Errno,
    process::{Pid, getpid},
};

use super::fork;

/// A process of this boot and pid namespace, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProcessId {
    pub(crate) pid: u32,
    /// Clock ticks after boot, field 22 of `/proc/PID/stat`.
    pub(crate) start: u64,
}

impl ProcessId {
    /// The calling process.
    pub(crate) fn current() -> io::Result<Self> {
        static START: AtomicU64 = AtomicU64::new(0);
        static MARK: AtomicU64 = AtomicU64::new(0);
        let pid = current_pid();
        if MARK.load(Acquire) == fork::mark() {
            return Ok(Self { pid, start: START.load(Relaxed) });
        }
        let start = start_time(pid)?;
        START.store(start, Relaxed);
        MARK.store(fork::mark(), Release);
        Ok(Self { pid, start })
    }

    /// Whether this very process exists. A zombie does; what cannot be read counts as existing.
    pub(crate) fn exists(self) -> bool {
        let Some(pid) = as_pid(self.pid) else { return false };
        if rustix::process::test_kill_process(pid) == Err(Errno::SRCH) {
            return false;
        }
        start_time(self.pid).map_or(true, |start| start == self.start)
    }
}

/// The pid of the calling process.
pub(crate) fn current_pid() -> u32 {
    getpid().as_raw_nonzero().get().cast_unsigned()
}

/// Whether the program runs with rights that whoever started it has not (set-user-id, capabilities).
pub(crate) fn has_gained_rights() -> bool {
    // SAFETY: reads one number that the kernel left for the process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// The parent's pid, or 0 when the parent lives in an outer pid namespace.
pub(crate) fn parent_pid() -> u32 {
    rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().cast_unsigned())
}

fn as_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// When a process started, in clock ticks after boot.
pub(crate) fn start_time(pid: u32) -> io::Result<u64> {
    field_of_stat(&format!("/proc/{pid}/stat"), 22)
}

/// A file of `/proc` as text. Names of programs and files in it may be cut in the middle of a letter.
pub(super) fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

/// A field of a `stat` file, numbered from 1 as proc(5) does, after the name in brackets.
fn field_of_stat(path: &str, field: usize) -> io::Result<u64> {
    // The kernel gives it in one piece; a name and the numbers that are asked for are shorter than this.
    let mut bytes = [0; 1024];
    let len = fs::File::open(path)?.read(&mut bytes)?;
    let stat = String::from_utf8_lossy(&bytes[..len]);
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let text = after_name.split_ascii_whitespace().nth(field - 3);
    text.and_then(|text| text.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Whether thread `tid` of process `pid` exists, by the kernel's own answer.
pub(crate) fn thread_exists(pid: u32, tid: u32) -> bool {
    let (Ok(pid), Ok(tid)) = (i32::try_from(pid), i32::try_from(tid)) else { return false };
    tgkill_probe(pid, tid) != Err(Errno::SRCH)
}

/// Whether no process of this pid namespace has a thread `tid`, by the kernel's own answer.
pub(crate) fn thread_is_nowhere(tid: u32) -> bool {
    as_pid(tid).is_none_or(|tid| rustix::process::test_kill_process(tid) == Err(Errno::SRCH))
}

/// The process that thread `tid` belongs to; `None` if that cannot be told.
pub(crate) fn process_of_thread(tid: u32) -> Option<u32> {
    let status = read_text(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

fn tgkill_probe(pid: i32, tid: i32) -> Result<(), Errno> {
    // SAFETY: tgkill takes three integers; signal 0 only asks whether the thread exists.
    let answer = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, 0) };
    if answer == 0 {
        Ok(())
    } else {
        Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL))
    }
}

/// Whether a thread has ended but was not collected yet (state `Z` or `X`).
pub(crate) fn thread_is_zombie(pid: u32, tid: u32) -> bool {
    read_text(format!("/proc/{pid}/task/{tid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])))
}

/// Whether process `pid` has the file `device`, `inode` mapped; `None` if that cannot be told.
pub(crate) fn maps_file(pid: u32, tid: u32, device: u64, inode: u64) -> Option<bool> {
    // By the thread: of a process whose first thread has ended, `/proc/PID/maps` shows nothing.
    let maps = read_text(format!("/proc/{pid}/task/{tid}/maps")).ok()?;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let wanted = (format!("{major:02x}:{minor:02x}"), inode.to_string());
    Some(maps.lines().any(|line| {
        let mut columns = line.split_ascii_whitespace().skip(3);
        columns.next() == Some(&wanted.0) && columns.next() == Some(&wanted.1)
    }))
}

/// The id of this boot: 16 random bytes that the kernel chose.
pub(crate) fn boot_id() -> io::Result<[u8; 16]> {
    let text = read_text("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let number =
        u128::from_str_radix(&digits, 16).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(number.to_be_bytes())
}

/// The inode of this process's pid namespace.
pub(crate) fn pid_namespace() -> io::Result<u64> {
    Ok(rustix::fs::stat("/proc/self/ns/pid")?.st_ino)
}

/// The inode of this process's time namespace; 0 where the kernel has none.
pub(crate) fn time_namespace() -> io::Result<u64> {
    match rustix::fs::stat("/proc/self/ns/time") {
        Err(Errno::NOENT) => Ok(0),
        other => Ok(other?.st_ino),
    }
}

/// The kernel's id of the calling thread.
pub(crate) fn current_tid() -> NonZeroU32 {
    rustix::thread::gettid().as_raw_nonzero().cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_exists_and_an_older_namesake_does_not() {
        let me = ProcessId::current().unwrap();
        assert!(me.exists());
        assert!(!ProcessId { start: me.start + 1, ..me }.exists());
        assert!(!ProcessId { pid: u32::MAX, start: 1 }.exists());
        assert!(thread_exists(me.pid, current_tid().get()));
        assert!(!thread_exists(me.pid, 1));
        assert!(!thread_is_zombie(me.pid, current_tid().get()));
        assert!(!thread_is_nowhere(current_tid().get()) && thread_is_nowhere(u32::MAX));
        assert_eq!(process_of_thread(current_tid().get()), Some(me.pid));
    }
}
