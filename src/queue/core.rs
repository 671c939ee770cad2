//! Bytes in, bytes out, waiting: what queues, channels and pipes have in common.

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering::*},
};

use super::{
    ends::Side,
    error::Fault,
    memory::{Memory, QueueHead},
};
use crate::{
    deadline::Deadline,
    error::{Error, ErrorKind, Result},
    raw::{
        biased::Request,
        habit::Habit,
        leases::Held,
        mutex::LockFault,
        ring::{LONGEST, Pace, ReceiveFault, Received, SendFault, Sink, Source},
    },
    segment::Segment,
};

/// Messages that wait elsewhere lie behind the places of leases.
pub(super) const LEASE_PLACE: u64 = 1 << 30;
const ELSEWHERE: u64 = LEASE_PLACE * crate::raw::leases::LEASES as u64;

/// A message of so many bytes waits for room in the smallest ring so many microseconds.
const SMALL: usize = 4096;
const MOMENTS: u32 = 16;

/// As if of the rings only the smallest were made.
const SMALLEST: u32 = 1;

/// One process's use of a queue.
pub(crate) struct Core {
    memory: Memory,
    /// A bit for each ring that this process has made sure of.
    made: AtomicU32,
    sending: Pace,
    receiving: Pace,
    send_habit: Habit,
    receive_habit: Habit,
}

impl Core {
    /// The segment of a queue, as a [`Plan`](super::Plan) gives it.
    pub(crate) fn of(segment: Segment) -> Result<Self> {
        Memory::of(segment).map(|memory| Self::over(memory, 1))
    }

    fn over(memory: Memory, made: u32) -> Self {
        let (sending, receiving) = (Pace::default(), Pace::default());
        let (send_habit, receive_habit) = (Habit::default(), Habit::default());
        Self { memory, made: made.into(), sending, receiving, send_habit, receive_habit }
    }

    pub(crate) fn another(&self) -> Self {
        Self::over(self.memory.clone(), self.made.load(Relaxed))
    }

    pub(crate) fn segment(&self) -> &Segment {
        self.memory.segment()
    }

    pub(super) fn head(&self) -> &QueueHead {
        self.memory.head()
    }

    /// Messages in the ring.
    pub(crate) fn len(&self) -> usize {
        self.head().ring.len(&self.memory)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.head().ring.limit().is_some_and(|limit| self.len() >= limit)
    }

    pub(crate) fn close(&self) {
        self.head().ring.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.head().ring.is_closed()
    }

    /// Whether a receive would not wait.
    pub(crate) fn is_ready(&self) -> bool {
        let head = self.head();
        let waits = head.ring.has_message(&self.memory) || head.returned.load(Relaxed) != 0;
        waits || head.ring.is_closed() && !self.others_lease()
    }

    /// Counts an end of this process.
    pub(crate) fn enter(&self, side: Side) {
        self.head().ends.enter(side, self.segment());
    }

    /// Takes an end of this process away; the last one of its side closes.
    pub(crate) fn leave(&self, side: Side) {
        self.head().ends.leave(side, self.segment());
        self.is_alone(Some(side));
    }

    /// Closes if there must be somebody who lives with an end of this side, and is not; whether it is
    /// closed then.
    fn is_alone(&self, peers: Option<Side>) -> bool {
        let Some(side) = peers else { return false };
        if !self.is_closed() && !self.head().ends.has(side, self.segment()) {
            self.close();
        }
        self.is_closed()
    }

    /// Sends `bytes` when there is room, or by the deadline. `peers` is the side that must live.
    #[inline(never)]
    pub(crate) fn send(
        &self,
        bytes: &impl Source,
        deadline: Deadline,
        peers: Option<Side>,
    ) -> Result<(), Fault> {
        if self.head().ring.send_simply(&self.memory, bytes, &self.send_habit) {
            return Ok(());
        }
        self.send_with_care(bytes, deadline, peers)
    }

    #[inline(never)]
    fn send_with_care(
        &self,
        bytes: &impl Source,
        deadline: Deadline,
        peers: Option<Side>,
    ) -> Result<(), Fault> {
        match self.try_send(SMALLEST, bytes, deadline) {
            Ok(()) => {
                self.head().ring.let_room_come(&self.sending);
                Ok(())
            }
            Err(fault) => self.send_after(fault, bytes, deadline, peers),
        }
    }

    fn try_send(&self, made: u32, bytes: &impl Source, deadline: Deadline) -> Result<(), SendFault> {
        let request = Request { habit: &self.send_habit, deadline };
        self.head().ring.try_send(&self.memory, made, bytes, request)
    }

    /// Goes on after a first attempt that has not sent.
    #[cold]
    fn send_after(
        &self,
        mut fault: SendFault,
        bytes: &impl Source,
        deadline: Deadline,
        peers: Option<Side>,
    ) -> Result<(), Fault> {
        let ring = &self.head().ring;
        let attempt = || self.try_send(self.made.load(Relaxed), bytes, deadline);
        let alive = || !self.is_alone(peers);
        let mut moments = if bytes.len() <= SMALL { MOMENTS } else { 0 };
        loop {
            match fault {
                SendFault::Full if deadline.has_passed() => {
                    return Err(if self.is_alone(peers) { Fault::Closed } else { Fault::NotYet });
                }
                SendFault::Full => {}
                SendFault::Grow(_)
                    if moments != 0 && !deadline.has_passed() && ring.room_comes(&self.sending) =>
                {
                    moments -= 1;
                    let Err(again) = self.try_send(SMALLEST, bytes, deadline) else { return Ok(()) };
                    fault = again;
                    continue;
                }
                SendFault::Grow(ring) => self.grow(ring)?,
                SendFault::TooLarge => return self.send_elsewhere(bytes.long(), deadline, peers),
                fault => return Err(refused(fault)),
            }
            match ring.send(attempt, &self.sending, deadline, alive) {
                Ok(()) => return Ok(()),
                Err(SendFault::Full) => return Err(Fault::NotYet),
                Err(again) => fault = again,
            }
        }
    }

    /// Makes sure of a ring.
    fn grow(&self, ring: usize) -> Result<()> {
        if self.made.load(Relaxed) & 1 << ring != 0 {
            return Ok(());
        }
        self.memory.reserve(ring)?;
        self.made.fetch_or(1 << ring, Relaxed);
        Ok(())
    }

    /// Sends what is too large for the rings.
    #[cold]
    fn send_elsewhere(&self, bytes: &[u8], deadline: Deadline, peers: Option<Side>) -> Result<(), Fault> {
        let head = self.head();
        let (len, most) = (bytes.len() as u64, head.bytes.load(Relaxed));
        if len > LONGEST {
            let message = format!("a message of {len} bytes is longer than any queue takes: {LONGEST}");
            return Err(Error::new(ErrorKind::InvalidInput, message).into());
        }
        let mut failed = None;
        let mut attempt = || {
            let place = |begin: u64| ELSEWHERE.saturating_add(begin);
            let write = |begin| match self.segment().write_behind(place(begin), bytes) {
                Ok(()) => true,
                Err(error) => {
                    failed = Some(error);
                    false
                }
            };
            let (made, request) = (self.made.load(Relaxed), Request { habit: &self.send_habit, deadline });
            head.ring.try_send_elsewhere(&self.memory, made, len, most, request, write)
        };
        let alive = || !self.is_alone(peers);
        let sent = loop {
            match head.ring.send(&mut attempt, &self.sending, deadline, alive) {
                // What says where the message is has no room in its ring either.
                Err(SendFault::Grow(ring)) => self.grow(ring)?,
                sent => break sent,
            }
        };
        if let Some(error) = failed {
            return Err(error.into());
        }
        sent.map_err(refused)
    }

    /// Receives a message into `bytes`, or by the deadline nothing. `peers` is the side that must live.
    #[inline(never)]
    pub(crate) fn receive<S: Sink>(
        &self,
        bytes: &mut S,
        deadline: Deadline,
        peers: Option<Side>,
    ) -> Result<(), Fault> {
        if self.receive_simply(bytes) { Ok(()) } else { self.receive_with_care(bytes, deadline, peers) }
    }

    /// Most messages are in the ring, and none was returned.
    #[inline(always)]
    fn receive_simply<S: Sink>(&self, bytes: &mut S) -> bool {
        !self.has_returned() && self.head().ring.receive_simply(&self.memory, bytes, &self.receive_habit)
    }

    #[inline(never)]
    fn receive_with_care<S: Sink>(
        &self,
        bytes: &mut S,
        deadline: Deadline,
        peers: Option<Side>,
    ) -> Result<(), Fault> {
        let mut late = false;
        while !self.has_returned() {
            match self.try_receive(bytes, deadline, |received, _| received.elsewhere.is_none()) {
                Ok(true) => return Ok(()),
                Ok(false) => break,
                Err(fault) => {
                    self.wait(fault, deadline, peers, &mut late)?;
                    if self.receive_simply(bytes) {
                        return Ok(());
                    }
                }
            }
        }
        self.receive_any(bytes, deadline, peers, late)
    }

    #[cold]
    fn receive_any<S: Sink>(
        &self,
        bytes: &mut S,
        deadline: Deadline,
        peers: Option<Side>,
        mut late: bool,
    ) -> Result<(), Fault> {
        loop {
            if let Some(held) = self.take_returned()? {
                self.read_lease(held, bytes)?;
                self.finish_lease(held);
                return Ok(());
            }
            let mut failed = None;
            let keep = |received: &Received, bytes: &mut S| self.fetch(received, bytes, &mut failed);
            let received = self.try_receive(bytes, deadline, keep);
            match received {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(failed.map_or(Fault::NotYet, Fault::Failed)),
                Err(fault) => self.wait(fault, deadline, peers, &mut late)?,
            }
        }
    }

    pub(super) fn try_receive<S: Sink>(
        &self,
        bytes: &mut S,
        deadline: Deadline,
        keep: impl FnMut(&Received, &mut S) -> bool,
    ) -> Result<bool, ReceiveFault> {
        let head = self.head();
        let died = || head.leases.void_untaken(&head.ring);
        let give_back = |to: u64| self.segment().discard_behind(ELSEWHERE, to);
        let request = Request { habit: &self.receive_habit, deadline };
        head.ring.try_receive(&self.memory, bytes, request, died, give_back, keep)
    }

    /// Whether a leased message may have been returned.
    #[inline]
    fn has_returned(&self) -> bool {
        self.head().returned.load(Relaxed) != 0
    }

    /// A leased message that its worker did not finish, unless it was delivered too often already.
    pub(super) fn take_returned(&self) -> Result<Option<Held>, Fault> {
        let head = self.head();
        let returned = head.returned.load(Acquire);
        if returned == 0 {
            return Ok(None);
        }
        loop {
            let Some(held) = head.leases.take_returned(&head.ring).map_err(Error::from)? else {
                // Unless one was returned while we looked, to a slot that we had passed.
                let _ = head.returned.compare_exchange(returned, 0, Relaxed, Relaxed);
                return Ok(None);
            };
            let max = head.max_attempts.load(Relaxed);
            if max == 0 || held.attempts <= max {
                return Ok(Some(held));
            }
            head.leases.bury(held.slot);
            head.ring.ring_receivers();
        }
    }

    /// Counts a message that was returned, and wakes somebody for it.
    pub(super) fn returned(&self) {
        self.head().returned.fetch_add(1, SeqCst);
        self.head().ring.ring_receivers();
    }

    /// Fetches what is not in the ring.
    pub(super) fn fetch(
        &self,
        received: &Received,
        bytes: &mut impl Sink,
        failed: &mut Option<Error>,
    ) -> bool {
        let Some((begin, len)) = received.elsewhere else { return true };
        let Some(len) = usize::try_from(len).ok().filter(|&len| len as u64 <= LONGEST) else {
            *failed = Some(corrupt());
            return false;
        };
        if let Err(error) = self.segment().read_behind(ELSEWHERE.saturating_add(begin), len, bytes) {
            *failed = Some(error);
            return false;
        }
        true
    }

    /// After a receive that found nothing: waits for something, or says why not.
    #[cold]
    pub(super) fn wait(
        &self,
        fault: ReceiveFault,
        deadline: Deadline,
        peers: Option<Side>,
        late: &mut bool,
    ) -> Result<(), Fault> {
        let head = self.head();
        match fault {
            ReceiveFault::Empty => {}
            ReceiveFault::Closed if self.others_lease() => {}
            ReceiveFault::Closed => return Err(Fault::Closed),
            ReceiveFault::Corrupt => return Err(corrupt().into()),
            ReceiveFault::Lock(fault) => return Err(Error::from(fault).into()),
        }
        if deadline.has_passed() {
            // Who never waits must hear of the dead too. Once more, for what they left, and no oftener.
            let found = self.look_for_dead(peers) || self.is_ready();
            return if found && !std::mem::replace(late, true) { Ok(()) } else { Err(Fault::NotYet) };
        }
        let closed = fault == ReceiveFault::Closed;
        let idle = || self.look_for_dead(peers) || closed;
        let also = || head.returned.load(Relaxed) != 0;
        if head.ring.wait_for_message(&self.memory, &self.receiving, deadline, also, idle, closed) {
            return Ok(());
        }
        Err(Fault::NotYet)
    }

    /// For a select: announces a sleeping receiver.
    pub(crate) fn announce_receiver(&self) -> (&AtomicU32, u32) {
        self.head().ring.announce_receiver()
    }

    /// For a select: asks who is dead, of workers and of the side that must live.
    pub(crate) fn look_for_dead(&self, peers: Option<Side>) -> bool {
        let head = self.head();
        head.leases.release_dead();
        let returned = head.leases.has_returned(&head.ring);
        if returned {
            head.returned.fetch_add(1, Relaxed);
        }
        self.is_alone(peers);
        returned
    }

    /// Waits until a receive would not wait; false when the deadline passes first.
    pub(crate) fn wait_until_ready(&self, deadline: Deadline, peers: Option<Side>) -> bool {
        let wait = || self.wait(ReceiveFault::Empty, deadline, peers, &mut false).is_ok();
        self.is_ready() || wait() && self.is_ready()
    }

    /// Whether somebody else works on a message, which may come back.
    fn others_lease(&self) -> bool {
        self.head().leases.unfinished_by_others(&self.head().ring) != 0
    }

    /// How many messages were sent and are not done.
    pub(super) fn unfinished(&self) -> usize {
        let head = self.head();
        self.len() + head.leases.unfinished(&head.ring)
    }

    /// Waits until everything is done; false if the deadline passes first.
    pub(super) fn join(&self, deadline: Deadline) -> bool {
        let head = self.head();
        let idle = || head.leases.release_dead();
        head.ring.wait_for_room(deadline, || (self.unfinished() == 0).then_some(()), idle)
    }
}

fn refused(fault: SendFault) -> Fault {
    match fault {
        SendFault::Full => Fault::NotYet,
        SendFault::Closed => Fault::Closed,
        SendFault::Lock(LockFault::OwnLock) | SendFault::Corrupt | SendFault::NotWritten => corrupt().into(),
        SendFault::Lock(fault) => Error::from(fault).into(),
        SendFault::TooLarge | SendFault::Grow(_) => {
            Error::new(ErrorKind::NoSpace, "the message fits into no ring of this queue").into()
        }
    }
}

fn corrupt() -> Error {
    let message =
        "expected a message in the queue and found bytes that are none: another process has overwritten it";
    Error::new(ErrorKind::Corrupt, message)
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {} waiting", self.segment(), self.len())?;
        if self.is_closed() { f.write_str(", closed") } else { Ok(()) }
    }
}
