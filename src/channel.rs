//! A queue with two kinds of handles, which hear when nobody is left on the other side.

use std::{fmt, marker::PhantomData, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    deadline::Deadline,
    error::{Error, Result},
    message::Message,
    queue::{
        self, Core, End, Fault, Plan, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Side,
        TryRecvError, TrySendError,
    },
    segment::{Kind, Segment, SegmentInfo, Settings},
};

/// A channel in which at most `messages` wait.
///
/// Both ends can be cloned and sent to other processes. When the last sender is gone or dead,
/// receivers get what waits and then [`RecvError::Disconnected`]; when the last receiver is,
/// senders get [`SendError::Disconnected`].
///
/// An end that is on its way, in a message or in the arguments of a process, counts as there until it
/// arrives. If its receiver is killed before that, it never does, and the other side is not told. An
/// end that a forked child inherits is its parent's and is not counted for the child.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for 0 messages,
/// [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace).
///
/// # Examples
/// ```
/// use commons::RecvError;
///
/// # fn main() -> commons::Result<()> {
/// let (sender, receiver) = commons::channel::<u32>(16)?;
/// sender.send(&5)?;
/// drop(sender);
/// assert_eq!(receiver.recv()?, 5);
/// assert!(matches!(receiver.recv(), Err(RecvError::Disconnected)));
/// # Ok(()) }
/// ```
pub fn channel<T: Message>(messages: usize) -> Result<(Sender<T>, Receiver<T>)> {
    let plan = plan::<T>().bounded(messages)?;
    let core = plan.create(None, &Settings::default()).and_then(Core::of)?;
    let receiver = Receiver::of(core.another());
    Ok((Sender::of(core), receiver))
}

fn plan<T>() -> Plan {
    Plan::of::<T>(Kind::Channel)
}

const END: End = End::Disconnected;

macro_rules! end {
    ($(#[doc = $doc:literal])* $name:ident, $side:expr) => {
        $(#[doc = $doc])*
        pub struct $name<T> {
            core: Core,
            message: PhantomData<fn(T) -> T>,
        }

        impl<T> $name<T> {
            /// A counted end.
            pub(crate) fn of(core: Core) -> Self {
                core.enter($side);
                Self { core, message: PhantomData }
            }

            /// How many messages wait.
            pub fn len(&self) -> usize {
                self.core.len()
            }

            /// Whether no message waits.
            pub fn is_empty(&self) -> bool {
                self.core.len() == 0
            }

            /// What is in the segment, and who is attached.
            pub fn info(&self) -> SegmentInfo {
                self.core.segment().info()
            }
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                Self::of(self.core.another())
            }
        }

        impl<T> Drop for $name<T> {
            fn drop(&mut self) {
                self.core.leave($side);
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} of {:?}", stringify!($name), self.core)
            }
        }

        impl<T> Serialize for $name<T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.core.segment().serialize(serializer)
            }
        }

        impl<'de, T> Deserialize<'de> for $name<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let expected = plan::<T>().expected();
                // Counted before the message counts as received: there is always one or the other.
                Segment::deserialize_then(deserializer, &expected, |segment| Core::of(segment).map(Self::of))
            }
        }
    };
}

end! {
    /// The sending end of a [`channel`].
    Sender, Side::Senders
}

end! {
    /// The receiving end of a [`channel`]. Each message goes to one receiver.
    Receiver, Side::Receivers
}

impl<T> Receiver<T> {
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }
}

impl<T: Message> Sender<T> {
    /// Waits for room and sends.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if no receiver is left; [`SendError::Failed`] if the value cannot be
    /// written as a message.
    ///
    /// # Examples
    /// See [`channel`].
    pub fn send(&self, value: &T) -> Result<(), SendError> {
        self.send_value(value, Deadline::NEVER).map_err(|fault| SendError::of(fault, END))
    }

    /// Sends if there is room now.
    ///
    /// # Errors
    /// [`TrySendError::Full`]; otherwise as [`Sender::send`].
    pub fn try_send(&self, value: &T) -> Result<(), TrySendError> {
        self.send_value(value, Deadline::NOW).map_err(|fault| TrySendError::of(fault, END))
    }

    /// Waits for room, but no longer than `timeout`, and sends.
    ///
    /// # Errors
    /// [`SendTimeoutError::TimedOut`]; otherwise as [`Sender::send`].
    pub fn send_timeout(&self, value: &T, timeout: Duration) -> Result<(), SendTimeoutError> {
        let sent = self.send_value(value, Deadline::after(timeout));
        sent.map_err(|fault| SendTimeoutError::of(fault, END))
    }

    fn send_value(&self, value: &T, deadline: Deadline) -> Result<(), Fault> {
        queue::send_encoded(&self.core, value, deadline, Some(Side::Receivers))
    }
}

impl<T: Message> Receiver<T> {
    /// Waits for a message and takes it.
    ///
    /// # Errors
    /// [`RecvError::Disconnected`] if none waits and no sender is left; [`RecvError::Failed`] if the
    /// message is no `T`.
    ///
    /// # Examples
    /// See [`channel`].
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_value(Deadline::NEVER, RecvError::of)
    }

    /// Takes a message if one waits now.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`]; otherwise as [`Receiver::recv`].
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.recv_value(Deadline::NOW, TryRecvError::of)
    }

    /// Waits for a message, but no longer than `timeout`, and takes it.
    ///
    /// # Errors
    /// [`RecvTimeoutError::TimedOut`]; otherwise as [`Receiver::recv`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_value(Deadline::after(timeout), RecvTimeoutError::of)
    }

    #[inline]
    fn recv_value<E>(&self, deadline: Deadline, refuse: fn(Fault, End) -> E) -> Result<T, E> {
        queue::recv_decoded(&self.core, deadline, Some(Side::Senders), |fault| refuse(fault, END))
    }

    /// A consuming iterator that waits for messages, until no sender is left.
    ///
    /// # Examples
    /// ```
    /// let (sender, receiver) = commons::channel::<u32>(16)?;
    /// (0..3).try_for_each(|n| sender.send(&n))?;
    /// drop(sender);
    /// assert_eq!(receiver.iter().collect::<commons::Result<Vec<_>>>()?, [0, 1, 2]);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = Result<T>> {
        std::iter::from_fn(|| match self.recv() {
            Err(RecvError::Disconnected) => None,
            other => Some(other.map_err(Error::from)),
        })
    }
}
