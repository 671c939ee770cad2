//! What a pool and its workers tell each other besides tasks and results: one page of words.
//!
//! Each worker has a *desk*. What lies on it says which tasks a dead worker had:
//!
//! | step of the worker | `place` | `order` | `begun` | if it dies here |
//! |---|---|---|---|---|
//! | before it takes an order | 0 | any | 0 | it has none |
//! | it writes which one, and where it stood | place + 1 | number | 0 | it has it if the ring's head has passed the place |
//! | it begins a task | | | task + 1 | that task is lost unless its result was sent; those after it were not begun |
//! | the pool condemns it | | | `CONDEMNED` + task + 1 | the same; it begins no other task, and takes no other order |
//!
//! Places only grow, so a place that the head has passed was passed by this worker, unless it died just
//! before and another one took what stood there. That one, which holds the ring's lock, knows by `noted`
//! who was there before it, and wipes the place from the dead worker's desk before the head moves. So who
//! sees that the head has passed looks at the place once more.

use std::sync::atomic::{AtomicU64, Ordering::*};

use commons_derive::Shareable;

/// A pool has no more workers than this: a segment takes 256 processes.
pub(super) const MOST_WORKERS: usize = 240;

/// So many calls can be called off one by one while their tasks are on their way. Workers do not know of the
/// others when they end: they make their states anew where they have to.
const CALLS: usize = 1024;

/// The words of a pool.
#[derive(Debug, Shareable)]
#[repr(C)]
pub(super) struct Control {
    /// The numbers of calls that go on; 0 is none. An order says at which place its call is.
    calls: [AtomicU64; CALLS],
    /// Who has last said that it takes an order: the order's number, and in the low byte the desk.
    noted: AtomicU64,
    _reserved: [AtomicU64; 7],
    desks: [Desk; MOST_WORKERS],
}

/// The words of a worker, on a cache line of their own. Words and no arrays of them: an array of arrays would
/// describe each element by itself, and every worker reads the description.
#[derive(Debug, Shareable)]
#[repr(C, align(64))]
pub(super) struct Desk {
    place: AtomicU64,
    order: AtomicU64,
    begun: AtomicU64,
    /// When the task was begun that was begun last, in nanoseconds of the monotonic clock, if it is timed.
    since: AtomicU64,
    /// It has come to its first order.
    ready: AtomicU64,
    /// An allocation has failed.
    exhausted: AtomicU64,
}

/// No further task may be begun here.
const CONDEMNED: u64 = 1 << 63;

impl Control {
    pub(super) fn new() -> Self {
        let word = || AtomicU64::new(0);
        let desk = |_| Desk {
            place: word(),
            order: word(),
            begun: word(),
            since: word(),
            ready: word(),
            exhausted: word(),
        };
        Self {
            calls: [0; CALLS].map(AtomicU64::new),
            noted: word(),
            _reserved: [0; 7].map(AtomicU64::new),
            desks: std::array::from_fn(desk),
        }
    }

    /// The desk with this number; a damaged number is that of another desk.
    pub(super) fn desk(&self, number: usize) -> &Desk {
        &self.desks[number % MOST_WORKERS]
    }

    /// The worker at this desk is about to take this order, and holds the lock of the orders; false if it
    /// may not.
    pub(super) fn take(&self, desk: u32, place: u64, order: u64) -> bool {
        let own = self.desk(desk as usize);
        if !own.clean() {
            return false;
        }
        let noted = self.noted.load(Acquire);
        if noted >> 8 == order {
            self.desk((noted & 0xff) as usize).wipe(place);
        }
        self.noted.store(order << 8 | u64::from(desk), Release);
        own.write(place, order);
        true
    }

    /// A call begins; its place, or `None` if all are taken: then it cannot be called off in the workers.
    pub(super) fn open_call(&self, call: u64) -> Option<u16> {
        let taken = |place: &AtomicU64| {
            place.load(Relaxed) == 0 && place.compare_exchange(0, call, Relaxed, Relaxed).is_ok()
        };
        self.calls.iter().position(taken).map(|place| place as u16)
    }

    /// No task of this call needs to be begun any more.
    pub(super) fn end_call(&self, call: u64) {
        let place = self.calls.iter().find(|place| place.load(Relaxed) == call);
        if let Some(place) = place {
            place.store(0, Relaxed);
        }
    }

    /// Whether the call at this place goes on; a damaged number is another place.
    pub(super) fn is_open(&self, call: u64, place: u16) -> bool {
        self.calls[usize::from(place) % CALLS].load(Relaxed) == call
    }
}

/// What a worker was at when it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Legacy {
    pub(super) order: u64,
    /// The task that it had begun last.
    pub(super) begun: Option<u32>,
    pub(super) condemned: bool,
    pub(super) exhausted: bool,
}

impl Desk {
    /// Becomes 1 when an allocation fails.
    pub(super) fn exhausted(&self) -> &AtomicU64 {
        &self.exhausted
    }

    /// The worker is there.
    pub(super) fn open(&self) {
        self.ready.store(1, Release);
    }

    pub(super) fn is_open(&self) -> bool {
        self.ready.load(Acquire) != 0
    }

    /// The worker has nothing; false if it may not take anything.
    fn clean(&self) -> bool {
        self.place.store(0, Release);
        self.begun.swap(0, AcqRel) & CONDEMNED == 0
    }

    /// The worker is about to take this order.
    fn write(&self, place: u64, order: u64) {
        self.order.store(order, Relaxed);
        self.place.store(place.wrapping_add(1), Release);
    }

    /// The worker died before it took what stood at this place.
    fn wipe(&self, place: u64) {
        let _ = self.place.compare_exchange(place.wrapping_add(1), 0, AcqRel, Relaxed);
    }

    /// Where the order stands or stood that the worker said it takes.
    pub(super) fn place(&self) -> Option<u64> {
        self.place.load(Acquire).checked_sub(1)
    }

    /// The worker is about to begin this task; false if it may not.
    pub(super) fn begin(&self, task: u32, now: Option<u64>) -> bool {
        let before = self.begun.load(Relaxed);
        if let Some(now) = now {
            self.since.store(now, Relaxed);
        }
        let begun = u64::from(task) + 1;
        before & CONDEMNED == 0 && self.begun.compare_exchange(before, begun, AcqRel, Relaxed).is_ok()
    }

    /// The order and the task that the worker began last, and when.
    pub(super) fn current(&self) -> Option<(u64, u32, u64)> {
        let begun = self.begun.load(Acquire);
        let task = u32::try_from(begun.checked_sub(1)?).ok()?;
        Some((self.order.load(Relaxed), task, self.since.load(Relaxed)))
    }

    /// The worker begins nothing after this task; false if it has begun another, or was condemned.
    pub(super) fn condemn(&self, task: u32) -> bool {
        let begun = u64::from(task) + 1;
        self.begun.compare_exchange(begun, CONDEMNED | begun, AcqRel, Relaxed).is_ok()
    }

    /// What the worker, which is dead, has left. The desk is free afterwards.
    pub(super) fn clear(&self) -> Option<Legacy> {
        self.ready.store(0, Relaxed);
        let exhausted = self.exhausted.swap(0, Relaxed) != 0;
        let begun = self.begun.swap(0, Acquire);
        self.place.swap(0, Acquire).checked_sub(1)?;
        let task = (begun & !CONDEMNED).checked_sub(1).and_then(|task| u32::try_from(task).ok());
        let order = self.order.load(Relaxed);
        Some(Legacy { order, begun: task, condemned: begun & CONDEMNED != 0, exhausted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condemned_worker_begins_nothing_else() {
        let control = Control::new();
        let desk = control.desk(3);
        assert!(control.take(3, 0, 7) && desk.begin(0, Some(5)));
        assert_eq!(desk.current(), Some((7, 0, 5)));
        assert!(!desk.condemn(1), "another task than it is at");
        assert!(desk.condemn(0));
        assert!(!desk.begin(1, None));
        let left = Legacy { order: 7, begun: Some(0), condemned: true, exhausted: false };
        assert_eq!(desk.clear(), Some(left));
        assert_eq!(desk.clear(), None);
        assert!(control.take(3, 9, 8) && desk.begin(0, None) && desk.condemn(0));
        assert!(!control.take(3, 10, 9), "nor does it take another order");
    }

    #[test]
    fn an_order_that_a_dead_worker_was_about_to_take_is_the_next_ones() {
        let control = Control::new();
        assert!(control.take(1, 40, 7));
        // It dies, and so does the second one that comes for the order; the third takes it.
        assert!(control.take(2, 40, 7) && control.take(0, 40, 7));
        assert_eq!([1, 2].map(|desk| control.desk(desk).clear()), [None, None]);
        assert_eq!(control.desk(0).clear().map(|legacy| legacy.order), Some(7));
        // What stood elsewhere was taken before.
        assert!(control.take(1, 50, 8) && control.take(2, 60, 9));
        assert_eq!(control.desk(1).place(), Some(50));
    }

    #[test]
    fn a_call_that_is_called_off_takes_no_other_with_it() {
        let control = Control::new();
        let places: Vec<_> = (1..=CALLS as u64).map(|call| control.open_call(call).unwrap()).collect();
        assert_eq!(control.open_call(5000), None, "all places are taken");
        control.end_call(5000);
        let open = |call: usize| control.is_open(call as u64, places[call - 1]);
        assert!((1..=CALLS).all(open));
        control.end_call(5);
        assert!(!open(5) && open(6));
        assert_eq!(control.open_call(5001), Some(places[4]));
        assert!(!open(5) && control.is_open(5001, places[4]));
    }
}
