//! Handing messages out until they are done: their bytes, between the ring and the places of leases.

use std::sync::atomic::Ordering::Relaxed;

use super::{
    core::{Core, LEASE_PLACE},
    error::Fault,
};
use crate::{
    deadline::Deadline,
    error::{Error, ErrorKind, Result},
    raw::{
        leases::{Held, LEASES},
        ring::{Received, Sink},
    },
};

impl Core {
    /// Leases a message and copies it into `bytes`, or by the deadline nothing.
    pub(super) fn lease(&self, bytes: &mut Vec<u8>, deadline: Deadline) -> Result<Held, Fault> {
        let mut late = false;
        loop {
            if let Some(held) = self.take_returned()? {
                self.read_lease(held, bytes)?;
                return Ok(held);
            }
            let (mut leased, mut failed) = (None, None);
            let keep = |received: &Received, bytes: &mut Vec<u8>| {
                if !self.fetch(received, bytes, &mut failed) {
                    return false;
                }
                match self.copy_to_slot(received, bytes) {
                    Ok(held) => leased = held,
                    Err(error) => failed = Some(error),
                }
                leased.is_some()
            };
            match self.try_receive(bytes, deadline, keep) {
                Ok(_) => match (leased, failed) {
                    (Some(held), _) => return Ok(held),
                    (None, Some(error)) => return Err(error.into()),
                    (None, None) => {}
                },
                Err(fault) => self.wait(fault, deadline, None, &mut late)?,
            }
        }
    }

    /// Puts a message that is about to be taken into a free slot; `None` if others must be worked on
    /// first, which were returned.
    fn copy_to_slot(&self, received: &Received, bytes: &[u8]) -> Result<Option<Held>> {
        let head = self.head();
        let len = bytes.len() as u64;
        if len > LEASE_PLACE {
            let message = format!("a message of {len} bytes cannot be leased: {LEASE_PLACE} are the most");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let mut returned = 0;
        let slot = head.leases.take_free(&head.ring, || returned += 1)?;
        if returned != 0 {
            head.returned.fetch_add(returned, Relaxed);
        }
        let Some(slot) = slot else {
            if returned != 0 {
                return Ok(None);
            }
            let message = format!(
                "{} messages are leased or dead, as many as can be: finish some, or collect the dead",
                LEASES
            );
            return Err(Error::new(ErrorKind::NoSpace, message));
        };
        if let Err(error) = self.segment().write_behind(slot as u64 * LEASE_PLACE, bytes) {
            head.leases.finish(slot, || {});
            return Err(error);
        }
        Ok(Some(head.leases.fill(slot, received.position, len)))
    }

    pub(super) fn read_lease(&self, held: Held, bytes: &mut impl Sink) -> Result<()> {
        self.segment().read_behind(held.slot as u64 * LEASE_PLACE, held.len.min(LEASE_PLACE) as usize, bytes)
    }

    /// A leased message is done; the memory of a large one is given back. False in a forked child.
    pub(super) fn finish_lease(&self, held: Held) -> bool {
        const KEPT: u64 = 4096;
        self.head().leases.finish(held.slot, || {
            if held.len > KEPT {
                let place = held.slot as u64 * LEASE_PLACE;
                self.segment().discard_behind(place.saturating_add(KEPT), held.len - KEPT);
            }
        })
    }
}
