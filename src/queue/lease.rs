//! Messages that are handed out until they are done.

use std::{fmt, marker::PhantomData, ops::Deref};

use super::core::Core;
use crate::{
    error::{Error, ErrorKind, Result},
    message::{self, Message},
    raw::leases::Held,
};

/// A message of a [`Queue`](crate::Queue) that this thread works on.
///
/// When it is [done](Lease::done), the message is gone. When it is dropped before, or its thread or
/// process ends, the message is delivered again, to whoever receives next.
#[must_use = "a lease that is dropped gives its message back"]
pub struct Lease<'a, T> {
    core: &'a Core,
    held: Held,
    value: T,
    open: bool,
    not_send: PhantomData<*const ()>,
}

impl<'a, T: Message> Lease<'a, T> {
    /// A message that cannot be read as a `T` is done: it would fail again and again.
    pub(super) fn of(core: &'a Core, held: Held, bytes: &[u8]) -> Result<Self> {
        match message::decode(bytes) {
            Ok(value) => Ok(Self { core, held, value, open: true, not_send: PhantomData }),
            Err(error) => {
                core.finish_lease(held);
                Err(error)
            }
        }
    }
}

impl<T> Lease<'_, T> {
    /// How often this message was delivered, this time included.
    pub fn attempt(&self) -> u32 {
        self.held.attempts
    }

    /// Says that the message was worked on and must not be delivered again.
    ///
    /// # Errors
    /// [`ErrorKind::Gone`] in a forked child, whose leases are its parent's.
    #[doc(alias = "task_done")]
    pub fn done(mut self) -> Result<()> {
        self.open = false;
        if !self.core.finish_lease(self.held) {
            return Err(Error::new(
                ErrorKind::Gone,
                "this lease belongs to the process that this one was forked from",
            ));
        }
        self.core.head().ring.ring_receivers();
        Ok(())
    }
}

impl<T> Deref for Lease<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Lease<'_, T> {
    fn drop(&mut self) {
        if self.open && self.core.head().leases.give_back(self.held.slot) {
            self.core.returned();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Lease<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("value", &self.value).field("attempt", &self.held.attempts).finish()
    }
}
