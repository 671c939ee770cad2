//! Many readers or one writer, made of robust cells: one for the writer, one for each of `N` readers.
//!
//! A writer takes the writer's cell, which keeps new readers away, and then waits until no reader's
//! cell is held. A reader takes a reader's cell and then looks whether the writer's is held; if so it
//! steps back and waits. Both taking is a locked instruction, a full barrier, so at least one of two
//! that come together sees the other; if both do, the writer waits and the reader steps back.
//!
//! | who dies | where | what the others see |
//! |---|---|---|
//! | a reader | anywhere | its cell is held by nobody, like one that was released |
//! | a writer | before it has the readers' cells | its cell is marked; the next one is told, needlessly |
//! | a writer | inside | its cell is marked: whoever comes next, reader or writer, takes it once to note in `state` that the value may be half-changed |

use std::time::Duration;

use super::{
    backoff::Backoff,
    mutex::{Acquired, LockFault, RawMutex},
};
use crate::{
    deadline::Deadline,
    primitive::{Ordering::*, fence},
    sys::identity::current_tid,
};

/// All zeroes is a free one.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct RawRwLock<const N: usize> {
    writer: RawMutex,
    readers: [RawMutex; N],
}

impl<const N: usize> RawRwLock<N> {
    pub(crate) const fn new() -> Self {
        Self { writer: RawMutex::new(), readers: [const { RawMutex::new() }; N] }
    }

    /// Waits until nobody writes, and keeps writers away; the index of the reader's cell.
    pub(crate) fn read(&self, deadline: Deadline) -> Result<usize, LockFault> {
        let mut backoff = Backoff::new();
        let mut slice = Duration::ZERO;
        loop {
            match self.try_read() {
                Err(LockFault::Held) => {}
                other => return other,
            }
            if self.readers.iter().any(RawMutex::is_mine) {
                // A writer waits for this thread, which would wait for the writer.
                return Err(LockFault::OwnLock);
            }
            if deadline.has_passed() {
                return Err(LockFault::TimedOut);
            }
            if !backoff.look_again() {
                // The writer's cell, or, if that is free, all readers' cells are held.
                let obstacle = if self.writer.is_locked() { &self.writer } else { &self.readers[0] };
                obstacle.sleep_until_released(&mut slice, deadline);
            }
        }
    }

    /// As [`RawRwLock::read`], without waiting.
    pub(crate) fn try_read(&self) -> Result<usize, LockFault> {
        self.note_dead_writer()?;
        if self.writer.is_locked() {
            return Err(if self.writer.is_mine() { LockFault::OwnLock } else { LockFault::Held });
        }
        let first = current_tid().get() as usize;
        for index in (0..N).map(|step| first.wrapping_add(step) % N) {
            let cell = &self.readers[index];
            if cell.is_locked() {
                continue;
            }
            match cell.try_lock() {
                Ok(_) => {
                    fence(SeqCst);
                    if self.writer.is_free() {
                        return Ok(index);
                    }
                    self.release_reader(index);
                    return Err(LockFault::Held);
                }
                Err(fault @ (LockFault::TooMany | LockFault::Detached)) => return Err(fault),
                Err(_) => {}
            }
        }
        Err(LockFault::Held)
    }

    /// After a writer's death, notes that the value may be half-changed, and frees the writer's cell.
    fn note_dead_writer(&self) -> Result<(), LockFault> {
        if !self.writer.is_abandoned() {
            return Ok(());
        }
        match self.writer.try_lock() {
            Ok(acquired) => {
                self.note(acquired);
                self.release_writer();
                Ok(())
            }
            Err(fault @ (LockFault::TooMany | LockFault::Detached)) => Err(fault),
            // Somebody else does it.
            Err(_) => Ok(()),
        }
    }

    fn note(&self, acquired: Acquired) {
        if acquired == Acquired::OwnerDied {
            self.writer.set_consistent(false);
        }
    }

    /// Waits until nobody reads or writes, and keeps everybody away.
    pub(crate) fn write(&self, deadline: Deadline) -> Result<(), LockFault> {
        if self.readers.iter().any(RawMutex::is_mine) {
            return Err(LockFault::OwnLock);
        }
        let acquired = self.writer.lock_deadline(deadline)?;
        self.note(acquired);
        fence(SeqCst);
        for cell in &self.readers {
            let mut backoff = Backoff::new();
            let mut slice = Duration::ZERO;
            while cell.is_locked() {
                if deadline.has_passed() {
                    self.release_writer();
                    return Err(LockFault::TimedOut);
                }
                if !backoff.look_again() {
                    cell.sleep_until_released(&mut slice, deadline);
                }
            }
        }
        Ok(())
    }

    /// As [`RawRwLock::write`], without waiting.
    pub(crate) fn try_write(&self) -> Result<(), LockFault> {
        let acquired = self.writer.try_lock()?;
        self.note(acquired);
        fence(SeqCst);
        if self.readers.iter().any(RawMutex::is_locked) {
            self.release_writer();
            return Err(LockFault::Held);
        }
        Ok(())
    }

    /// Ends a read. Does nothing in a forked child.
    pub(crate) fn release_reader(&self, index: usize) {
        self.readers[index].unlock_waking(crate::sys::futex::ALL);
    }

    /// Ends a write. Does nothing in a forked child.
    pub(crate) fn release_writer(&self) {
        self.writer.unlock_waking(crate::sys::futex::ALL);
    }

    /// Whether the calling thread writes.
    pub(crate) fn is_writer(&self) -> bool {
        self.writer.is_mine()
    }

    /// Whether the value is whole, as far as anybody knows. For holders.
    pub(crate) fn is_consistent(&self) -> bool {
        self.writer.is_consistent()
    }

    /// For the writer.
    pub(crate) fn set_consistent(&self, consistent: bool) {
        self.writer.set_consistent(consistent);
    }
}
