//! The messages of a queue, as an iterator.

use super::{error::RecvError, handle::Queue};
use crate::{
    error::{Error, Result},
    message::Message,
};

impl<T: Message> Queue<T> {
    /// A consuming iterator that waits for messages, until the queue is closed and drained.
    pub fn iter(&self) -> Messages<'_, T> {
        Messages { queue: self }
    }
}

/// The messages of a [`Queue`], taken one by one until it is closed and drained.
#[derive(Debug)]
pub struct Messages<'a, T> {
    queue: &'a Queue<T>,
}

impl<T: Message> Iterator for Messages<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.queue.recv() {
            Err(RecvError::Closed) => None,
            other => Some(other.map_err(Error::from)),
        }
    }
}

impl<'a, T: Message> IntoIterator for &'a Queue<T> {
    type Item = Result<T>;
    type IntoIter = Messages<'a, T>;

    fn into_iter(self) -> Messages<'a, T> {
        self.iter()
    }
}
