//! Waiting for a change of what a lock protects.

use std::rc::Rc;

use crate::{
    deadline::Deadline,
    primitive::{AtomicU32, Ordering::Relaxed},
    raw::{condvar::RawCondvar, mutex::RawMutex},
    scene::{Death, deaths, schedules, shared, spawn},
};

/// A number under a lock, and a condvar that tells of its changes.
#[derive(Debug)]
struct Stock {
    lock: RawMutex,
    changed: RawCondvar,
    /// Relaxed, because the lock orders it.
    goods: AtomicU32,
}

impl Stock {
    fn empty() -> Rc<Self> {
        shared(Self { lock: RawMutex::new(), changed: RawCondvar::new(), goods: AtomicU32::new(0) })
    }

    /// Takes one when there is one.
    fn take(&self) {
        let _ = self.lock.lock().unwrap();
        while self.goods.load(Relaxed) == 0 {
            let turn = self.changed.enter();
            self.lock.unlock();
            assert!(self.changed.wait(turn, Deadline::NEVER));
            let _ = self.lock.lock().unwrap();
        }
        self.goods.store(self.goods.load(Relaxed) - 1, Relaxed);
        self.lock.unlock();
    }

    fn put(&self, goods: u32) {
        let _ = self.lock.lock().unwrap();
        self.goods.store(self.goods.load(Relaxed) + goods, Relaxed);
        self.lock.unlock();
        self.changed.notify(goods);
    }
}

/// No notification is lost between the release of the lock and the sleep.
#[test]
fn a_notification_reaches_who_waits() {
    schedules(|| {
        let stock = Stock::empty();
        let waiting = spawn({
            let stock = stock.clone();
            move || stock.take()
        });
        stock.put(1);
        waiting.join().unwrap();
    });
}

/// Two are let go by one notification of two, or by two of one.
#[test]
fn each_gets_a_grant() {
    schedules(|| {
        let stock = Stock::empty();
        let waiting = [1, 2].map(|_| {
            let stock = stock.clone();
            spawn(move || stock.take())
        });
        stock.put(1);
        stock.put(1);
        waiting.into_iter().for_each(|waiting| waiting.join().unwrap());
    });
}

/// One that gives up takes nobody's notification with it, unless it was its own.
#[test]
fn giving_up_takes_no_grant() {
    schedules(|| {
        let stock = Stock::empty();
        let hasty = spawn({
            let stock = stock.clone();
            move || {
                let _ = stock.lock.lock().unwrap();
                let turn = stock.changed.enter();
                stock.lock.unlock();
                if stock.changed.wait(turn, Deadline::NOW) {
                    // It was let go: what it was told of is the next one's.
                    stock.changed.notify(1);
                }
            }
        });
        let waiting = spawn({
            let stock = stock.clone();
            move || stock.take()
        });
        stock.put(1);
        waiting.join().unwrap();
        hasty.join().unwrap();
    });
}

/// A waiter that dies, wherever, leaves to the others what they were told.
#[test]
fn a_dead_waiter_keeps_nobody_waiting() {
    deaths(Death::MarkedAndTimed, |victim| {
        let stock = Stock::empty();
        let dying = victim.spawn({
            let stock = stock.clone();
            move || stock.take()
        });
        let waiting = spawn({
            let stock = stock.clone();
            move || stock.take()
        });
        stock.put(2);
        waiting.join().unwrap();
        dying.join().unwrap();
    });
}

/// A notifier that dies has notified or not; if it has, sleepers see it.
#[test]
fn a_dead_notifiers_grant_is_seen() {
    deaths(Death::MarkedAndTimed, |victim| {
        let stock = Stock::empty();
        let waiting = spawn({
            let stock = stock.clone();
            move || stock.take()
        });
        let dying = victim.spawn({
            let stock = stock.clone();
            move || stock.put(1)
        });
        if dying.join().unwrap().is_none() {
            stock.put(1);
        }
        waiting.join().unwrap();
    });
}
