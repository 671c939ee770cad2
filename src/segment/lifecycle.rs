//! Who may use a file, and who removes its name.
//!
//! Processes come and go at any instruction, and no counter in memory survives that. So the kernel
//! counts: everyone who uses a file shares its byte `IN_USE` through an open file description, and
//! the description ends with its holder. Four rules follow, and each shortcut was seen to lose or to
//! destroy objects under load.
//!
//! **Create** takes `IN_USE` and a slot *before* the file gets its name. Else an opener finds a file
//! that nobody uses, takes it for a leftover and removes it under the creator.
//!
//! **Open** ([`Hold::take`]) tries `IN_USE` *alone*. If it gets it, nobody uses the file: a leftover
//! of killed processes, which it removes. If not, it shares `IN_USE`; the holder may have been
//! somebody who removes a leftover just now, and then sharing fails too: open again. After that it
//! looks *once more* whether the name still leads to this file, for the last user may have removed
//! it between our opening and our lock. Without this look one uses a file that nobody will find.
//!
//! **Leave** ([`Hold::leave`]) *unlocks* and then tries to have `IN_USE` alone. Turning the shared
//! lock into one alone is not the same: two that leave together would each see the other's, and the
//! file would stay. Whoever gets it removes the name.
//!
//! **Removing** ([`remove_name`]) holds `NAME` while it looks whether the name leads to this file and
//! unlinks. A creator never replaces a file, so a name that leads to a file whose `NAME` we hold
//! can be taken away by nobody else: the unlink takes this file and not its successor. Somebody
//! who wants the name gone although the object is in use (`commons rm`) obeys this rule alone.
//!
//! An open that fails half-way leaves as everyone does: while it held `IN_USE`, the last user may have
//! left and gone without removing the name.
//!
//! **Fork** shares descriptions: a child that unlocks, unlocks for its parent. Every hold carries the
//! mark of the process that made it, and in another process it neither unlocks nor unlinks.

use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::*},
    time::Duration,
};

use super::locks;
use crate::{
    deadline::Deadline,
    error::{Error, Result},
    sys::{
        descriptor,
        filelock::{self, Others},
        fork,
        shm::{self, Follow, Inode},
    },
};

/// A file that this process uses: it shares `IN_USE` until it leaves.
#[derive(Debug)]
pub(crate) struct Hold {
    file: OwnedFd,
    inode: Inode,
    /// Where the name is that goes with the last user; `None` for anonymous files.
    path: Option<PathBuf>,
    persist: bool,
    /// The process whose lock it is. INVARIANT: 0, or the mark of a process that took the lock.
    mark: AtomicU64,
    left: AtomicBool,
}

/// What came of the attempt to use a file.
#[derive(Debug)]
pub(crate) enum Taken {
    Held(Hold),
    /// Nobody used it, so it is no object any more. Its name is gone.
    Leftover,
    /// Somebody is about to remove it, or it lost its name: open again.
    Again,
}

impl Hold {
    /// Shares `IN_USE` of a file that nobody else can know yet.
    pub(crate) fn of_new(file: OwnedFd, path: Option<PathBuf>, persist: bool) -> io::Result<Self> {
        let inode = shm::facts_of(file.as_fd())?.inode;
        if !filelock::try_shared(file.as_fd(), locks::IN_USE)? {
            return Err(io::ErrorKind::ResourceBusy.into()); // a sweeper saw a hidden name first
        }
        Ok(Self::held(file, inode, path, persist))
    }

    /// Shares `IN_USE` of a file that was found at `path`, or handed over if that is `None`.
    ///
    /// If nobody uses a file that persists, `while_alone` runs before anybody else can.
    pub(crate) fn take(
        file: OwnedFd,
        inode: Inode,
        path: Option<&Path>,
        persist: bool,
        while_alone: impl FnOnce(BorrowedFd<'_>) -> Result<()>,
    ) -> Result<Taken> {
        let os = |error| Error::os("cannot lock a byte of a segment file", error);
        if filelock::try_exclusive(file.as_fd(), locks::IN_USE).map_err(os)? {
            if !persist {
                let removal =
                    path.map_or(Ok(Removal::Removed), |path| remove_name(file.as_fd(), path, inode));
                return Ok(match removal {
                    Ok(Removal::Busy | Removal::LeadsElsewhere) => Taken::Again,
                    // Not allowed to remove it: it is no object all the same.
                    Ok(Removal::Removed) | Err(_) => Taken::Leftover,
                });
            }
            while_alone(file.as_fd())?;
        }
        // From alone to shared the kernel goes in one step; from nothing it may say no.
        if !filelock::try_shared(file.as_fd(), locks::IN_USE).map_err(os)? {
            return Ok(Taken::Again);
        }
        let hold = Self::held(file, inode, path.map(ToOwned::to_owned), persist);
        match path.map_or(Ok(true), |path| leads_to(path, inode)) {
            Ok(true) => Ok(Taken::Held(hold)),
            Ok(false) => Ok(Taken::Again),
            Err(error) => Err(Error::os("cannot look at the name of a segment again", error)),
        }
    }

    fn held(file: OwnedFd, inode: Inode, path: Option<PathBuf>, persist: bool) -> Self {
        Self { file, inode, path, persist, mark: AtomicU64::new(fork::mark()), left: AtomicBool::new(false) }
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(crate) fn inode(&self) -> Inode {
        self.inode
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether this very process took the lock and has not given it back.
    pub(crate) fn is_ours(&self) -> bool {
        self.mark.load(Acquire) == fork::mark() && !self.left.load(Acquire)
    }

    /// Takes the place of a parent's hold after a fork: the same number leads to `own`, which is locked.
    pub(crate) fn adopt(&self, own: &OwnedFd) -> io::Result<()> {
        descriptor::replace(self.file(), own)?;
        self.mark.store(fork::mark(), Release);
        Ok(())
    }

    /// Stops using the file; the last one takes the name away. Nothing in a forked child.
    pub(crate) fn leave(&self) {
        if !self.is_ours() || self.left.swap(true, AcqRel) {
            return;
        }
        // An error here could only be an invalid descriptor, and then the kernel has let go already.
        let _ = filelock::unlock(self.file(), locks::IN_USE);
        let Some(path) = self.path().filter(|_| !self.persist) else { return };
        if let Ok(true) = filelock::try_exclusive(self.file(), locks::IN_USE) {
            remove_patiently(self.file(), path, self.inode);
            let _ = filelock::unlock(self.file(), locks::IN_USE);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What became of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    Removed,
    /// It leads to another file or to none.
    LeadsElsewhere,
    /// Somebody else removes it just now.
    Busy,
}

/// Takes the name `path` away if it leads to `file`. Every unlink of a published name is here.
pub(crate) fn remove_name(file: BorrowedFd<'_>, path: &Path, inode: Inode) -> io::Result<Removal> {
    if !filelock::try_exclusive(file, locks::NAME)? {
        return Ok(Removal::Busy);
    }
    let removal = match leads_to(path, inode) {
        Ok(true) => shm::unlink(path).map(|()| Removal::Removed),
        Ok(false) => Ok(Removal::LeadsElsewhere),
        Err(error) => Err(error),
    };
    let _ = filelock::unlock(file, locks::NAME);
    removal
}

/// [`remove_name`], waiting a moment for somebody who does it already.
fn remove_patiently(file: BorrowedFd<'_>, path: &Path, inode: Inode) {
    let mut patience = Patience::new(Duration::from_millis(200));
    // If it fails for good the name stays as a leftover, which the next open, create or sweep removes.
    while let Ok(Removal::Busy) = remove_name(file, path, inode) {
        if !patience.wait() {
            return;
        }
    }
}

/// What came of the attempt to clear a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaped {
    /// Nobody used the file; its name is gone.
    Removed,
    /// Somebody uses it, or it persists.
    InUse,
    /// Somebody is about to remove it, or the name leads to another file by now: look again.
    Again,
}

/// Removes the file at `path` if nobody uses it.
pub(crate) fn reap(file: BorrowedFd<'_>, path: &Path, inode: Inode, persist: bool) -> io::Result<Reaped> {
    if persist {
        return Ok(Reaped::InUse);
    }
    if !filelock::try_exclusive(file, locks::IN_USE)? {
        let others = filelock::probe(file, locks::IN_USE)?;
        return Ok(if others == Others::Share { Reaped::InUse } else { Reaped::Again });
    }
    let removal = remove_name(file, path, inode);
    let _ = filelock::unlock(file, locks::IN_USE);
    Ok(if removal? == Removal::Removed { Reaped::Removed } else { Reaped::Again })
}

/// Whether the name leads to this file and to no other.
pub(crate) fn leads_to(path: &Path, inode: Inode) -> io::Result<bool> {
    match shm::facts_of_path(path, Follow::No) {
        Ok(facts) => Ok(facts.inode == inode),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// How long one keeps looking again while others come and go.
pub(crate) struct Patience {
    deadline: Deadline,
    pause: Duration,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { deadline: Deadline::after(limit), pause: Duration::from_micros(20) }
    }

    /// Waits a little, longer each time; false when the time is over.
    pub(crate) fn wait(&mut self) -> bool {
        if self.deadline.has_passed() {
            return false;
        }
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(Duration::from_millis(5));
        true
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Patience until {:?}", self.deadline)
    }
}
