//! Receiving with a note that survives the receiver: which message it is about to take.

use super::{core::Core, error::Fault};
use crate::{
    deadline::Deadline,
    raw::ring::{Position, Received},
};

impl Core {
    /// Receives a message into `bytes`. Before it counts as taken, `note` is told the place where it stood
    /// and its bytes; it may refuse by false, and then nothing is taken and nothing received.
    ///
    /// The message counts as taken once [`Core::has_passed`] its place.
    pub(crate) fn receive_noted(
        &self,
        bytes: &mut Vec<u8>,
        deadline: Deadline,
        mut note: impl FnMut(u64, &[u8]) -> bool,
    ) -> Result<bool, Fault> {
        let mut late = false;
        loop {
            let mut failed = None;
            let keep = |received: &Received, bytes: &mut Vec<u8>| {
                self.fetch(received, bytes, &mut failed) && note(received.position.0, bytes)
            };
            match self.try_receive(bytes, deadline, keep) {
                Ok(taken) => return failed.map_or(Ok(taken), |error| Err(error.into())),
                Err(fault) => self.wait(fault, deadline, None, &mut late)?,
            }
        }
    }

    /// Whether the message that stood at this place was taken.
    pub(crate) fn has_passed(&self, place: u64) -> bool {
        self.head().ring.has_passed(Position(place))
    }
}
