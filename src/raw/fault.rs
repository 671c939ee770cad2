//! How an acquisition of a lock ends.

use super::held::MAX_HELD;

/// How an acquisition found the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "after the death of an owner the protected value needs a repair"]
pub(crate) enum Acquired {
    /// The last owner released it.
    Released,
    /// The last owner died.
    OwnerDied,
}

/// Why a lock was not acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockFault {
    /// Somebody holds it.
    Held,
    /// Nobody released it in time.
    TimedOut,
    /// The calling thread holds it already.
    OwnLock,
    /// The calling thread holds as many locks as the kernel would walk.
    TooMany,
    /// This process was forked and could not attach to the segment for itself.
    Detached,
}

impl LockFault {
    /// What a call that returns no error says when it panics.
    pub(crate) fn sentence(self) -> String {
        match self {
            Self::Held => "the lock is held by another thread or process".to_owned(),
            Self::TimedOut => "the lock was not released in the time given".to_owned(),
            Self::OwnLock => {
                "this thread holds the lock already and would wait for itself: drop the first guard \
                              before locking again"
                    .to_owned()
            }
            Self::Detached => {
                "this process was forked and could not attach to the shared object for itself (no \
                               descriptor, no free slot, or another pid namespace): open it again by its name"
                    .to_owned()
            }
            Self::TooMany => format!(
                "this thread holds {MAX_HELD} locks in shared memory, as many as the kernel hands on when it dies: \
                 drop some guards first"
            ),
        }
    }
}
