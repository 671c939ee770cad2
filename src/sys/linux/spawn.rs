//! Starts the running program once more, with one descriptor beyond the standard three.
//!
//! `int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
//! const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])`,
//! <https://man7.org/linux/man-pages/man3/posix_spawn.3.html>. Its child shares this process's
//! memory until the exec, so the cost does not grow with that memory.
//!
//! # Safety
//! `posix_spawn` and its two opaque argument blocks exist in the C library only.

#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, c_char, c_int},
    fs, io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use super::signals;

/// Where the child finds the inherited descriptor.
const INHERITED: RawFd = 3;

/// The running program, even if its file was replaced since.
const MYSELF: &CStr = c"/proc/self/exe";

/// Starts the program with these arguments and environment; its pid.
///
/// The child has standard input, output and error, `inherited` as descriptor 3, nothing else; an
/// empty signal mask, and the default for the two signals that Rust or a parent may ignore.
pub(crate) fn spawn_myself(
    arguments: &[CString],
    environment: &[CString],
    inherited: BorrowedFd<'_>,
) -> io::Result<u32> {
    let mut actions = FileActions::new()?;
    actions.duplicate(inherited.as_raw_fd(), INHERITED)?;
    actions.close_from(INHERITED + 1)?;
    let attributes = Attributes::new()?;
    let arguments = null_terminated(arguments);
    let environment = null_terminated(environment);
    let mut pid = 0;
    // SAFETY: the path is a C string; both blocks are initialised; both arrays end with null and
    // hold C strings that outlive the call, which does not write to them; `pid` is ours.
    let answer = unsafe {
        libc::posix_spawn(
            &mut pid,
            MYSELF.as_ptr(),
            &actions.0,
            &attributes.0,
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    };
    check(answer)?;
    Ok(pid.cast_unsigned())
}

/// A copy of descriptor 3, whoever opened it, that the programs of this process do not inherit.
pub(crate) fn copy_inherited() -> io::Result<OwnedFd> {
    // SAFETY: makes a new descriptor, or fails on a closed one; it changes no other.
    let copy = unsafe { libc::fcntl(INHERITED, libc::F_DUPFD_CLOEXEC, INHERITED + 1) };
    if copy == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: made just now, so open, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Closes descriptor 3.
///
/// # Safety
/// - It is what [`spawn_myself`] left there, and nothing in this process owns it.
pub(crate) unsafe fn close_inherited() {
    // SAFETY: the caller promises that it is open and nobody else's.
    drop(unsafe { OwnedFd::from_raw_fd(INHERITED) });
}

/// Makes lists of processes show `name` instead of `exe`, the last part of [`MYSELF`].
pub(crate) fn show_as(name: &CStr) -> io::Result<()> {
    Ok(rustix::thread::set_name(name)?)
}

/// Random bytes that nobody can guess.
pub(crate) fn nonce() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    // Up to 256 bytes come whole or not at all.
    rustix::io::retry_on_intr(|| rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()))?;
    Ok(bytes)
}

fn null_terminated(strings: &[CString]) -> Vec<*mut c_char> {
    strings.iter().map(|string| string.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

/// These calls return the error's number instead of setting `errno`.
fn check(answer: c_int) -> io::Result<()> {
    if answer == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(answer)) }
}

/// INVARIANT: initialised.
struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the pointer is valid for writing the block that the call initialises.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: the call succeeded, so the block is initialised.
        Ok(Self(unsafe { actions.assume_init() }))
    }

    /// `from` becomes `to` and survives the exec, also where the two are equal.
    fn duplicate(&mut self, from: RawFd, to: RawFd) -> io::Result<()> {
        // SAFETY: initialised by the invariant; descriptors are only numbers here.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&mut self.0, from, to) })
    }

    fn close_from(&mut self, first: RawFd) -> io::Result<()> {
        match close_from_function() {
            // SAFETY: initialised by the invariant, and the function is the C library's own.
            Some(close_from) => check(unsafe { close_from(&mut self.0, first) }),
            None => inheritable(first)?.into_iter().try_for_each(|descriptor| self.close(descriptor)),
        }
    }

    fn close(&mut self, descriptor: RawFd) -> io::Result<()> {
        // SAFETY: initialised by the invariant; closing what is closed already is no error there.
        check(unsafe { libc::posix_spawn_file_actions_addclose(&mut self.0, descriptor) })
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised by the invariant, and not used again.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

type CloseFrom = unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, c_int) -> c_int;

/// `posix_spawn_file_actions_addclosefrom_np`, which glibc has since 2.34.
fn close_from_function() -> Option<CloseFrom> {
    let name = c"posix_spawn_file_actions_addclosefrom_np";
    // SAFETY: the name is a C string, and RTLD_DEFAULT is a handle that is always valid.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: null becomes None; else it is the C library's function of this name, whose signature
    // the manual page gives as the type above.
    unsafe { std::mem::transmute::<*mut libc::c_void, Option<CloseFrom>>(found) }
}

/// The descriptors from `first` up that an exec would hand on.
fn inheritable(first: RawFd) -> io::Result<Vec<RawFd>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // SAFETY: F_GETFD takes no argument and fails on a closed descriptor with -1, all bits set.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if number >= first && flags & libc::FD_CLOEXEC == 0 {
            found.push(number);
        }
    }
    Ok(found)
}

/// INVARIANT: initialised.
struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the pointer is valid for writing the block that the call initialises.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: the call succeeded, so the block is initialised.
        let mut attributes = Self(unsafe { attributes.assume_init() });
        // SAFETY: the block is initialised, and so is the set.
        check(unsafe { libc::posix_spawnattr_setsigmask(&mut attributes.0, &signals::set_of(&[])) })?;
        // Rust ignores SIGPIPE, and an ignored SIGCHLD would hide how children of the child end.
        let default = signals::set_of(&[libc::SIGPIPE, libc::SIGCHLD]);
        // SAFETY: the block is initialised, and so is the set.
        check(unsafe { libc::posix_spawnattr_setsigdefault(&mut attributes.0, &default) })?;
        let flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        let flags = flags.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the block is initialised, and the flags are those whose sets were given above.
        check(unsafe { libc::posix_spawnattr_setflags(&mut attributes.0, flags) })?;
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised by the invariant, and not used again.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_descriptors_that_survive_an_exec_are_found() {
        let closing = fs::File::open("/dev/null").unwrap();
        let staying = closing.try_clone().unwrap();
        rustix::io::fcntl_setfd(&staying, rustix::io::FdFlags::empty()).unwrap();
        let found = inheritable(3).unwrap();
        assert!(found.contains(&staying.as_raw_fd()));
        assert!(!found.contains(&closing.as_raw_fd()));
    }
}
