//! Messages of any size from many producers to many consumers, in order, under two locks.
//!
//! After Michael and Scott's two-lock queue (PODC 1996), with the commit inside the message: the
//! header word before a message is 0 until the message is whole, and one store makes it a message. A
//! consumer therefore never reads what producers write often, and a message costs one cache line that
//! both sides touch.
//!
//! | file | the one thing |
//! |---|---|
//! | `position` | where something is, and what a header says, in one word each |
//! | `area` | the memory of the rings, as words |
//! | `bytes` | the bytes of messages, into those words and out of them |
//! | `state` | the two sides, as they lie in shared memory |
//! | `send`, `receive` | the two protocols |
//! | `pace` | how long to look before sleeping |

mod area;
mod bytes;
mod position;
mod state;
mod pace;
mod receive;
mod send;

pub(crate) use area::{Area, RINGS, ring_offset, ring_units};
#[cfg(test)]
pub(crate) use bytes::copy_out;
pub(crate) use bytes::{Sink, Source, copy_words_in};
pub(crate) use pace::Pace;
pub(crate) use position::{LONGEST, Position};
pub(crate) use receive::{ReceiveFault, Received};
pub(crate) use send::SendFault;
pub(crate) use state::RawRing;
