//! Messages of any size from many producers to many consumers, in order.
//!
//! | file | the one thing |
//! |---|---|
//! | `error` | why nothing was sent or received |
//! | `memory` | where ring, leases and ends lie in the payload |
//! | `ends` | who has a sending or a receiving end, and lives |
//! | `core` | bytes in, bytes out, waiting |
//! | `handle` | `Queue<T>` |
//! | `lease` | messages that are handed out until they are done |

mod error;
mod memory;
mod ends;
mod core;
mod handle;
mod lease;

pub(crate) use self::core::Core;
pub(crate) use ends::Side;
pub(crate) use error::{End, Fault};
pub use error::{RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};
pub use handle::{Messages, Queue};
pub(crate) use handle::{fit, recv_decoded, send_encoded};
pub use lease::Lease;
