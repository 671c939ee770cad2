//! Two connected ends, each of which sends and receives.

use std::{fmt, marker::PhantomData, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    deadline::Deadline,
    error::Result,
    message::Message,
    queue::{
        self, Core, End, Fault, Fitting, Plan, RecvError, RecvTimeoutError, SendError, SendTimeoutError,
        Side, TryRecvError, TrySendError,
    },
    segment::{Kind, Segment, Settings},
};

/// Two connected ends: what one sends, the other receives, in order and with its boundaries.
///
/// # Errors
/// [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace).
///
/// # Examples
/// ```
/// let (parent, child) = commons::pipe::<String, usize>()?;
/// parent.send(&"seven".to_string())?;
/// let text = child.recv()?;
/// child.send(&text.len())?;
/// assert_eq!(parent.recv()?, 5);
/// # Ok::<(), commons::Error>(())
/// ```
#[doc(alias("Pipe", "duplex"))]
pub fn pipe<S: Message, R: Message>() -> Result<(Connection<S, R>, Connection<R, S>)> {
    let (there, back) = (one_way::<S>()?, one_way::<R>()?);
    let near = Connection::of(there.another(), back.another());
    let far = Connection::of(back, there);
    Ok((near, far))
}

fn one_way<T>() -> Result<Core> {
    plan::<T>().create(None, &Settings::default()).and_then(Core::of)
}

fn plan<T>() -> Plan {
    Plan::of::<T>(Kind::Pipe)
}

const END: End = End::Disconnected;

/// An end of a [`pipe`] that sends `S` and receives `R`.
///
/// It can be sent to another process. When the last handle of the other end is gone, or its processes
/// are dead, `recv` returns what waits and then [`RecvError::Disconnected`].
pub struct Connection<S, R> {
    outgoing: Core,
    incoming: Core,
    sends: PhantomData<fn(S)>,
    receives: PhantomData<fn() -> R>,
}

impl<S, R> Connection<S, R> {
    /// A counted end.
    fn of(outgoing: Core, incoming: Core) -> Self {
        outgoing.enter(Side::Senders);
        incoming.enter(Side::Receivers);
        Self { outgoing, incoming, sends: PhantomData, receives: PhantomData }
    }

    /// Whether a receive would not wait: a message is there, or the other end is gone.
    pub fn poll(&self) -> bool {
        self.incoming.is_ready()
    }

    /// As [`Connection::poll`], after a wait of at most `timeout`.
    pub fn poll_timeout(&self, timeout: Duration) -> bool {
        self.incoming.wait_until_ready(Deadline::after(timeout), Some(Side::Senders))
    }

    /// Waits for room and sends these bytes as a message, without serde.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn send_bytes(&self, bytes: &[u8]) -> Result<(), SendError> {
        let sent = self.outgoing.send(&bytes, Deadline::NEVER, Some(Side::Receivers));
        sent.map_err(|fault| SendError::of(fault, END))
    }

    /// Waits for a message and copies its bytes to the start of `buffer`; how many they are.
    ///
    /// # Errors
    /// [`RecvError::BufferTooSmall`] with the whole message, after which the connection goes on;
    /// otherwise as [`Connection::recv`].
    ///
    /// # Examples
    /// ```
    /// let (a, b) = commons::pipe::<(), ()>()?;
    /// a.send_bytes(b"")?;
    /// a.send_bytes(b"seven")?;
    /// let mut buffer = [0; 8];
    /// assert_eq!(b.recv_bytes(&mut buffer)?, 0);
    /// assert_eq!(b.recv_bytes(&mut buffer)?, 5);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn recv_bytes(&self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        let mut fitting = Fitting::new(buffer);
        let received = self.incoming.receive(&mut fitting, Deadline::NEVER, Some(Side::Senders));
        received.map_err(|fault| RecvError::of(fault, END))?;
        fitting.finish().map_err(RecvError::BufferTooSmall)
    }

    pub(crate) fn core(&self) -> &Core {
        &self.incoming
    }
}

impl<S: Message, R: Message> Connection<S, R> {
    /// Waits for room and sends.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if nobody has the other end; [`SendError::Failed`] if the value
    /// cannot be written as a message.
    ///
    /// # Examples
    /// See [`pipe`].
    pub fn send(&self, value: &S) -> Result<(), SendError> {
        self.send_value(value, Deadline::NEVER).map_err(|fault| SendError::of(fault, END))
    }

    /// Sends if there is room now.
    ///
    /// # Errors
    /// [`TrySendError::Full`]; otherwise as [`Connection::send`].
    pub fn try_send(&self, value: &S) -> Result<(), TrySendError> {
        self.send_value(value, Deadline::NOW).map_err(|fault| TrySendError::of(fault, END))
    }

    /// Waits for room, but no longer than `timeout`, and sends.
    ///
    /// # Errors
    /// [`SendTimeoutError::TimedOut`]; otherwise as [`Connection::send`].
    pub fn send_timeout(&self, value: &S, timeout: Duration) -> Result<(), SendTimeoutError> {
        let sent = self.send_value(value, Deadline::after(timeout));
        sent.map_err(|fault| SendTimeoutError::of(fault, END))
    }

    fn send_value(&self, value: &S, deadline: Deadline) -> Result<(), Fault> {
        queue::send_encoded(&self.outgoing, value, deadline, Some(Side::Receivers))
    }

    /// Waits for a message and takes it.
    ///
    /// # Errors
    /// [`RecvError::Disconnected`] if none waits and nobody has the other end; [`RecvError::Failed`] if
    /// the message is no `R`.
    ///
    /// # Examples
    /// See [`pipe`].
    pub fn recv(&self) -> Result<R, RecvError> {
        self.recv_value(Deadline::NEVER, RecvError::of)
    }

    /// Takes a message if one waits now.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`]; otherwise as [`Connection::recv`].
    pub fn try_recv(&self) -> Result<R, TryRecvError> {
        self.recv_value(Deadline::NOW, TryRecvError::of)
    }

    /// Waits for a message, but no longer than `timeout`, and takes it.
    ///
    /// # Errors
    /// [`RecvTimeoutError::TimedOut`]; otherwise as [`Connection::recv`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<R, RecvTimeoutError> {
        self.recv_value(Deadline::after(timeout), RecvTimeoutError::of)
    }

    #[inline]
    fn recv_value<E>(&self, deadline: Deadline, refuse: fn(Fault, End) -> E) -> Result<R, E> {
        queue::recv_decoded(&self.incoming, deadline, Some(Side::Senders), |fault| refuse(fault, END))
    }
}

impl<S, R> Clone for Connection<S, R> {
    fn clone(&self) -> Self {
        Self::of(self.outgoing.another(), self.incoming.another())
    }
}

impl<S, R> Drop for Connection<S, R> {
    fn drop(&mut self) {
        self.outgoing.leave(Side::Senders);
        self.incoming.leave(Side::Receivers);
    }
}

impl<S, R> fmt::Debug for Connection<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("outgoing", &self.outgoing)
            .field("incoming", &self.incoming)
            .finish()
    }
}

impl<S, R> Serialize for Connection<S, R> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        (self.outgoing.segment(), self.incoming.segment()).serialize(serializer)
    }
}

impl<'de, S, R> Deserialize<'de> for Connection<S, R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (outgoing, incoming) = <(Way<S, true>, Way<R, false>)>::deserialize(deserializer)?;
        let connection = Self::of(outgoing.core.another(), incoming.core.another());
        Ok(connection)
    }
}

/// One direction on its way into a connection, counted from before its message counts as received.
struct Way<T, const SENDS: bool> {
    core: Core,
    message: PhantomData<fn() -> T>,
}

impl<T, const SENDS: bool> Way<T, SENDS> {
    const SIDE: Side = if SENDS { Side::Senders } else { Side::Receivers };
}

impl<'de, T, const SENDS: bool> Deserialize<'de> for Way<T, SENDS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Segment::deserialize_then(deserializer, &plan::<T>().expected(), |segment| {
            let core = Core::of(segment)?;
            core.enter(Self::SIDE);
            Ok(Self { core, message: PhantomData })
        })
    }
}

impl<T, const SENDS: bool> Drop for Way<T, SENDS> {
    fn drop(&mut self) {
        self.core.leave(Self::SIDE);
    }
}
