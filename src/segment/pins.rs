//! Pins keep an object alive while its handle travels in a message.
//!
//! The sender counts one up in the header and keeps a handle of its own; the receiver counts one down
//! when it has attached. A function may therefore return an object that only it holds. A message that
//! never arrives keeps its object in the sender until that ends, unless the sender hears of it:
//!
//! | written by | the pin is taken back |
//! |---|---|
//! | [`pinning`] | by the receiver |
//! | [`pinning_for`] | by a receiver that says when it has all ([`receiving`]), or else by the sender |
//! | [`keeping`] | by the sender |

use std::{
    cell::{Cell, RefCell},
    sync::{Arc, Weak, atomic::Ordering::*},
    time::Duration,
};

use super::{
    attach::Attachment,
    table::{self, Segment},
};
use crate::{deadline::Deadline, sys::futex};

thread_local! {
    /// What the running calls of [`pinning`] in this thread, one inside the other, have pinned so far.
    static PINS: RefCell<Vec<Segment>> = const { RefCell::new(Vec::new()) };
    /// How many calls are running, and the length of `PINS`: most messages hold no handle, and for them
    /// these are all that is looked at.
    static RUNNING: Cell<usize> = const { Cell::new(0) };
    static PINNED: Cell<usize> = const { Cell::new(0) };
    /// The innermost running call is one of [`keeping`].
    static KEEPING: Cell<bool> = const { Cell::new(false) };
    /// What the running call of [`receiving`] in this thread has received so far.
    static RECEIVED: RefCell<Option<Vec<Segment>>> = const { RefCell::new(None) };
}

/// Runs `write`, which writes a message; the objects in it stay alive until its receiver has them.
///
/// If it fails or panics, nothing stays pinned.
#[inline]
pub(crate) fn pinning<T, E>(write: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    table::release_arrived();
    let context = Context::begin(false);
    let written = write();
    if written.is_ok() {
        context.keep();
    }
    written
}

/// As [`pinning`], and whether anything was pinned.
pub(crate) fn pinning_any<T, E>(write: impl FnOnce() -> Result<T, E>) -> Result<(T, bool), E> {
    pinning(|| {
        let before = PINNED.get();
        write().map(|written| (written, PINNED.get() != before))
    })
}

/// As [`pinning`], for a message to one receiver that reads it in [`receiving`], and for which there is
/// somebody who hears of its end.
pub(crate) fn pinning_for<T, E>(write: impl FnOnce() -> Result<T, E>) -> Result<(T, Unreceived), E> {
    pinning(|| {
        let before = PINNED.get();
        let written = write()?;
        let pins = PINS.with_borrow(|pins| pins[before..].iter().map(Segment::downgrade).collect());
        Ok((written, Unreceived(pins)))
    })
}

/// Reads such a message by `read`, and calls `tell` when it has arrived.
///
/// Nothing in it counts as received before all of it was read, so until `tell` the sender can take all
/// of it back. Only who dies between the two takes something back twice; what a count is below zero then
/// is left out, and only another message with the same object, on its way just then, would miss it.
pub(crate) fn receiving<T, E>(read: impl FnOnce() -> Result<T, E>, tell: impl FnOnce()) -> Result<T, E> {
    /// Also after a panic.
    struct Collecting;
    impl Drop for Collecting {
        fn drop(&mut self) {
            RECEIVED.set(None);
        }
    }
    RECEIVED.set(Some(Vec::new()));
    let collecting = Collecting;
    let message = read()?;
    let received = RECEIVED.take();
    drop(collecting);
    received.iter().flatten().for_each(|segment| unpin(segment.attachment()));
    tell();
    Ok(message)
}

/// As [`pinning`], but the pins are the sender's: they last as long as what is returned, whatever
/// becomes of the receiver, and however often the message is read.
pub(crate) fn keeping<T, E>(write: impl FnOnce() -> Result<T, E>) -> Result<(T, Kept), E> {
    let context = Context::begin(true);
    let written = write()?;
    let kept = (PINNED.get() != context.before).then(|| Arc::new(Pins(context.take())));
    Ok((written, Kept(kept)))
}

/// The pins of a message until it was received; takes them back when it goes before.
#[derive(Debug, Default)]
pub(crate) struct Unreceived(Vec<Weak<Attachment>>);

impl Unreceived {
    /// The receiver has said that it has all.
    pub(crate) fn received(mut self) {
        self.0.clear();
    }
}

impl Drop for Unreceived {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            self.0.iter().filter_map(Weak::upgrade).for_each(|attachment| unpin(&attachment));
            table::release_arrived();
        }
    }
}

/// The objects in a message, which stay alive as long as one of these. Most messages have none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(#[expect(dead_code, reason = "is there to be dropped")] Option<Arc<Pins>>);

#[derive(Debug)]
struct Pins(Vec<Segment>);

impl Drop for Pins {
    fn drop(&mut self) {
        self.0.iter().for_each(|segment| unpin(segment.attachment()));
    }
}

/// A running [`pinning`] or [`keeping`]. Undoes the pins that are still its own.
struct Context {
    /// How many segments the calls around this one have pinned.
    before: usize,
    /// Whether the call around this one is a [`keeping`].
    outer: bool,
}

impl Context {
    #[inline]
    fn begin(keeping: bool) -> Self {
        RUNNING.set(RUNNING.get() + 1);
        Self { before: PINNED.get(), outer: KEEPING.replace(keeping) }
    }

    /// Leaves the pins to the receivers of the message.
    #[inline]
    fn keep(&self) {
        if PINNED.get() != self.before {
            table::lock().pin(self.take());
        }
    }

    #[cold]
    fn take(&self) -> Vec<Segment> {
        PINNED.set(self.before);
        PINS.with_borrow_mut(|pins| pins.split_off(self.before))
    }
}

impl Drop for Context {
    #[inline]
    fn drop(&mut self) {
        RUNNING.set(RUNNING.get() - 1);
        KEEPING.set(self.outer);
        if PINNED.get() != self.before {
            self.take().iter().for_each(|segment| unpin(segment.attachment()));
        }
    }
}

/// Pins a segment whose handle is written now; whether its receiver is to take that back.
pub(super) fn pin(segment: &Segment) -> bool {
    let pinning = RUNNING.get() != 0;
    if pinning {
        segment.attachment().pins().fetch_add(1, AcqRel);
        PINS.with_borrow_mut(|pins| pins.push(segment.clone()));
        PINNED.set(PINNED.get() + 1);
    }
    // Who keeps does not leave it to the receiver.
    pinning && !KEEPING.get()
}

/// One message less. Never below zero: a message that is read twice must not undo another's pin.
fn unpin(attachment: &Attachment) {
    let pins = attachment.pins();
    let _ = pins.fetch_update(AcqRel, Acquire, |pins| pins.checked_sub(1));
    futex::wake(pins, futex::ALL);
}

/// A handle that its receiver is to count down; it does when this goes.
pub(super) struct Received(Segment);

impl Received {
    pub(super) fn new(segment: &Segment) -> Self {
        Self(segment.clone())
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        RECEIVED.with_borrow_mut(|received| match received {
            Some(received) => received.push(self.0.clone()),
            None => unpin(self.0.attachment()),
        });
    }
}

/// Whether something that this process pinned has not arrived yet.
pub(crate) fn has_pins() -> bool {
    table::release_arrived();
    table::lock().first_pinned().is_some()
}

/// Waits until the receivers have everything that this process pinned; false if it gave up.
///
/// It gives up at the deadline, and when `receiver_lives` says no.
pub(crate) fn wait_for_pins(deadline: Deadline, receiver_lives: &mut dyn FnMut() -> bool) -> bool {
    const SLICE: Duration = Duration::from_millis(50);
    loop {
        table::release_arrived();
        let Some(segment) = table::lock().first_pinned() else { return true };
        if deadline.has_passed() || !receiver_lives() {
            return false;
        }
        let pins = segment.attachment().pins();
        match pins.load(Acquire) {
            0 => {}
            seen => _ = futex::wait(pins, seen, deadline.within(SLICE)),
        }
    }
}
