//! Named files that are born complete.
//!
//! | C | page |
//! |---|---|
//! | `int open(const char *path, int flags, mode_t mode)` with `O_TMPFILE` | <https://man7.org/linux/man-pages/man2/open.2.html> |
//! | `int linkat(int from, const char *, int to, const char *, int flags)` | <https://man7.org/linux/man-pages/man2/link.2.html> |
//! | `int renameat2(int, const char *, int, const char *, unsigned flags)` | <https://man7.org/linux/man-pages/man2/rename.2.html> |
//! | `int fallocate(int fd, int mode, off_t offset, off_t len)` | <https://man7.org/linux/man-pages/man2/fallocate.2.html> |

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, Stat},
    io::{Errno, retry_on_intr},
};

/// Which file that is, on this boot: no two live files share both numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Inode {
    pub(crate) device: u64,
    pub(crate) number: u64,
}

/// What the kernel says about a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) inode: Inode,
    pub(crate) is_regular: bool,
    pub(crate) owner: u32,
    pub(crate) links: u64,
    pub(crate) size: u64,
}

impl From<Stat> for Facts {
    #[allow(clippy::useless_conversion)] // the kernel's type of `st_nlink` differs from machine to machine
    fn from(stat: Stat) -> Self {
        Self {
            inode: Inode { device: stat.st_dev, number: stat.st_ino },
            is_regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
            owner: stat.st_uid,
            links: stat.st_nlink.into(),
            size: stat.st_size.try_into().unwrap_or(0),
        }
    }
}

/// A new file without a name in the directory; `Unsupported` where the file system has none.
///
/// It counts as refused too where `/proc` cannot name the descriptor, since [`link`] needs that.
pub(crate) fn open_unnamed(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = match retry_on_intr(|| rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)) {
        // EISDIR: a kernel that does not know the flag.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => return Err(io::ErrorKind::Unsupported.into()),
        other => other?,
    };
    match facts_of_path(Path::new(&magic_link(file.as_fd())), Follow::Yes) {
        Ok(facts) if facts.inode == facts_of(file.as_fd())?.inode => Ok(file),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// A new file of this name; `AlreadyExists` if there is one.
pub(crate) fn open_new(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR))?)
}

/// For what a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Use,
    Look,
}

/// An existing file, no symbolic link, without ever waiting for a fifo's other end.
pub(crate) fn open_existing(path: &Path, access: Access) -> io::Result<OwnedFd> {
    let access = match access {
        Access::Use => OFlags::RDWR,
        Access::Look => OFlags::RDONLY,
    };
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?)
}

/// What stands at the path when [`open_existing`] refuses with this error; `None` for other errors.
pub(crate) fn kind_of_refused(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::LOOP => Some("symbolic link"),
        Errno::ISDIR => Some("directory"),
        Errno::NXIO | Errno::NODEV => Some("socket or device"),
        _ => None,
    }
}

/// Gives the file these permissions, whatever the umask.
pub(crate) fn set_mode(file: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    Ok(retry_on_intr(|| rustix::fs::fchmod(file, Mode::from_raw_mode(mode)))?)
}

/// Makes the file at least `end` bytes long, with real memory or disk behind every byte from `start`.
pub(crate) fn reserve(file: BorrowedFd<'_>, start: u64, end: u64) -> io::Result<()> {
    const STEP: u64 = 64 << 20; // short enough that a signal does not make the kernel begin anew
    let mut at = start;
    while at < end {
        let len = STEP.min(end - at);
        match retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), at, len)) {
            Err(Errno::OPNOTSUPP) => write_zeros(file, at, len)?,
            other => other?,
        }
        at += len;
    }
    Ok(())
}

/// Makes the file so long, without memory behind what is new.
pub(crate) fn set_len(file: BorrowedFd<'_>, len: u64) -> io::Result<()> {
    Ok(retry_on_intr(|| rustix::fs::ftruncate(file, len))?)
}

/// Gives the memory or disk behind a range back; it reads as zeroes.
pub(crate) fn punch(file: BorrowedFd<'_>, at: u64, len: u64) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(retry_on_intr(|| rustix::fs::fallocate(file, flags, at, len))?)
}

/// Whether the file has data from `at` on, so many bytes without a hole.
pub(crate) fn is_written(file: BorrowedFd<'_>, at: u64, len: u64) -> bool {
    let hole = |at| rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(at));
    len == 0 || hole(at).is_ok_and(|hole| hole >= at.saturating_add(len))
}

/// What posix_fallocate(3) does where the file system has no `fallocate`.
fn write_zeros(file: BorrowedFd<'_>, at: u64, len: u64) -> io::Result<()> {
    static ZEROS: [u8; 65536] = [0; 65536];
    let mut done = 0;
    while done < len {
        let step = usize::try_from(len - done).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
        write_exact(file, at + done, &ZEROS[..step])?;
        done += step as u64;
    }
    Ok(())
}

/// Gives a file of [`open_unnamed`] its name; `AlreadyExists` if something has it.
pub(crate) fn link(file: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let from = magic_link(file);
    Ok(retry_on_intr(|| rustix::fs::linkat(CWD, &from, CWD, path, AtFlags::SYMLINK_FOLLOW))?)
}

/// Gives a file of [`open_new`] another name; `AlreadyExists` if something has it.
pub(crate) fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    Ok(retry_on_intr(|| rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE))?)
}

/// Takes a name away.
pub(crate) fn unlink(path: &Path) -> io::Result<()> {
    Ok(retry_on_intr(|| rustix::fs::unlink(path))?)
}

/// What is known of an open file.
pub(crate) fn facts_of(file: BorrowedFd<'_>) -> io::Result<Facts> {
    Ok(retry_on_intr(|| rustix::fs::fstat(file))?.into())
}

/// Whether a last symbolic link is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    Yes,
    No,
}

/// What is known of what a name leads to.
pub(crate) fn facts_of_path(path: &Path, follow: Follow) -> io::Result<Facts> {
    let stat = retry_on_intr(|| match follow {
        Follow::Yes => rustix::fs::stat(path),
        Follow::No => rustix::fs::lstat(path),
    });
    Ok(stat?.into())
}

/// Bytes that are still free in the file system of `file`; `None` if it has no limit.
pub(crate) fn free_bytes(file: BorrowedFd<'_>) -> io::Result<Option<u64>> {
    let facts = retry_on_intr(|| rustix::fs::fstatfs(file))?;
    // tmpfs without a size reports no blocks at all.
    let block = u64::try_from(facts.f_bsize).unwrap_or(0);
    Ok((facts.f_blocks != 0).then(|| facts.f_bavail.saturating_mul(block)))
}

/// Whether the file takes memory and not disk.
pub(crate) fn lives_in_memory(file: BorrowedFd<'_>) -> io::Result<bool> {
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    const RAMFS_MAGIC: i64 = 0x8584_58f6;
    let facts = retry_on_intr(|| rustix::fs::fstatfs(file))?;
    Ok(matches!(facts.f_type, TMPFS_MAGIC | RAMFS_MAGIC))
}

/// Bytes `at..at + into.len()` of the file, exactly.
pub(crate) fn read_exact(file: BorrowedFd<'_>, at: u64, into: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < into.len() {
        let rest = &mut into[done..];
        match retry_on_intr(|| rustix::io::pread(file, &mut *rest, at + done as u64))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => done += n,
        }
    }
    Ok(())
}

/// Writes `bytes` into the file from `at` on, all of them.
pub(crate) fn write_exact(file: BorrowedFd<'_>, at: u64, bytes: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match retry_on_intr(|| rustix::io::pwrite(file, &bytes[done..], at + done as u64))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => done += n,
        }
    }
    Ok(())
}

/// The user whose files these are.
pub(crate) fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The name under which `/proc` has the descriptor.
pub(crate) fn magic_link(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
