//! The ring of the product. Its pace is left out: a wait that lingers looks at the same words again.

#[path = "../../../../src/raw/ring/area.rs"]
mod area;
#[path = "../../../../src/raw/ring/bytes.rs"]
mod bytes;
#[path = "../../../../src/raw/ring/position.rs"]
mod position;
#[path = "../../../../src/raw/ring/state.rs"]
mod state;
mod pace;
#[path = "../../../../src/raw/ring/receive.rs"]
mod receive;
#[path = "../../../../src/raw/ring/send.rs"]
mod send;

pub(crate) use area::{Area, ring_units};
pub(crate) use pace::Pace;
pub(crate) use position::Position;
pub(crate) use receive::{ReceiveFault, Received};
pub(crate) use send::SendFault;
pub(crate) use state::RawRing;
