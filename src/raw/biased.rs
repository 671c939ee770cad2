//! A lock that one thread takes again and again without a locked instruction.
//!
//! A compare-exchange costs twenty cycles and waits until everything that was written before has arrived;
//! of a message that is a third. So a thread that takes this lock often keeps it when it leaves, and
//! enters and leaves by plain stores to a counter of its own, in its *seat*. Anybody else takes the lock
//! away first. After Kawachiya, Koseki and Onodera, *Lock Reservation* (OOPSLA 2002).
//!
//! | word | the keeper's counter | means | if the keeper dies here | if another dies here |
//! |---|---|---|---|---|
//! | as in `mutex` | even | an ordinary lock | – | as in `mutex` |
//! | KEPT + keeper | even | the keeper may enter | the next one finds nobody inside | – |
//! | KEPT + keeper | odd | the keeper is inside | the next one proves the death, and is told | – |
//! | `tid` of another | odd | it takes the lock away, and waits for even | the same | the kernel writes OWNER_DIED: the next one waits too |
//!
//! Who gives up waiting puts the word back as it was, or leaves OWNER_DIED if it has found a death.
//!
//! **Why no two are inside.** The keeper makes its counter odd and then looks at the word; the other
//! changes the word, makes every processor execute a barrier (`sys::barrier`) and then looks at the
//! counters. Either the keeper sees that the word has changed and makes its counter even again, or the
//! other sees it odd and waits. A counter is stored by the thread that has the seat alone, which may do so
//! at any later time; so nobody gets the seat before that thread is dead. A free word needs no look at the
//! counters: whoever released it has looked, and only a thread itself makes the word KEPT + it.
//!
//! **Who waits for whom.** Where many want the lock, a keeper at work is left alone for a while: between
//! two processors a lock that changes hands with each message is two to three times as slow as one that
//! stays.

use std::time::Duration;

use super::{
    backoff::{self, Backoff},
    habit::Habit,
    held::Thread,
    mutex::{Acquired, KEPT, LockFault, RawMutex},
    region,
};
use crate::{
    deadline::Deadline,
    primitive::{
        AtomicU32, AtomicU64,
        Ordering::{self, *},
        fence, sleep,
    },
    sys::{barrier, robust::OWNER_DIED},
};

/// So many threads can keep it in turn; others have an ordinary lock.
const SEATS: usize = 5;

/// A lock that survives the death of its owner at any instruction. All zeroes is a free one.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct BiasedMutex {
    raw: RawMutex,
    /// Whose each seat is: its attachment slot (16 bits), when it was born (16 bits), and its thread id.
    /// Written by the holder.
    sitters: [AtomicU64; SEATS],
    /// How often each has come or gone. Odd: it is inside, or about to see that it may not be.
    counters: [AtomicU32; SEATS],
}

/// How a lock is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) habit: &'a Habit,
    pub(crate) deadline: Deadline,
}

/// That its keeper is inside: in this seat, whose counter this is meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the lock is held until it is left"]
pub(crate) struct Entered {
    seat: usize,
    counter: u32,
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the lock is held until it is unlocked"]
pub(crate) enum Hold {
    Entered(Entered),
    Locked(Acquired),
}

impl Hold {
    /// Whether the last owner died inside.
    pub(crate) fn is_after_a_death(self) -> bool {
        self == Self::Locked(Acquired::OwnerDied)
    }
}

/// How long it is held at the most, on a busy machine.
const INSTANT: Duration = Duration::from_millis(100);

/// So long a keeper at work is left alone. Twice as often as parking_lot's locks change hands.
const PATIENCE: Duration = Duration::from_micros(250);

/// So many keepers in turn, who took it from each other.
const TURNS: u32 = 4;

/// In so many ticks (a microsecond) a keeper at work comes or goes.
const A_MOMENT: u32 = 40;

/// How long a keeper that does not leave at once is left alone between two looks.
const NAP: Duration = Duration::from_micros(100);

/// After so long everything that was stored before is seen, where no barrier can be had.
const LONG_AGO: Duration = Duration::from_millis(10);

impl BiasedMutex {
    pub(crate) const fn new() -> Self {
        Self {
            raw: RawMutex::new(),
            sitters: [const { AtomicU64::new(0) }; SEATS],
            counters: [const { AtomicU32::new(0) }; SEATS],
        }
    }

    /// One of two words beside the lock for whoever builds on it. Written by the holder.
    #[inline]
    pub(crate) fn spare(&self, which: usize) -> &AtomicU32 {
        self.raw.spare(which)
    }

    /// Enters a lock that the calling thread keeps; nobody has died inside. Who cannot enter locks anew.
    #[inline(always)]
    pub(crate) fn enter(&self, habit: &Habit) -> Option<Entered> {
        let (seat, thread) = (habit.seat(), Thread::current());
        // A thread that has been forked finds no segment.
        let slot = thread.recent_slot(self.raw.address())?;
        if seat >= SEATS || self.sitters[seat].load(Relaxed) != name(slot, thread) {
            return None;
        }
        let outside = self.counters[seat].load(Relaxed);
        if is_inside(outside) {
            // This thread itself, in a signal handler, or one that died and had the same id.
            return None;
        }
        let counter = self.step(seat, outside);
        barrier::light();
        if self.raw.word_is(KEPT | thread.tid()) {
            return Some(Entered { seat, counter });
        }
        self.step(seat, counter);
        None
    }

    #[inline(always)]
    pub(crate) fn leave(&self, Entered { seat, counter }: Entered) {
        // In a child that was forked meanwhile the seat is its parent's.
        if self.sitters[seat].load(Relaxed) as u32 == Thread::current().tid() {
            self.step(seat, counter);
        }
    }

    /// Enters, or takes the lock anew.
    pub(crate) fn lock(&self, request: Request<'_>) -> Result<Hold, LockFault> {
        match self.enter(request.habit) {
            Some(entered) => Ok(Hold::Entered(entered)),
            None => self.lock_anew(request).map(Hold::Locked),
        }
    }

    pub(crate) fn unlock(&self, habit: &Habit, hold: Hold) {
        match hold {
            Hold::Entered(entered) => self.leave(entered),
            Hold::Locked(_) => self.unlock_anew(habit),
        }
    }

    /// Takes the lock if it is free within the time, and one that a living thread holds also when the
    /// deadline passes in that instant. One that a stopped process holds it does not wait for.
    pub(crate) fn lock_anew(&self, request: Request<'_>) -> Result<Acquired, LockFault> {
        request.habit.notice_loss(|seat| self.counters[seat].load(Relaxed));
        if self.raw.lock_free_one() {
            return Ok(Acquired::Released);
        }
        self.lock_contended(request.deadline)
    }

    /// Gives back what was locked anew, or keeps it where that has become a habit.
    pub(crate) fn unlock_anew(&self, habit: &Habit) {
        if !habit.is_formed() {
            self.raw.unlock();
            return;
        }
        let seat = self.take_seat();
        // First as ever, since of a lock that is free the kernel knows whom to wake if this thread dies.
        self.raw.unlock();
        match seat.filter(|_| self.raw.keep_free_one(KEPT | Thread::current().tid())) {
            Some(seat) => habit.keep(seat, self.counters[seat].load(Relaxed)),
            None => habit.lose(),
        }
    }

    /// Takes the lock if nobody is inside. It is given back by [`BiasedMutex::release`].
    pub(crate) fn try_lock(&self) -> Result<Acquired, LockFault> {
        if self.is_own() {
            return Err(LockFault::OwnLock);
        }
        match self.raw.try_lock() {
            Err(LockFault::Held) => self.take_away(Deadline::NOW)?.ok_or(LockFault::Held),
            taken => self.after(taken?, Deadline::NOW),
        }
    }

    pub(crate) fn release(&self) {
        self.raw.unlock();
    }

    /// The calling thread, whose seat this is and who has read or stored this counter last, comes or goes;
    /// the counter then. Nobody else stores it, so it is not read again in between.
    #[inline(always)]
    fn step(&self, seat: usize, counter: u32) -> u32 {
        let next = counter.wrapping_add(1);
        self.counters[seat].store(next, Release);
        next
    }

    fn is_inside(&self, seat: usize, order: Ordering) -> bool {
        is_inside(self.counters[seat].load(order))
    }

    #[cold]
    fn lock_contended(&self, deadline: Deadline) -> Result<Acquired, LockFault> {
        if self.is_own() {
            return Err(LockFault::OwnLock);
        }
        let end = deadline.or_after(INSTANT);
        let mut turns = if deadline.within(PATIENCE * TURNS) == deadline { 0 } else { TURNS };
        let mut last = 0;
        loop {
            match self.raw.lock_contended::<true>(end) {
                Err(LockFault::Held) => {
                    let keeper = self.raw.word();
                    if turns != 0 && keeper != last && self.is_at_work() {
                        (turns, last) = (turns - 1, keeper);
                        sleep(PATIENCE);
                    } else if let Some(acquired) = self.take_away(end)? {
                        return Ok(acquired);
                    }
                }
                taken => return self.after(taken?, end),
            }
        }
    }

    /// Whether the calling thread is inside already.
    fn is_own(&self) -> bool {
        let thread = Thread::current();
        let name = thread.recent_slot(self.raw.address()).map(|slot| name(slot, thread));
        name.is_some_and(|name| self.seat_of(name).is_some_and(|seat| self.is_inside(seat, Relaxed)))
    }

    fn seat_of(&self, name: u64) -> Option<usize> {
        (0..SEATS).find(|&seat| self.sitters[seat].load(Relaxed) == name)
    }

    /// Whether anybody comes or goes just now.
    fn is_at_work(&self) -> bool {
        let steps =
            || self.counters.iter().fold(0, |sum: u32, counter| sum.wrapping_add(counter.load(Relaxed)));
        let before = steps();
        backoff::pause(A_MOMENT);
        steps() != before
    }

    /// Who died may have been taking the lock away from a keeper that is inside.
    fn after(&self, acquired: Acquired, deadline: Deadline) -> Result<Acquired, LockFault> {
        if acquired == Acquired::OwnerDied {
            let _ = self.wait_until_outside(OWNER_DIED, deadline)?;
        }
        Ok(acquired)
    }

    /// Takes the lock from who keeps it; `None` if nobody does any more.
    fn take_away(&self, deadline: Deadline) -> Result<Option<Acquired>, LockFault> {
        let kept = self.raw.word();
        if kept & KEPT == 0 || !self.raw.take_kept(kept)? {
            return Ok(None);
        }
        self.wait_until_outside(kept, deadline).map(Some)
    }

    /// The calling thread has the word and waits until nobody else is inside or alive. When the deadline
    /// passes first, it puts the word back as it was.
    fn wait_until_outside(&self, before: u32, deadline: Deadline) -> Result<Acquired, LockFault> {
        if !barrier::heavy() {
            sleep(LONG_AGO);
        }
        let (mut backoff, mut acquired) = (Backoff::new(), Acquired::Released);
        // Who has been seen outside once finds out that the word has changed.
        for seat in 0..SEATS {
            while self.is_inside(seat, Acquire) {
                let looks = backoff.look_again();
                if looks && !backoff.lets_others_run() {
                    continue;
                }
                if self.is_empty(seat) {
                    // What it has stored came before its death, and what follows here after the proof.
                    fence(SeqCst);
                    self.clear(seat, 0);
                    acquired = Acquired::OwnerDied;
                } else if deadline.has_passed() {
                    // Nobody has mended anything yet.
                    let died = acquired == Acquired::OwnerDied;
                    self.raw.unlock_leaving(if died { OWNER_DIED } else { before }, 1);
                    return Err(LockFault::TimedOut);
                } else if !looks {
                    sleep(NAP);
                }
            }
        }
        Ok(acquired)
    }

    /// Whether the thread that had this seat has no more stores to come.
    fn is_empty(&self, seat: usize) -> bool {
        let sitter = self.sitters[seat].load(Relaxed);
        let (slot, tid) = ((sitter >> 48) as u32, sitter as u32);
        // The calling thread is here: it was another one that had its id.
        if tid == 0 || tid == Thread::current().tid() {
            return true;
        }
        region::peers_of(self.raw.address()).is_some_and(|peers| peers.member_is_gone(slot, tid))
    }

    /// Gives an empty seat to another thread, or to nobody.
    fn clear(&self, seat: usize, sitter: u64) {
        self.sitters[seat].store(sitter, Relaxed);
        let counter = self.counters[seat].load(Relaxed);
        if is_inside(counter) {
            self.step(seat, counter);
        }
    }

    /// The seat of the calling thread, which holds the lock, or one that was empty.
    fn take_seat(&self) -> Option<usize> {
        let thread = Thread::current();
        let slot = thread.recent_slot(self.raw.address())?;
        if !barrier::is_registered() || thread.tid() >= KEPT {
            return None;
        }
        let name = name(slot, thread);
        if let Some(own) = self.seat_of(name) {
            return Some(own);
        }
        for seat in 0..SEATS {
            // Of one that had the same id, and would be taken for this one by its id in the word.
            if self.sitters[seat].load(Relaxed) as u32 == thread.tid() {
                self.clear(seat, 0);
            }
        }
        let seat = self.seat_of(0).or_else(|| (0..SEATS).find(|&seat| self.is_empty(seat)))?;
        self.clear(seat, name);
        Some(seat)
    }
}

#[inline(always)]
fn is_inside(counter: u32) -> bool {
    !counter.is_multiple_of(2)
}

/// What tells a thread from all that live, and from nearly all that had its id before.
#[inline]
fn name(slot: u32, thread: &Thread) -> u64 {
    u64::from(slot) << 48 | u64::from(thread.birth()) << 32 | u64::from(thread.tid())
}
