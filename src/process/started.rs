//! A process that was started, as its handle and its reaper share it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        OnceLock,
        atomic::{
            AtomicU32,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};

use crate::{
    deadline::Deadline,
    process::{
        call::{Call, ENDED, READY, STARTED},
        exit::{self, Exit},
        outcome::Kind,
    },
    segment,
    sys::{
        events::Bell,
        fork, futex,
        pidfd::{self, Status},
    },
};

/// A sleeper looks again after this time, in case a dying worker scribbled over the state word.
const SLICE: Duration = Duration::from_millis(100);

pub(super) struct Started {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) call: Call,
    descriptor: Descriptor,
    /// Set once by the reaper, before it sets ENDED.
    end: OnceLock<End>,
    /// The process that it is a child of.
    parent: u64,
}

enum Descriptor {
    Process(OwnedFd),
    /// Of one that was collected elsewhere before it could be opened: readable, as the descriptor of
    /// any process that has ended.
    Lost(Bell),
}

/// How it ended, or why that cannot be known.
pub(super) type End = Result<Exit, String>;

impl Started {
    pub(super) fn new(id: u32, name: String, pidfd: OwnedFd, call: Call) -> Self {
        let descriptor = Descriptor::Process(pidfd);
        Self { id, name, call, descriptor, end: OnceLock::new(), parent: fork::mark() }
    }

    /// One that is gone already, and nobody knows how it ended.
    pub(super) fn lost(id: u32, name: String, call: Call) -> io::Result<Self> {
        let descriptor = Descriptor::Lost(segment::with_descriptors(Bell::ringing)?);
        let end = Err("it was collected elsewhere at once".to_owned() + WHY_ELSEWHERE);
        call.settle();
        call.state().fetch_or(ENDED, Release);
        Ok(Self { id, name, call, descriptor, end: end.into(), parent: fork::mark() })
    }

    /// The descriptor of the process, if it could be had.
    pub(super) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        match &self.descriptor {
            Descriptor::Process(pidfd) => Some(pidfd.as_fd()),
            Descriptor::Lost(_) => None,
        }
    }

    /// Collects it if it has ended, and tells who waits. False: it has not ended.
    pub(super) fn reap(&self) -> bool {
        let Some(pidfd) = self.pidfd() else { return true };
        let end = match pidfd::reap(pidfd) {
            Ok(None) => return false,
            Ok(Some(status)) => Ok(self.exit_of(status)),
            Err(error) => Err(format!("its status was collected elsewhere ({error}){WHY_ELSEWHERE}")),
        };
        if !matches!(end, Ok(Exit::Code(0))) {
            // A process that was killed leaves its names.
            let _ = segment::sweep();
        }
        // Whoever hears of its end finds all that gone.
        self.call.settle();
        let _ = self.end.set(end);
        self.call.state().fetch_or(ENDED, Release);
        futex::wake(self.call.state(), futex::ALL);
        true
    }

    fn exit_of(&self, status: Status) -> Exit {
        let panicked = self.call.kind() == Some(Kind::Panicked);
        match status {
            Status::Code(exit::PANICKED) | Status::Signal(6) if panicked => Exit::Panicked,
            Status::Code(code) => Exit::Code(code),
            Status::Signal(signal) => Exit::Signal(signal),
        }
    }

    /// How it ended, once it has.
    pub(super) fn end(&self) -> Option<&End> {
        self.end.get()
    }

    /// The word that changes when it ends, and how it is now.
    pub(super) fn state(&self) -> (&AtomicU32, u32) {
        let state = self.call.state();
        (state, state.load(Acquire))
    }

    /// Whether it came as far as `commons::init()`.
    pub(super) fn took_over(&self) -> bool {
        self.call.state().load(Acquire) & STARTED != 0
    }

    /// Sleeps until it has ended; `None` if the deadline passes first.
    pub(super) fn wait_for_end(&self, deadline: Deadline) -> Option<&End> {
        self.sleep_until(deadline, || self.end())
    }

    /// Sleeps until its outcome is there, it has ended, or the deadline passes.
    pub(super) fn wait_for_outcome(&self, deadline: Deadline) {
        let ready = || self.call.state().load(Acquire) & READY != 0;
        self.sleep_until(deadline, || (ready() || self.end().is_some()).then_some(()));
    }

    fn sleep_until<T>(&self, deadline: Deadline, look: impl Fn() -> Option<T>) -> Option<T> {
        let state = self.call.state();
        loop {
            // What changes after this load changes the word, and then the kernel does not sleep.
            let seen = state.load(Acquire);
            if let Some(found) = look() {
                return Some(found);
            }
            if deadline.has_passed() {
                return None;
            }
            futex::wait(state, seen, deadline.within(SLICE));
        }
    }

    /// Whether the calling process is its parent, and not one that was forked from it.
    pub(super) fn is_ours(&self) -> bool {
        self.parent == fork::mark()
    }

    /// Sends a signal by `send`; that it has ended already is fine.
    pub(super) fn signal(&self, send: impl Fn(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<()> {
        let Some(pidfd) = self.pidfd() else { return Ok(()) };
        match send(pidfd) {
            Err(error) if pidfd::is_gone(&error) => Ok(()),
            other => other,
        }
    }
}

impl AsFd for Started {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.descriptor {
            Descriptor::Process(pidfd) => pidfd.as_fd(),
            Descriptor::Lost(bell) => bell.as_fd(),
        }
    }
}

const WHY_ELSEWHERE: &str =
    "; is SIGCHLD ignored, or does something else in this program wait for all children?";
