//! Receiving: the consumers' protocol.
//!
//! ```text
//! header[head] == 0: wait                                       looks without the lock
//! lock; look again, else unlock and retry; check the length
//! asks for the line, to be written                              the producer finds one later that
//!                                                               it may write at once
//! copy out; taken; elsewhere_head; head += need (Release); give back what was elsewhere; unlock;
//! wake a producer
//! ```
//!
//! A consumer that dies before `head` moves has taken nothing; after it, the message.

use super::{
    area::{Area, FIRST, elsewhere},
    bytes::{Sink, copy_out},
    pace::{Looks, Pace},
    position::{Header, Kind, Position, enters_line, words_for},
    state::RawRing,
};
use crate::{
    deadline::Deadline,
    primitive::Ordering::*,
    raw::{biased::Request, habit::Habit, mutex::LockFault, prefetch},
};

/// Why no message was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReceiveFault {
    /// None waits, or a stopped consumer holds the lock.
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
    /// Where its bytes are, and how many, if they are not in the ring.
    pub(crate) elsewhere: Option<(u64, u64)>,
}

impl RawRing {
    /// Takes the first message if the calling thread keeps the lock and it is short and in the smallest ring;
    /// whether it did. Nearly all messages of a busy queue: nothing else is put into memory for them.
    #[inline(always)]
    pub(crate) fn receive_simply<S: Sink>(&self, area: &impl Area, bytes: &mut S, habit: &Habit) -> bool {
        let Some(entered) = self.consumers.lock.enter(habit) else { return false };
        let taken = self.take_short(area, bytes, |_, _| true).is_some();
        self.consumers.lock.leave(entered);
        if taken {
            self.consumers.room.ring(1);
        }
        taken
    }

    /// Takes the first message if one waits. `keep` is given it before it counts as taken: it fetches
    /// what is elsewhere, and may refuse. `died` runs under the lock if its last owner died; `give_back`
    /// is told up to where elsewhere everything is taken.
    pub(crate) fn try_receive<S: Sink>(
        &self,
        area: &impl Area,
        bytes: &mut S,
        request: Request<'_>,
        died: impl FnOnce(),
        give_back: impl Fn(u64),
        keep: impl FnMut(&Received, &mut S) -> bool,
    ) -> Result<bool, ReceiveFault> {
        let hold = match self.consumers.lock.lock(request) {
            Ok(hold) => hold,
            Err(LockFault::TimedOut) => return Err(ReceiveFault::Empty),
            Err(fault) => return Err(ReceiveFault::Lock(fault)),
        };
        if hold.is_after_a_death() {
            self.repair_consumers(area);
            give_back(self.rest.elsewhere_head.load(Relaxed));
            died();
        }
        let taken = self.take_first(area, bytes, give_back, keep);
        self.consumers.lock.unlock(request.habit, hold);
        if taken == Ok(true) {
            self.consumers.room.ring(1);
        }
        taken
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
        let mut looks = Looks::new(pace);
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
    pub(super) fn peek(&self, area: &impl Area, at: Position) -> Option<Header> {
        Header::of(self.header_word(area, at)?.load(Acquire))
    }

    /// Takes the first message if `keep` wants it. The caller holds the consumers' lock.
    fn take_first<S: Sink>(
        &self,
        area: &impl Area,
        bytes: &mut S,
        give_back: impl Fn(u64),
        mut keep: impl FnMut(&Received, &mut S) -> bool,
    ) -> Result<bool, ReceiveFault> {
        match self.take_short(area, bytes, &mut keep) {
            Some(kept) => Ok(kept),
            None => self.take_any(area, bytes, give_back, keep),
        }
    }

    /// Takes the first message if it is short, in the smallest ring, whose size the compiler knows, and
    /// `keep` wants it; whether it does.
    #[inline(always)]
    fn take_short<S: Sink>(
        &self,
        area: &impl Area,
        bytes: &mut S,
        keep: impl FnOnce(&Received, &mut S) -> bool,
    ) -> Option<bool> {
        let head = Position(self.consumers.head.load(Relaxed));
        if !head.is_in_first() {
            return None;
        }
        let ring = area.first();
        let at = head.word() % FIRST;
        let (index, len) = Header::of_short(ring[at as usize].load(Acquire))?;
        let need = words_for(len);
        let word = |at: u64| &ring[(at % FIRST) as usize];
        // Only where more waits: a line that nobody has written yet is the producer's to have.
        if enters_line(at + need, need) && word(at + need).load(Relaxed) != 0 {
            prefetch::for_reading(word(at + need + prefetch::AHEAD));
        }
        prefetch::for_writing(word(at));
        copy_out(ring, at, bytes.room(len as usize));
        let kept = keep(&Received { position: head, elsewhere: None }, bytes);
        if kept {
            self.taken().store(index.wrapping_add(1), Relaxed);
            self.consumers.head.store(head.plus(need).0, Release);
        }
        Some(kept)
    }

    /// As `take_first`, in whatever ring and however long.
    #[inline(never)]
    fn take_any<S: Sink>(
        &self,
        area: &impl Area,
        bytes: &mut S,
        give_back: impl Fn(u64),
        keep: impl FnOnce(&Received, &mut S) -> bool,
    ) -> Result<bool, ReceiveFault> {
        let mut head = Position(self.consumers.head.load(Relaxed));
        for _ in 0..=area.rings() {
            if head.ring() >= area.rings() {
                break;
            }
            let words = area.words(head.ring());
            let at = head.word() & (words.len() as u64 - 1);
            let word = &words[at as usize];
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
                    prefetch::for_writing(word);
                    let elsewhere = (kind == Kind::Elsewhere).then(|| elsewhere(words, at));
                    if elsewhere.is_none() {
                        copy_out(words, at, bytes.room(len as usize));
                    }
                    let kept = keep(&Received { position: head, elsewhere }, bytes);
                    if kept {
                        self.taken().store(index.wrapping_add(1), Relaxed);
                        let end = elsewhere.map(|(begin, len)| begin.saturating_add(len));
                        if let Some(end) = end {
                            // Who waits for that room may go a moment early: what is there is not written
                            // over.
                            self.rest.elsewhere_head.store(end, Release);
                        }
                        self.consumers.head.store(after.0, Release);
                        if let Some(end) = end {
                            // With all before it: a producer that goes back to the first ring may have
                            // taken the lock of a consumer that died here.
                            give_back(end);
                        }
                    }
                    return Ok(kept);
                }
            }
        }
        Err(ReceiveFault::Corrupt)
    }

    /// After the death of a consumer: `taken` and `elsewhere_head` may be one too high, if `head` was
    /// still to follow.
    #[cold]
    fn repair_consumers(&self, area: &impl Area) {
        let head = Position(self.consumers.head.load(Relaxed));
        if let Some(Header::Message { index, kind, .. }) = self.peek(area, head) {
            self.taken().store(index, Relaxed);
            if kind == Kind::Elsewhere {
                let words = area.words(head.ring());
                let (begin, _) = elsewhere(words, head.word() & (words.len() as u64 - 1));
                self.rest.elsewhere_head.store(begin, Relaxed);
            }
        }
    }

    /// Whether the message that stood at `position` was taken.
    pub(crate) fn has_passed(&self, position: Position) -> bool {
        Position(self.consumers.head.load(Acquire)).word() > position.word()
    }
}
