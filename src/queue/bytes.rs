//! Messages that are bytes, without serde.

use std::time::Duration;

use super::{
    error::{
        End, Fault, RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
    },
    handle::Queue,
};
use crate::deadline::Deadline;

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
        self.core.send(bytes, Deadline::NEVER, None).map_err(|fault| SendError::of(fault, End::Closed))
    }

    /// Sends these bytes if there is room now.
    ///
    /// # Errors
    /// [`TrySendError::Full`]; otherwise as [`Queue::send`].
    pub fn try_send_bytes(&self, bytes: &[u8]) -> Result<(), TrySendError> {
        self.core.send(bytes, Deadline::NOW, None).map_err(|fault| TrySendError::of(fault, End::Closed))
    }

    /// Waits for room, but no longer than `timeout`, and sends these bytes.
    ///
    /// # Errors
    /// [`SendTimeoutError::TimedOut`]; otherwise as [`Queue::send`].
    pub fn send_bytes_timeout(&self, bytes: &[u8], timeout: Duration) -> Result<(), SendTimeoutError> {
        let sent = self.core.send(bytes, Deadline::after(timeout), None);
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
        let bytes = self.bytes(Deadline::NEVER).map_err(|fault| RecvError::of(fault, End::Closed))?;
        fit(bytes, buffer).map_err(RecvError::BufferTooSmall)
    }

    /// As [`Queue::recv_bytes`], if a message waits now.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`]; otherwise as [`Queue::recv_bytes`].
    pub fn try_recv_bytes(&self, buffer: &mut [u8]) -> Result<usize, TryRecvError> {
        let bytes = self.bytes(Deadline::NOW).map_err(|fault| TryRecvError::of(fault, End::Closed))?;
        fit(bytes, buffer).map_err(TryRecvError::BufferTooSmall)
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
        let bytes =
            self.bytes(Deadline::after(timeout)).map_err(|fault| RecvTimeoutError::of(fault, End::Closed))?;
        fit(bytes, buffer).map_err(RecvTimeoutError::BufferTooSmall)
    }

    fn bytes(&self, deadline: Deadline) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        self.core.receive(&mut bytes, deadline, None)?;
        Ok(bytes)
    }
}

/// Copies a message into a buffer that it fits into; the message if it does not.
pub(crate) fn fit(message: Vec<u8>, buffer: &mut [u8]) -> Result<usize, Vec<u8>> {
    match buffer.get_mut(..message.len()) {
        Some(start) => {
            start.copy_from_slice(&message);
            Ok(message.len())
        }
        None => Err(message),
    }
}
