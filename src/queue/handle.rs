//! `Queue<T>`: typed messages.

use std::{fmt, marker::PhantomData, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    buffers::{Incoming, Outgoing},
    core::Core,
    error::{
        End, Fault, RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
    },
    lease::Lease,
    memory::Plan,
};
use crate::{
    deadline::Deadline,
    error::{Error, ErrorKind, Result},
    message::{self, Message},
    segment::{self, Kind, Options, Segment, SegmentInfo},
};

/// A queue of messages between any number of producers and consumers, in any processes.
///
/// Messages are serde types of any size; handles inside them reach the same
/// objects. A process that is killed at any instruction has sent its message or not, and taken one or
/// not; it never tears one and never blocks the others. Consumers that must not lose a message with a
/// killed worker take a [`lease`](Queue::lease).
///
/// # Examples
/// ```
/// use commons::Queue;
///
/// # fn main() -> commons::Result<()> {
/// let jobs = Queue::<(u32, String)>::bounded(1000)?;
/// jobs.send(&(7, "resize".to_string()))?;
/// jobs.close();
/// for job in &jobs {
///     assert_eq!(job?.0, 7);
/// }
/// # Ok(()) }
/// ```
#[doc(alias("JoinableQueue", "SimpleQueue"))]
pub struct Queue<T> {
    pub(super) core: Core,
    message: PhantomData<fn(T) -> T>,
}

fn plan<T>() -> Plan {
    Plan::of::<T>(Kind::Queue)
}

impl<T: Message> Queue<T> {
    /// A queue without a name in which at most `messages` wait.
    ///
    /// The memory grows with what really waits, up to the `bytes` of [`Queue::options`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for 0 messages, [`ErrorKind::NoSpace`].
    ///
    /// # Examples
    /// ```
    /// let queue = commons::Queue::<u8>::bounded(1)?;
    /// queue.send(&1)?;
    /// assert!(queue.try_send(&2).is_err());
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn bounded(messages: usize) -> Result<Self> {
        Self::options().bounded(messages)
    }

    /// A queue without a name in which as many messages wait as its bytes hold.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`].
    ///
    /// # Examples
    /// ```
    /// let queue = commons::Queue::<u64>::unbounded()?;
    /// (0..10_000).try_for_each(|n| queue.send(&n))?;
    /// assert_eq!(queue.len(), 10_000);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn unbounded() -> Result<Self> {
        Self::options().unbounded()
    }

    /// A queue that any process of this user can open by this name.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`], [`ErrorKind::InvalidName`], and as [`Queue::bounded`].
    ///
    /// # Examples
    /// ```
    /// # let name = format!("doc-queue-create-{}", std::process::id());
    /// let jobs = commons::Queue::create(&name, 10)?;
    /// jobs.send(&5u32)?;
    /// assert_eq!(commons::Queue::<u32>::open(&name)?.recv()?, 5);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn create(name: &str, messages: usize) -> Result<Self> {
        Self::options().create(name, messages)
    }

    /// The queue of this name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if nobody uses one, [`ErrorKind::Mismatch`] if its messages are of
    /// another type, [`ErrorKind::Corrupt`], [`ErrorKind::OtherNamespace`].
    ///
    /// # Examples
    /// ```
    /// assert!(commons::Queue::<u8>::open("doc-no-such-queue").is_err());
    /// ```
    pub fn open(name: &str) -> Result<Self> {
        Self::options().open(name)
    }

    /// The queue of this name; if nobody uses one, a new one for `messages`.
    ///
    /// # Errors
    /// As [`Queue::open`] and [`Queue::create`].
    pub fn open_or_create(name: &str, messages: usize) -> Result<Self> {
        Self::options().open_or_create(name, messages)
    }

    /// Bytes, attempts, access by others and persistence.
    ///
    /// # Examples
    /// ```
    /// let small = commons::Queue::<u8>::options().bytes(64 << 10).max_attempts(3).bounded(100)?;
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn options() -> Options<Self> {
        Options::new()
    }

    /// Waits for room and sends.
    ///
    /// # Errors
    /// [`SendError::Closed`]; [`SendError::Failed`] if the value cannot be written as a message or
    /// there is no memory.
    ///
    /// # Examples
    /// See [`Queue`].
    #[doc(alias = "put")]
    pub fn send(&self, value: &T) -> Result<(), SendError> {
        self.send_value(value, Deadline::NEVER).map_err(|fault| SendError::of(fault, End::Closed))
    }

    /// Sends if there is room now.
    ///
    /// # Errors
    /// [`TrySendError::Full`]; otherwise as [`Queue::send`].
    #[doc(alias = "put_nowait")]
    pub fn try_send(&self, value: &T) -> Result<(), TrySendError> {
        self.send_value(value, Deadline::NOW).map_err(|fault| TrySendError::of(fault, End::Closed))
    }

    /// Waits for room, but no longer than `timeout`, and sends.
    ///
    /// # Errors
    /// [`SendTimeoutError::TimedOut`]; otherwise as [`Queue::send`].
    pub fn send_timeout(&self, value: &T, timeout: Duration) -> Result<(), SendTimeoutError> {
        let sent = self.send_value(value, Deadline::after(timeout));
        sent.map_err(|fault| SendTimeoutError::of(fault, End::Closed))
    }

    fn send_value(&self, value: &T, deadline: Deadline) -> Result<(), Fault> {
        send_encoded(&self.core, value, deadline, None)
    }

    /// Waits for a message and takes it.
    ///
    /// # Errors
    /// [`RecvError::Closed`] when the queue is closed and drained; [`RecvError::Failed`] if the message
    /// is no `T`.
    ///
    /// # Examples
    /// See [`Queue`].
    #[doc(alias = "get")]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_value(Deadline::NEVER, RecvError::of)
    }

    /// Takes a message if one waits now.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`]; otherwise as [`Queue::recv`].
    ///
    /// # Examples
    /// ```
    /// use commons::{Queue, TryRecvError};
    ///
    /// assert!(matches!(Queue::<u8>::bounded(1)?.try_recv(), Err(TryRecvError::Empty)));
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[doc(alias = "get_nowait")]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.recv_value(Deadline::NOW, TryRecvError::of)
    }

    /// Waits for a message, but no longer than `timeout`, and takes it.
    ///
    /// # Errors
    /// [`RecvTimeoutError::TimedOut`]; otherwise as [`Queue::recv`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_value(Deadline::after(timeout), RecvTimeoutError::of)
    }

    #[inline]
    fn recv_value<E>(&self, deadline: Deadline, refuse: fn(Fault, End) -> E) -> Result<T, E> {
        recv_decoded(&self.core, deadline, None, |fault| refuse(fault, End::Closed))
    }

    /// Waits for a message and leases it: if the lease is dropped without [`Lease::done`], or its
    /// process dies, the message is delivered again.
    ///
    /// # Errors
    /// As [`Queue::recv`]; [`RecvError::Failed`] also if 256 messages are leased already.
    ///
    /// # Examples
    /// ```
    /// let jobs = commons::Queue::<u8>::bounded(10)?;
    /// jobs.send(&7)?;
    /// drop(jobs.lease()?);                              // not done
    /// let lease = jobs.lease()?;
    /// assert_eq!((*lease, lease.attempt()), (7, 2));
    /// lease.done()?;
    /// assert!(jobs.is_empty());
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn lease(&self) -> Result<Lease<'_, T>, RecvError> {
        self.lease_value(Deadline::NEVER).map_err(|fault| RecvError::of(fault, End::Closed))
    }

    /// Leases a message if one waits now.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`]; otherwise as [`Queue::lease`].
    pub fn try_lease(&self) -> Result<Lease<'_, T>, TryRecvError> {
        self.lease_value(Deadline::NOW).map_err(|fault| TryRecvError::of(fault, End::Closed))
    }

    /// Waits for a message, but no longer than `timeout`, and leases it.
    ///
    /// # Errors
    /// [`RecvTimeoutError::TimedOut`]; otherwise as [`Queue::lease`].
    pub fn lease_timeout(&self, timeout: Duration) -> Result<Lease<'_, T>, RecvTimeoutError> {
        self.lease_value(Deadline::after(timeout)).map_err(|fault| RecvTimeoutError::of(fault, End::Closed))
    }

    fn lease_value(&self, deadline: Deadline) -> Result<Lease<'_, T>, Fault> {
        let mut bytes = Vec::new();
        let held = self.core.lease(&mut bytes, deadline)?;
        Ok(Lease::of(&self.core, held, &bytes)?)
    }

    /// The messages that were delivered too often, taken out of the queue.
    ///
    /// # Errors
    /// If the first of them is no `T`; it is gone then. Another one that is none ends the list, and the
    /// next call tells of it.
    ///
    /// # Examples
    /// ```
    /// let jobs = commons::Queue::<u8>::options().max_attempts(1).bounded(10)?;
    /// jobs.send(&7)?;
    /// drop(jobs.lease()?);
    /// assert!(jobs.try_lease().is_err());
    /// assert_eq!(jobs.dead()?, [7]);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn dead(&self) -> Result<Vec<T>> {
        let mut dead = Vec::new();
        let leases = &self.core.head().leases;
        while let Some(held) = leases.take_dead()? {
            let mut bytes = Vec::new();
            let read = self.core.read_lease(held, &mut bytes).and_then(|()| message::decode(&bytes));
            if read.is_err() && !dead.is_empty() {
                leases.bury(held.slot);
                break;
            }
            self.core.finish_lease(held);
            dead.push(read?);
        }
        Ok(dead)
    }

    /// Waits until every message that was sent is taken, or leased and done.
    ///
    /// # Examples
    /// ```
    /// let jobs = commons::Queue::<u8>::bounded(10)?;
    /// jobs.send(&7)?;
    /// jobs.lease()?.done()?;
    /// jobs.join();
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn join(&self) {
        self.core.join(Deadline::NEVER);
    }

    /// As [`Queue::join`], but no longer than `timeout`.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] with the number of messages that are not done.
    pub fn join_timeout(&self, timeout: Duration) -> Result<()> {
        if self.core.join(Deadline::after(timeout)) {
            return Ok(());
        }
        let message = format!("{} messages are not done after {timeout:?}", self.core.unfinished());
        Err(Error::new(ErrorKind::TimedOut, message))
    }
}

impl<T> Queue<T> {
    /// How many messages wait; exact when nobody sends or receives.
    #[doc(alias = "qsize")]
    pub fn len(&self) -> usize {
        self.core.len()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.core.len() == 0
    }

    /// Whether as many messages wait as may.
    pub fn is_full(&self) -> bool {
        self.core.is_full()
    }

    /// Nothing more can be sent; consumers get what waits, and then hear that it is closed.
    pub fn close(&self) {
        self.core.close();
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.core.is_closed()
    }

    /// The name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.core.segment().name()
    }

    /// What is in the segment, and who is attached.
    pub fn info(&self) -> SegmentInfo {
        self.core.segment().info()
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    fn of(core: Core) -> Self {
        Self { core, message: PhantomData }
    }
}

/// Encodes with handles pinned, and sends.
#[inline]
pub(crate) fn send_encoded<T: Message>(
    core: &Core,
    value: &T,
    deadline: Deadline,
    peers: Option<super::ends::Side>,
) -> Result<(), Fault> {
    segment::release_arrived();
    let mut bytes = Outgoing::new();
    message::encode_to(value, &mut bytes)?;
    core.send(&bytes, deadline, peers)?;
    bytes.sent();
    Ok(())
}

/// Receives, and decodes.
#[inline]
pub(crate) fn recv_decoded<T: Message, E>(
    core: &Core,
    deadline: Deadline,
    peers: Option<super::ends::Side>,
    refuse: impl Fn(Fault) -> E,
) -> Result<T, E> {
    let mut bytes = Incoming::new();
    match core.receive(&mut bytes, deadline, peers) {
        Ok(()) => message::decode_or(bytes.bytes(), |error| refuse(error.into())),
        Err(fault) => Err(refuse(fault)),
    }
}

impl<T: Message> Options<Queue<T>> {
    /// How many bytes may wait: 64 MiB unless said otherwise. Memory is taken as it is needed.
    #[must_use]
    pub fn bytes(mut self, most: u64) -> Self {
        self.queue.bytes = most;
        self
    }

    /// How often a leased message is delivered before it is [dead](Queue::dead); without limit unless
    /// said otherwise.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.queue.max_attempts = attempts;
        self
    }

    /// Makes a queue without a name in which at most `messages` wait.
    ///
    /// # Errors
    /// As [`Queue::bounded`].
    pub fn bounded(&self, messages: usize) -> Result<Queue<T>> {
        self.make(None, self.plan().bounded(messages)?)
    }

    /// Makes a queue without a name.
    ///
    /// # Errors
    /// As [`Queue::unbounded`].
    pub fn unbounded(&self) -> Result<Queue<T>> {
        self.make(None, self.plan())
    }

    /// Makes a queue with this name in which at most `messages` wait.
    ///
    /// # Errors
    /// As [`Queue::create`].
    pub fn create(&self, name: &str, messages: usize) -> Result<Queue<T>> {
        self.make(Some(name), self.plan().bounded(messages)?)
    }

    /// Makes a queue with this name in which as many messages wait as its bytes hold.
    ///
    /// # Errors
    /// As [`Queue::create`].
    pub fn create_unbounded(&self, name: &str) -> Result<Queue<T>> {
        self.make(Some(name), self.plan())
    }

    /// Opens the queue of this name.
    ///
    /// # Errors
    /// As [`Queue::open`].
    pub fn open(&self, name: &str) -> Result<Queue<T>> {
        self.plan().open(name, self.settings()).and_then(Core::of).map(Queue::of)
    }

    /// Opens the queue of this name, or makes one for `messages`.
    ///
    /// # Errors
    /// As [`Queue::open_or_create`].
    pub fn open_or_create(&self, name: &str, messages: usize) -> Result<Queue<T>> {
        let plan = self.plan().bounded(messages)?;
        plan.open_or_create(name, self.settings()).and_then(Core::of).map(Queue::of)
    }

    fn plan(&self) -> Plan {
        plan::<T>().with(self.queue)
    }

    fn make(&self, name: Option<&str>, plan: Plan) -> Result<Queue<T>> {
        plan.create(name, self.settings()).and_then(Core::of).map(Queue::of)
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self::of(self.core.another())
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}

impl<T> Serialize for Queue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.core.segment().serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Queue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Segment::deserialize_then(deserializer, &plan::<T>().expected(), Core::of).map(Self::of)
    }
}
