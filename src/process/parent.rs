//! The parent of a worker, seen from the worker.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::OnceLock,
    thread,
    time::Duration,
};

use crate::{
    deadline::Deadline,
    sys::{fork, pidfd},
};

/// The process that started this worker, from [`parent`].
///
/// It is that very process: one that got the same number later is never taken for it.
///
/// # Examples
/// ```
/// commons::init_in_tests!();
/// use std::time::Duration;
///
/// # fn main() -> commons::Result<()> {
/// let worker = commons::spawn((), |()| {
///     let parent = commons::parent().expect("this is a worker");
///     assert!(parent.is_alive() && !parent.wait_timeout(Duration::ZERO));
///     parent.id()
/// });
/// assert_eq!(worker?.join()?, std::process::id());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Parent {
    id: u32,
    process: &'static OwnedFd,
}

/// The process that started this one with [`spawn`](crate::spawn); `None` if this is no worker.
///
/// A process is a worker from [`commons::init()`](crate::init()) on. One that was forked from a
/// worker is none.
///
/// # Examples
/// ```
/// commons::init_in_tests!();
///
/// # fn main() -> commons::Result<()> {
/// assert!(commons::parent().is_none());
/// let worker = commons::spawn((), |()| commons::parent().map(|parent| parent.id()))?;
/// assert_eq!(worker.join()?, Some(std::process::id()));
/// # Ok(()) }
/// ```
#[doc(alias = "parent_process")]
pub fn parent() -> Option<Parent> {
    let met = MET.get().filter(|met| met.worker == fork::mark())?;
    Some(met.parent.clone())
}

static MET: OnceLock<Met> = OnceLock::new();

struct Met {
    /// The process whose parent it is.
    worker: u64,
    parent: Parent,
}

/// Keeps the process with this number as the parent of this worker. That it is so is for the caller
/// to check, after this.
pub(super) fn meet(id: u32) -> io::Result<&'static Parent> {
    // Never closed: there is one for the life of a worker.
    let process = Box::leak(Box::new(pidfd::open(id)?));
    let parent = Parent { id, process };
    Ok(&MET.get_or_init(|| Met { worker: fork::mark(), parent }).parent)
}

impl Parent {
    /// The parent's id (pid).
    ///
    /// # Examples
    /// See [`Parent`].
    #[doc(alias = "pid")]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether the parent has not ended. A worker ends soon after its parent.
    ///
    /// # Examples
    /// See [`Parent`].
    pub fn is_alive(&self) -> bool {
        !self.wait_until(Deadline::NOW)
    }

    /// Waits until the parent ends, at most for `timeout`; true if it has ended.
    ///
    /// # Examples
    /// See [`Parent`].
    #[doc(alias = "join")]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(Deadline::after(timeout))
    }

    pub(super) fn wait_until(&self, deadline: Deadline) -> bool {
        loop {
            match pidfd::wait_for_end(self.process.as_fd(), deadline) {
                Ok(ended) => return ended,
                Err(_) if deadline.has_passed() => return false,
                // Out of memory, at worst; look again soon.
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}
