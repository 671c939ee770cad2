//! Receiving: the consumers' protocol.
//!
//! ```text
//! header[head] == 0: wait                                       looks without the lock
//! lock; look again, else unlock and retry; check the length
//! header[head] = the same value                                 takes the line: the producer finds
//!                                                               one later that it may write
//! copy out; taken; head += need (Release)
//! elsewhere: give its memory back; elsewhere_head
//! unlock; wake a producer
//! ```
//!
//! A consumer that dies before `head` moves has taken nothing; after it, the message.

use super::{
    area::{Area, copy_out, elsewhere},
    pace::{Looks, Pace},
    position::{Header, Kind, Position},
    state::RawRing,
};
use crate::{
    deadline::Deadline,
    primitive::Ordering::*,
    raw::mutex::{Acquired, LockFault},
};

/// Why no message was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReceiveFault {
    /// None waits.
    Empty,
    /// None waits, and none will come.
    Closed,
    /// What stands in the ring cannot be true.
    Corrupt,
    /// The consumers' lock could not be taken.
    Lock(LockFault),
}

/// A message that was copied out and is about to be taken.
#[derive(Debug)]
pub(crate) struct Received {
    /// Where it stood.
    pub(crate) position: Position,
    after: Position,
    index: u32,
    /// Whether the last consumer died with the lock, perhaps about to take the same message.
    pub(crate) after_death: bool,
    /// Where its bytes are, and how many, if they are not in the ring.
    pub(crate) elsewhere: Option<(u64, u64)>,
}

impl RawRing {
    /// Takes the first message if one waits. `keep` is given it before it counts as taken: it fetches
    /// what is elsewhere, and may refuse. After that `give_back` is told which bytes elsewhere, from
    /// where on and how many, nobody needs any more.
    #[inline]
    pub(crate) fn try_receive(
        &self,
        area: &impl Area,
        bytes: &mut Vec<u8>,
        keep: impl FnOnce(&Received, &mut Vec<u8>) -> bool,
        give_back: impl FnOnce(u64, u64),
    ) -> Result<bool, ReceiveFault> {
        let after_death = self.consumers.lock.lock().map_err(ReceiveFault::Lock)? == Acquired::OwnerDied;
        if after_death {
            self.repair_consumers(area);
        }
        let received = self.copy_first(area, bytes, after_death);
        let kept = received.as_ref().is_ok_and(|received| keep(received, bytes));
        if let (Ok(received), true) = (&received, kept) {
            self.taken().store(received.index.wrapping_add(1), Relaxed);
            self.consumers.head.store(received.after.0, Release);
            if let Some((begin, len)) = received.elsewhere {
                // With what consumers that died did not give back.
                let from = self.rest.elsewhere_head.load(Relaxed).min(begin);
                let end = begin.saturating_add(len);
                give_back(from, end - from);
                self.rest.elsewhere_head.store(end, Release);
            }
        }
        self.consumers.lock.unlock();
        received?;
        if kept {
            self.consumers.room.ring(1);
        }
        Ok(kept)
    }

    /// Waits until a message may be there, `also` says yes, or it is closed where it was not (`closed`);
    /// false when the deadline passes first. `idle` is asked now and then, and ends the wait with true.
    pub(crate) fn wait_for_message(
        &self,
        area: &impl Area,
        pace: &Pace,
        deadline: Deadline,
        also: impl Fn() -> bool,
        mut idle: impl FnMut() -> bool,
        closed: bool,
    ) -> bool {
        let look = || (self.has_message(area) || also() || self.is_closed() != closed).then_some(());
        if look().is_some() {
            return true;
        }
        let mut looks = Looks::new();
        let mut found = false;
        while !found && looks.again() {
            found = look().is_some();
        }
        if !found {
            if deadline.has_passed() {
                return look().is_some();
            }
            let mut idled = false;
            let slept = self.producers.message.sleep(deadline, look, || {
                idled = idle();
                idled
            });
            if slept.is_none() {
                return idled;
            }
        }
        let mut at = Position(self.consumers.head.load(Relaxed));
        pace.linger(|| {
            let next = self.peek(area, at).and_then(|header| self.after(area, at, header));
            next.is_some_and(|next| {
                at = next;
                self.peek(area, at).is_some()
            })
        });
        true
    }

    /// Whether a message waits, seen without the lock.
    #[inline]
    pub(crate) fn has_message(&self, area: &impl Area) -> bool {
        self.peek(area, Position(self.consumers.head.load(Acquire))).is_some()
    }

    #[inline]
    fn peek(&self, area: &impl Area, at: Position) -> Option<Header> {
        Header::of(self.header_word(area, at)?.load(Acquire))
    }

    /// Copies the first message out. The caller holds the consumers' lock.
    #[inline]
    fn copy_first(
        &self,
        area: &impl Area,
        bytes: &mut Vec<u8>,
        after_death: bool,
    ) -> Result<Received, ReceiveFault> {
        let mut head = Position(self.consumers.head.load(Relaxed));
        for _ in 0..=area.rings() {
            let word = self.header_word(area, head).ok_or(ReceiveFault::Corrupt)?;
            let bits = word.load(Acquire);
            let Some(header) = Header::of(bits) else {
                // Closed first and then still nothing: nothing more will come.
                let done = self.is_closed() && Header::of(word.load(Acquire)).is_none();
                return Err(if done { ReceiveFault::Closed } else { ReceiveFault::Empty });
            };
            let after = self.after(area, head, header).ok_or(ReceiveFault::Corrupt)?;
            match header {
                Header::Continue { .. } => {
                    self.consumers.head.store(after.0, Release);
                    head = after;
                }
                Header::Message { index, len, kind } => {
                    word.store(bits, Relaxed);
                    let words = area.words(head.ring());
                    let at = head.word() & (words.len() as u64 - 1);
                    let elsewhere = (kind == Kind::Elsewhere).then(|| elsewhere(words, at));
                    bytes.resize(if elsewhere.is_some() { 0 } else { len as usize }, 0);
                    copy_out(words, at, bytes);
                    return Ok(Received { position: head, after, index, after_death, elsewhere });
                }
            }
        }
        Err(ReceiveFault::Corrupt)
    }

    /// After the death of a consumer: `taken` may be one too high, if `head` was still to follow.
    #[cold]
    fn repair_consumers(&self, area: &impl Area) {
        let head = Position(self.consumers.head.load(Relaxed));
        if let Some(Header::Message { index, .. }) = self.peek(area, head) {
            self.taken().store(index, Relaxed);
        }
    }

    /// Whether the message that stood at `position` was taken.
    pub(crate) fn has_passed(&self, position: Position) -> bool {
        Position(self.consumers.head.load(Acquire)).word() > position.word()
    }
}
