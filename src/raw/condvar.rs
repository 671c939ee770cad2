//! Waiting for a change of what a lock protects.
//!
//! One word holds three numbers: how many wait, how many of them may go (`grants`), and a `turn` that
//! each notification counts up. A waiter enters itself while it holds the lock and notes the turn; it
//! may go when the turn is another and it has taken a grant. Grants are not addressed: the one for a
//! waiter that was killed in that moment is taken by the next that looks, which sleepers do after
//! each slice. So a notification is lost with nobody who is killed, and nobody waits for an answer
//! from those it wakes. One that began to wait after a notification may take its grant. A killed waiter leaves `waiting` too high by one; then a later notification may let one go too
//! many, a spurious wake-up as with std's.
//!
//! | step | if the waiter dies after it |
//! |---|---|
//! | `waiting + 1` | counted for ever; costs spurious wake-ups |
//! | lock released, asleep | the same |
//! | woken, grant not taken | the grant goes to another waiter |
//! | grant taken, `waiting - 1` (one step) | it went: the notification is spent on a dead one, as if it had died inside the lock |

use super::bell::Bell;
use crate::{
    deadline::Deadline,
    primitive::{AtomicU64, Ordering::*},
};

/// All zeroes: nobody waits.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct RawCondvar {
    bell: Bell,
    word: AtomicU64,
}

/// The numbers in the word.
#[derive(Clone, Copy)]
struct Word {
    waiting: u16,
    grants: u16,
    turn: u32,
}

impl Word {
    fn of(bits: u64) -> Self {
        Self { waiting: bits as u16, grants: (bits >> 16) as u16, turn: (bits >> 32) as u32 }
    }

    fn bits(self) -> u64 {
        u64::from(self.waiting) | u64::from(self.grants) << 16 | u64::from(self.turn) << 32
    }

    /// One waiter less, and no more grants than waiters.
    fn without_one(self) -> Self {
        let waiting = self.waiting.saturating_sub(1);
        Self { waiting, grants: self.grants.min(waiting), ..self }
    }
}

impl RawCondvar {
    pub(crate) const fn new() -> Self {
        Self { bell: Bell::new(), word: AtomicU64::new(0) }
    }

    /// Nobody waits.
    pub(crate) fn empty(&mut self) {
        *self = Self::new();
    }

    fn change(&self, change: impl Fn(Word) -> Option<Word>) -> Option<Word> {
        let bits = self.word.fetch_update(SeqCst, Relaxed, |bits| change(Word::of(bits)).map(Word::bits));
        bits.ok().map(Word::of)
    }

    /// Enters the caller, which holds the lock; the turn to pass to [`RawCondvar::wait`].
    pub(crate) fn enter(&self) -> u32 {
        let enter = |word: Word| {
            // Grants that nobody was there to take are void.
            let grants = if word.waiting == 0 { 0 } else { word.grants };
            Some(Word { waiting: word.waiting.saturating_add(1), grants, ..word })
        };
        self.change(enter).map_or(0, |word| word.turn)
    }

    /// Sleeps until a notification after `turn` lets the caller go; false if the deadline passes first.
    /// The caller has entered and released the lock.
    pub(crate) fn wait(&self, turn: u32, deadline: Deadline) -> bool {
        let go = || {
            let go = |word: Word| {
                let may = word.turn != turn && word.grants != 0;
                may.then(|| Word { grants: word.grants - 1, ..word }.without_one())
            };
            self.change(go).map(drop)
        };
        let notified = self.bell.wait(deadline, go, || {}).is_some();
        if !notified {
            self.change(|word| Some(word.without_one()));
        }
        notified
    }

    /// Lets up to `count` of those go that wait now.
    pub(crate) fn notify(&self, count: u32) {
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        let grant = |word: Word| {
            let grants = word.grants.saturating_add(count).min(word.waiting);
            (word.waiting != 0).then(|| Word { grants, turn: word.turn.wrapping_add(1), ..word })
        };
        if self.change(grant).is_some() {
            self.bell.ring(count.into());
        }
    }
}
