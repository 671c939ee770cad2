//! Messages that are bytes, without serde.

use std::time::Duration;

use super::{
    error::{
        End, Fault, RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
    },
    handle::Queue,
};
use crate::{deadline::Deadline, raw::ring::Sink};

impl<T> Queue<T> {
    /// Waits for room and sends these bytes as a message, without serde.
    ///
    /// # Errors
    /// As [`Queue::send`].
    ///
    /// # Examples
    /// ```
    /// let queue = commons::Queue::<()>::bounded(10)?;
    /// queue.send_bytes(b"seven")?;
    /// let mut buffer = [0; 8];
    /// let len = queue.recv_bytes(&mut buffer)?;
    /// assert_eq!(&buffer[..len], b"seven");
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn send_bytes(&self, bytes: &[u8]) -> Result<(), SendError> {
        self.core.send(&bytes, Deadline::NEVER, None).map_err(|fault| SendError::of(fault, End::Closed))
    }

    /// Sends these bytes if there is room now.
    ///
    /// # Errors
    /// [`TrySendError::Full`]; otherwise as [`Queue::send`].
    pub fn try_send_bytes(&self, bytes: &[u8]) -> Result<(), TrySendError> {
        self.core.send(&bytes, Deadline::NOW, None).map_err(|fault| TrySendError::of(fault, End::Closed))
    }

    /// Waits for room, but no longer than `timeout`, and sends these bytes.
    ///
    /// # Errors
    /// [`SendTimeoutError::TimedOut`]; otherwise as [`Queue::send`].
    pub fn send_bytes_timeout(&self, bytes: &[u8], timeout: Duration) -> Result<(), SendTimeoutError> {
        let sent = self.core.send(&bytes, Deadline::after(timeout), None);
        sent.map_err(|fault| SendTimeoutError::of(fault, End::Closed))
    }

    /// Waits for a message and copies its bytes to the start of `buffer`; how many they are.
    ///
    /// # Errors
    /// [`RecvError::BufferTooSmall`] with the whole message, which is taken; [`RecvError::Closed`].
    ///
    /// # Examples
    /// ```
    /// let queue = commons::Queue::<()>::bounded(10)?;
    /// queue.send_bytes(b"seven")?;
    /// let error = queue.recv_bytes(&mut [0; 2]).unwrap_err();
    /// assert_eq!(error.into_message().unwrap(), b"seven");
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn recv_bytes(&self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        let mut fitting = Fitting::new(buffer);
        self.bytes(&mut fitting, Deadline::NEVER).map_err(|fault| RecvError::of(fault, End::Closed))?;
        fitting.finish().map_err(RecvError::BufferTooSmall)
    }

    /// As [`Queue::recv_bytes`], if a message waits now.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`]; otherwise as [`Queue::recv_bytes`].
    pub fn try_recv_bytes(&self, buffer: &mut [u8]) -> Result<usize, TryRecvError> {
        let mut fitting = Fitting::new(buffer);
        self.bytes(&mut fitting, Deadline::NOW).map_err(|fault| TryRecvError::of(fault, End::Closed))?;
        fitting.finish().map_err(TryRecvError::BufferTooSmall)
    }

    /// As [`Queue::recv_bytes`], but waits no longer than `timeout`.
    ///
    /// # Errors
    /// [`RecvTimeoutError::TimedOut`]; otherwise as [`Queue::recv_bytes`].
    pub fn recv_bytes_timeout(
        &self,
        buffer: &mut [u8],
        timeout: Duration,
    ) -> Result<usize, RecvTimeoutError> {
        let mut fitting = Fitting::new(buffer);
        let received = self.bytes(&mut fitting, Deadline::after(timeout));
        received.map_err(|fault| RecvTimeoutError::of(fault, End::Closed))?;
        fitting.finish().map_err(RecvTimeoutError::BufferTooSmall)
    }

    fn bytes(&self, fitting: &mut Fitting<'_>, deadline: Deadline) -> Result<(), Fault> {
        self.core.receive(fitting, deadline, None)
    }
}

/// A message that goes straight into the user's buffer if it fits.
pub(crate) struct Fitting<'a> {
    buffer: &'a mut [u8],
    len: usize,
    /// The message that does not fit.
    larger: Option<Vec<u8>>,
}

impl<'a> Fitting<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0, larger: None }
    }

    /// How long the message was; itself if it does not fit.
    pub(crate) fn finish(self) -> Result<usize, Vec<u8>> {
        self.larger.map_or(Ok(self.len), Err)
    }
}

impl Sink for Fitting<'_> {
    fn room(&mut self, len: usize) -> &mut [u8] {
        (self.len, self.larger) = (len, None);
        match self.buffer.get_mut(..len) {
            Some(start) => start,
            None => self.larger.insert(vec![0; len]),
        }
    }
}
