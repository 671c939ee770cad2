//! Messages of any size from many producers to many consumers, in order.
//!
//! | file | the one thing |
//! |---|---|
//! | `error` | why nothing was sent or received |
//! | `memory` | where ring, leases and ends lie in the payload; making and opening it |
//! | `ends` | who has a sending or a receiving end, and lives |
//! | `buffers` | the bytes of a message on its way out and in |
//! | `core` | bytes in, bytes out, waiting |
//! | `noted` | receiving with a note that survives the receiver |
//! | `leasing` | the bytes of messages that are handed out |
//! | `lease` | messages that are handed out until they are done |
//! | `handle`, `bytes`, `messages` | `Queue<T>`: values, bytes, and an iterator |

mod error;
mod ends;
mod memory;
mod buffers;
mod core;
mod noted;
mod leasing;
mod lease;
mod handle;
mod bytes;
mod messages;

pub(crate) use self::core::Core;
pub(crate) use bytes::Fitting;
pub(crate) use ends::Side;
pub(crate) use error::{End, Fault};
pub use error::{RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};
pub use handle::Queue;
pub(crate) use handle::{recv_decoded, send_encoded};
pub use lease::Lease;
pub(crate) use memory::Plan;
pub use messages::Messages;
