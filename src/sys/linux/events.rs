//! Sleep until one of many descriptors is readable, or until a bell is rung.
//!
//! `int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)`,
//! <https://man7.org/linux/man-pages/man2/epoll_wait.2.html>, and
//! `int eventfd(unsigned int initval, int flags)`,
//! <https://man7.org/linux/man-pages/man2/eventfd.2.html>.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    buffer::spare_capacity,
    event::{
        EventfdFlags,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
        eventfd,
    },
    io::retry_on_intr,
};

/// A set of descriptors, each with a number, that can be waited for.
pub(crate) struct Events {
    epoll: OwnedFd,
}

impl Events {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// From now on `number` is told while `source` is readable.
    pub(crate) fn add(&self, source: impl AsFd, number: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(number), EventFlags::IN)?)
    }

    /// Forgets `source`. Closing it is not enough: a forked copy keeps its events alive.
    pub(crate) fn remove(&self, source: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, source)?)
    }

    /// Sleeps until there is something; the numbers of what is readable.
    pub(crate) fn wait(&self) -> io::Result<impl Iterator<Item = u64> + use<>> {
        let mut found: Vec<Event> = Vec::with_capacity(64);
        retry_on_intr(|| epoll::wait(&self.epoll, spare_capacity(&mut found), None))?;
        Ok(found.into_iter().map(|event| { event.data }.u64()))
    }
}

/// A descriptor that is readable from a ring until it is quieted.
pub(crate) struct Bell(OwnedFd);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// One that rings from the beginning.
    pub(crate) fn ringing() -> io::Result<Self> {
        Ok(Self(eventfd(1, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Whether it rang.
    pub(crate) fn quiet(&self) -> bool {
        // The only error is that it is quiet.
        retry_on_intr(|| rustix::io::read(&self.0, &mut [0u8; 8])).is_ok()
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
