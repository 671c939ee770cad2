//! Sending: the producers' protocol.
//!
//! ```text
//! lock (owner died: repair)
//! no room: look at `head` again; still none: go to a larger ring, or unlock, wait, retry
//! header[next] = 0; copy; header[tail] = message (Release)      the commit
//! sent, tail; unlock; wake a consumer
//! ```
//!
//! **Orderings.** The commit releases the payload and the 0 behind it to whoever acquires the header.
//! `head` is acquired before words that were read are written again. The consumers' sleepers are
//! looked at after the unlock; the barrier in between is theirs.

use super::{
    area::{Area, FIRST, elsewhere, ring_units},
    bytes::Source,
    pace::{Looks, Pace},
    position::{Header, Kind, LONGEST, Position, enters_line, words_for},
    state::RawRing,
};
use crate::{
    deadline::Deadline,
    primitive::{AtomicU64, Ordering::*},
    raw::{
        backoff,
        biased::{Hold, Request},
        habit::Habit,
        mutex::LockFault,
        prefetch,
    },
};

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendFault {
    /// As many messages or bytes wait as may, or a stopped producer holds the lock.
    Full,
    /// Nothing more can be sent.
    Closed,
    /// It is larger than the largest ring.
    TooLarge,
    /// The ring with this number must be made first.
    Grow(usize),
    /// It could not be written elsewhere.
    NotWritten,
    /// What stands in the ring cannot be true.
    Corrupt,
    /// The producers' lock could not be taken.
    Lock(LockFault),
}

/// A consumer at work takes a message within so many ticks.
const LOOKS_FOR_ROOM: u32 = 40;

impl RawRing {
    /// Sends if the calling thread keeps the lock and the message simply goes to the end of the smallest
    /// ring, as far as is known without a look at how many were taken; whether it did. Nearly all messages
    /// of a busy queue: nothing else is put into memory for them.
    #[inline(always)]
    pub(crate) fn send_simply(&self, area: &impl Area, bytes: &impl Source, habit: &Habit) -> bool {
        let Some(entered) = self.producers.lock.enter(habit) else { return false };
        let need = words_for(bytes.len() as u64);
        let tail = Position(self.producers.tail.load(Relaxed));
        let index = self.sent().load(Relaxed);
        let simply = !self.is_closed() && self.is_below_limit_seen(index) && self.goes_to_first(tail, need);
        if simply {
            let header = Header::Message { index, len: bytes.len() as u64, kind: Kind::Here };
            self.commit(area.first(), tail, need, header, bytes);
        }
        self.producers.lock.leave(entered);
        if simply {
            self.producers.message.ring(1);
        }
        simply
    }

    /// Sends if there is room now. `made` has a bit for each ring that this process has made sure of.
    pub(crate) fn try_send(
        &self,
        area: &impl Area,
        made: u32,
        bytes: &impl Source,
        request: Request<'_>,
    ) -> Result<(), SendFault> {
        let hold = self.lock(area, request)?;
        let sent = self.send_locked(area, made, bytes, Kind::Here);
        self.unlock(request, hold, sent)
    }

    /// Sends a message that is too large for the rings: `write` puts it elsewhere, from the given
    /// offset on, and only then the message that says where is committed. At most `most` bytes wait
    /// there, or one message.
    pub(crate) fn try_send_elsewhere(
        &self,
        area: &impl Area,
        made: u32,
        len: u64,
        most: u64,
        request: Request<'_>,
        write: impl FnOnce(u64) -> bool,
    ) -> Result<(), SendFault> {
        let hold = self.lock(area, request)?;
        let sent = self.send_elsewhere_locked(area, made, len, most, write);
        self.unlock(request, hold, sent)
    }

    fn send_elsewhere_locked(
        &self,
        area: &impl Area,
        made: u32,
        len: u64,
        most: u64,
        write: impl FnOnce(u64) -> bool,
    ) -> Result<(), SendFault> {
        // Asked first: who hears that there is no room waits for it.
        if self.is_closed() {
            return Err(SendFault::Closed);
        }
        let begin = self.rest.elsewhere_tail.load(Relaxed);
        // Where all was taken nothing waits, also if a consumer died before it said so.
        let empty = self.consumers.head.load(Acquire) == self.producers.tail.load(Relaxed);
        let taken = if empty { begin } else { self.rest.elsewhere_head.load(Acquire) };
        let waiting = begin.saturating_sub(taken);
        if waiting != 0 && waiting.saturating_add(len) > most {
            return Err(SendFault::Full);
        }
        self.check_limit(self.sent().load(Relaxed))?;
        if !write(begin) {
            return Err(SendFault::NotWritten);
        }
        let place = [begin.to_le_bytes(), len.to_le_bytes()].concat();
        self.send_locked(area, made, &&*place, Kind::Elsewhere)?;
        self.rest.elsewhere_tail.store(begin.saturating_add(len), Release);
        Ok(())
    }

    fn lock(&self, area: &impl Area, request: Request<'_>) -> Result<Hold, SendFault> {
        let hold = match self.producers.lock.lock(request) {
            Ok(hold) => hold,
            Err(LockFault::TimedOut) => return Err(SendFault::Full),
            Err(fault) => return Err(SendFault::Lock(fault)),
        };
        if hold.is_after_a_death() {
            self.repair_producers(area);
        }
        Ok(hold)
    }

    fn unlock(&self, request: Request<'_>, hold: Hold, sent: Result<(), SendFault>) -> Result<(), SendFault> {
        self.producers.lock.unlock(request.habit, hold);
        if sent.is_ok() {
            self.producers.message.ring(1);
        }
        sent
    }

    /// Repeats `attempt`, one of the two above, until there is room. `alive` is asked now and then and
    /// may end the wait.
    pub(crate) fn send(
        &self,
        mut attempt: impl FnMut() -> Result<(), SendFault>,
        pace: &Pace,
        deadline: Deadline,
        mut alive: impl FnMut() -> bool,
    ) -> Result<(), SendFault> {
        loop {
            // Seen before the attempt: what is taken while it fails ends the wait that follows, for nothing
            // more may come.
            let room = || (self.consumers.head.load(Acquire), self.rest.elsewhere_head.load(Acquire));
            let before = room();
            match attempt() {
                Err(SendFault::Full) if deadline.has_passed() => return Err(SendFault::Full),
                Err(SendFault::Full) => {}
                other => return other,
            }
            let mut looks = Looks::new(pace);
            let moved = || (room() != before || self.is_closed()).then_some(());
            let mut found = moved().is_some();
            while !found && looks.again() {
                found = moved().is_some();
            }
            if !found {
                let mut gone = false;
                self.consumers.room.sleep(deadline, moved, || {
                    gone = !alive();
                    gone
                });
                if gone {
                    return Err(SendFault::Closed);
                }
            }
            self.linger(pace);
        }
    }

    /// Instead of going to a larger ring: gives consumers that are at work a moment to make room in this
    /// one, which is in the cache. Whether they made some.
    pub(crate) fn room_comes(&self, pace: &Pace) -> bool {
        let before = self.consumers.head.load(Relaxed);
        let moved = (0..LOOKS_FOR_ROOM).any(|_| {
            backoff::pause(1);
            self.consumers.head.load(Relaxed) != before
        });
        if moved {
            self.linger(pace);
        }
        moved
    }

    /// After a wait for room: lets more of it come.
    fn linger(&self, pace: &Pace) {
        let mut seen = self.consumers.head.load(Relaxed);
        pace.linger(|| {
            let now = self.consumers.head.load(Relaxed);
            std::mem::replace(&mut seen, now) != now
        });
    }

    /// The caller holds the producers' lock.
    fn send_locked(
        &self,
        area: &impl Area,
        made: u32,
        bytes: &impl Source,
        kind: Kind,
    ) -> Result<(), SendFault> {
        if self.is_closed() {
            return Err(SendFault::Closed);
        }
        let len = bytes.len() as u64;
        let need = words_for(len);
        let mut tail = Position(self.producers.tail.load(Relaxed));
        let index = self.sent().load(Relaxed);
        self.check_limit(index)?;
        let header = Header::Message { index, len, kind };
        if self.goes_to_first(tail, need) {
            self.commit(area.first(), tail, need, header, bytes);
            return Ok(());
        }
        tail = self.move_on(area, made, tail, len, need)?;
        self.commit(area.words(tail.ring()), tail, need, header, bytes);
        Ok(())
    }

    #[inline(always)]
    fn commit(&self, ring: &[AtomicU64], tail: Position, need: u64, header: Header, bytes: &impl Source) {
        let mask = ring.len() as u64 - 1;
        let next = tail.plus(need);
        if enters_line(next.word(), need) {
            prefetch::for_writing(&ring[((next.word() + prefetch::AHEAD) & mask) as usize]);
        }
        ring[(next.word() & mask) as usize].store(0, Relaxed);
        bytes.copy_in(ring, tail.word() & mask);
        ring[(tail.word() & mask) as usize].store(header.bits(), Release);
        if let Header::Message { index, .. } = header {
            self.sent().store(index.wrapping_add(1), Relaxed);
        }
        self.producers.tail.store(next.0, Release);
    }

    fn check_limit(&self, sent: u32) -> Result<(), SendFault> {
        if !self.is_below_limit_seen(sent) {
            self.taken_seen().store(self.taken().load(Acquire), Relaxed);
        }
        if self.is_below_limit_seen(sent) { Ok(()) } else { Err(SendFault::Full) }
    }

    /// Whether fewer messages wait than may, by what was seen of the consumers.
    #[inline(always)]
    fn is_below_limit_seen(&self, sent: u32) -> bool {
        let limit = self.rest.limit.load(Relaxed);
        limit == 0 || sent.wrapping_sub(self.taken_seen().load(Relaxed)) < limit
    }

    /// After a message that nearly as many wait before as may: lets room come before the next. Each look
    /// takes the consumers' line away from them, and here it would find room for one or two messages.
    pub(crate) fn let_room_come(&self, pace: &Pace) {
        let limit = self.rest.limit.load(Relaxed);
        let waiting = self.sent().load(Relaxed).wrapping_sub(self.taken_seen().load(Relaxed));
        if limit != 0 && waiting > limit - limit / 8 {
            self.linger(pace);
        }
    }

    /// Whether a message goes to `tail` in the smallest ring, whose size the compiler knows.
    #[inline(always)]
    fn goes_to_first(&self, tail: Position, need: u64) -> bool {
        tail.is_in_first() && self.has_room(FIRST, tail, need)
    }

    /// Whether `need` words and the 0 behind them fit at `tail` into its ring of so many words.
    #[inline]
    fn has_room(&self, units: u64, tail: Position, need: u64) -> bool {
        let fits = |end: u64| tail.word() + need < end;
        if fits(self.rest.end_seen.load(Relaxed)) {
            return true;
        }
        let head = Position(self.consumers.head.load(Acquire)).word();
        let end = head.max(Position(self.rest.start.load(Relaxed)).word()) + units;
        self.rest.end_seen.store(end, Relaxed);
        fits(end)
    }

    /// Where the message goes if it does not simply go to `tail` in the first ring: the same place, a
    /// larger ring, or back to the first one when nothing waits.
    #[cold]
    fn move_on(
        &self,
        area: &impl Area,
        made: u32,
        tail: Position,
        len: u64,
        need: u64,
    ) -> Result<Position, SendFault> {
        if tail.ring() >= area.rings() {
            return Err(SendFault::Corrupt);
        }
        let fits = |ring: usize| need < ring_units(ring);
        if len > LONGEST || !fits(area.rings() - 1) {
            return Err(SendFault::TooLarge);
        }
        let head = self.consumers.head.load(Acquire);
        if tail.ring() != 0 && head == tail.0 && fits(0) && self.consumers.lock.try_lock().is_ok() {
            // Consumers are taken along. Left at the way back, they would lose it when the ring in which
            // it stands is entered anew. Nothing waits, so a consumer that died left nothing to repair.
            let first = self.enter(area, tail, 0);
            self.consumers.head.store(first.0, Release);
            self.consumers.lock.release();
            return Ok(first);
        }
        if self.has_room(ring_units(tail.ring()), tail, need) {
            return Ok(tail);
        }
        // Where consumers still are, after the death of one who wanted to take them along, it is not empty.
        let free = |&ring: &usize| fits(ring) && ring != Position(head).ring();
        let Some(ring) = (tail.ring() + 1..area.rings()).find(free) else {
            return Err(SendFault::Full);
        };
        if made & 1 << ring == 0 {
            return Err(SendFault::Grow(ring));
        }
        Ok(self.enter(area, tail, ring))
    }

    /// Commits that the next message is in another ring, which is empty.
    fn enter(&self, area: &impl Area, tail: Position, ring: usize) -> Position {
        let next = tail.entering(ring);
        // Seen in the ring that is left.
        self.rest.end_seen.store(0, Relaxed);
        area.words(ring)[0].store(0, Relaxed);
        if let Some(header) = self.header_word(area, tail) {
            header.store(Header::Continue { ring }.bits(), Release);
        }
        self.rest.start.store(next.0, Relaxed);
        self.producers.tail.store(next.0, Release);
        next
    }

    /// Goes past what a producer committed before it died. Any number of times is as good as once.
    #[cold]
    pub(super) fn repair_producers(&self, area: &impl Area) {
        let tail = Position(self.producers.tail.load(Relaxed));
        let Some(header) = self.header_word(area, tail).and_then(|word| Header::of(word.load(Acquire)))
        else {
            return;
        };
        let Some(next) = self.after(area, tail, header) else { return };
        match header {
            Header::Message { index, kind, .. } => {
                self.sent().store(index.wrapping_add(1), Relaxed);
                if kind == Kind::Elsewhere {
                    let words = area.words(tail.ring());
                    let (begin, len) = elsewhere(words, tail.word() & (words.len() as u64 - 1));
                    self.rest.elsewhere_tail.store(begin.saturating_add(len), Relaxed);
                }
            }
            Header::Continue { .. } => self.rest.start.store(next.0, Relaxed),
        }
        self.producers.tail.store(next.0, Release);
        self.producers.message.ring(1);
    }
}

#[cfg(all(test, not(loom)))] // where no time passes
mod tests {
    use super::*;

    #[test]
    fn when_the_time_is_over_no_movement_keeps_a_sender() {
        let ring = RawRing::new(0);
        let mut attempts = 0;
        let attempt = || {
            ring.consumers.head.fetch_add(1, Relaxed);
            attempts += 1;
            if attempts < 1000 { Err(SendFault::Full) } else { Ok(()) }
        };
        let sent = ring.send(attempt, &Pace::default(), Deadline::NOW, || true);
        assert_eq!((sent, attempts), (Err(SendFault::Full), 1));
    }
}
