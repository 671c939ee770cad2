//! Pins keep an object alive while its handle travels in a message.
//!
//! The sender counts one up in its row of the object's table and keeps a handle of its own; the receiver
//! counts one down when it has attached. A function may therefore return an object that only it holds. A
//! message that never arrives keeps its object in the sender, and counts, until that ends, unless the
//! sender hears of it:
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

use serde::{Deserialize, Serialize};

use super::{
    attach::Attachment,
    rows,
    table::{self, Segment},
};
use crate::{deadline::Deadline, raw::region::NO_SLOT, sys::futex};

thread_local! {
    /// What the running calls of [`pinning`] in this thread, one inside the other, have pinned so far.
    static PINS: RefCell<Vec<Segment>> = const { RefCell::new(Vec::new()) };
    /// The innermost running call, and the length of `PINS`: most messages hold no handle, and for them
    /// these are all that is looked at.
    static CALL: Cell<Call> = const { Cell::new(Call::None) };
    static PINNED: Cell<usize> = const { Cell::new(0) };
    /// What the running call of [`receiving`] in this thread has received so far, and how often.
    static RECEIVED: RefCell<Option<Vec<(Segment, Pin, u32)>>> = const { RefCell::new(None) };
}

/// What is done with a handle that is written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    None,
    Pinning,
    PinningFor,
    Keeping,
}

/// Where a handle in a message is counted: the slot of its sender, and the generation of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pin {
    slot: u32,
    generation: u32,
}

/// Who takes the pin of a handle in a message back, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Pinned {
    /// Not its receiver.
    No,
    /// Its receiver, when it has attached.
    Alone(Pin),
    /// Its receiver, when it has all that is in the message.
    Together(Pin),
}

/// Runs `write`, which writes a message; the objects in it stay alive until its receiver has them.
///
/// If it fails or panics, nothing stays pinned.
#[inline]
pub(crate) fn pinning<T, E>(write: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    table::release_arrived();
    let context = Context::begin(Call::Pinning);
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
    let context = Context::begin(Call::PinningFor);
    let written = write()?;
    let pins = PINS.with_borrow(|pins| pins[context.before..].iter().map(Segment::downgrade).collect());
    context.keep();
    Ok((written, Unreceived(pins)))
}

/// Reads such a message by `read`, and calls `tell` when it has arrived.
///
/// Nothing in it counts as received before all of it was read, so until `tell` the sender can take all
/// of it back. What was counted down when a receiver died on its last few instructions before `tell` is
/// taken back twice: never below zero, and only another message with the same object, on its way just
/// then, would miss it.
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
    let received = RECEIVED.take().unwrap_or_default();
    drop(collecting);
    received.iter().for_each(|(segment, pin, count)| pin.count_down(segment.attachment(), *count));
    tell();
    received.iter().for_each(|(segment, ..)| wake(segment.attachment()));
    Ok(message)
}

/// As [`pinning`], but the pins are the sender's: they last as long as what is returned, whatever
/// becomes of the receiver, and however often the message is read.
pub(crate) fn keeping<T, E>(write: impl FnOnce() -> Result<T, E>) -> Result<(T, Kept), E> {
    let context = Context::begin(Call::Keeping);
    let written = write()?;
    let kept = (PINNED.get() != context.before).then(|| Arc::new(Pins(context.take())));
    Ok((written, Kept(kept)))
}

/// The pins of a message that is written; takes them back when it goes.
#[derive(Debug, Default)]
pub(crate) struct Pins(Vec<Segment>);

impl Pins {
    /// Runs `write`, which writes a handle, and adds its pins.
    #[cold]
    pub(crate) fn add<R>(&mut self, write: impl FnOnce() -> R) -> R {
        let context = Context::begin(Call::Pinning);
        let written = write();
        self.0.append(&mut context.take());
        written
    }

    /// Leaves them to the receivers of the message, which was sent.
    #[inline]
    pub(crate) fn leave(&mut self) {
        if !self.0.is_empty() {
            table::lock().pin(std::mem::take(&mut self.0));
        }
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        self.0.iter().for_each(|segment| take_back(segment.attachment()));
    }
}

/// The pins of a message until it was received; takes them back when it goes before.
#[derive(Debug, Default)]
pub(crate) struct Unreceived(Vec<Weak<Attachment>>);

impl Unreceived {
    /// The receiver has said that it has all.
    pub(crate) fn received(mut self) {
        self.0.clear();
        table::release_arrived();
    }
}

impl Drop for Unreceived {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            self.0.iter().filter_map(Weak::upgrade).for_each(|attachment| take_back(&attachment));
            table::release_arrived();
        }
    }
}

/// The objects in a message, which stay alive as long as one of these. Most messages have none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(#[expect(dead_code, reason = "is there to be dropped")] Option<Arc<Pins>>);

/// A running [`pinning`] or [`keeping`]. Undoes the pins that are still its own.
struct Context {
    /// How many segments the calls around this one have pinned.
    before: usize,
    /// The call around this one.
    outer: Call,
}

impl Context {
    #[inline]
    fn begin(call: Call) -> Self {
        Self { before: PINNED.get(), outer: CALL.replace(call) }
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
        CALL.set(self.outer);
        if PINNED.get() != self.before {
            self.take().iter().for_each(|segment| take_back(segment.attachment()));
        }
    }
}

/// Pins a segment whose handle is written now.
pub(super) fn pin(segment: &Segment) -> Pinned {
    let (call, attachment) = (CALL.get(), segment.attachment());
    let slot = attachment.slot();
    if call == Call::None || slot == NO_SLOT {
        return Pinned::No;
    }
    rows::pin(attachment.mapping(), slot);
    attachment.tell_move();
    PINS.with_borrow_mut(|pins| pins.push(segment.clone()));
    PINNED.set(PINNED.get() + 1);
    let pin = Pin::own(attachment);
    match call {
        Call::None | Call::Keeping => Pinned::No,
        Call::Pinning => Pinned::Alone(pin),
        Call::PinningFor => Pinned::Together(pin),
    }
}

/// One pin of this process less. In a forked child it is its parent's, and stays.
fn take_back(attachment: &Attachment) {
    Pin::own(attachment).count_down(attachment, 1);
}

impl Pin {
    /// Of the calling process.
    fn own(attachment: &Attachment) -> Self {
        let slot = attachment.slot();
        Self { slot, generation: rows::generation(attachment.mapping(), slot) }
    }

    /// So many messages less.
    fn count_down(self, attachment: &Attachment, messages: u32) {
        rows::unpin(attachment.mapping(), self.slot, self.generation, messages);
        attachment.tell_move();
    }
}

/// Wakes the sender of a handle if it waits for its arrival.
fn wake(attachment: &Attachment) {
    futex::wake(attachment.moves(), futex::ALL);
}

/// A handle that was read; it counts as received when this goes.
pub(super) struct Received(Segment, Pinned);

impl Received {
    pub(super) fn new(segment: &Segment, pinned: Pinned) -> Self {
        Self(segment.clone(), pinned)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let Self(segment, pinned) = self;
        match *pinned {
            Pinned::No => {}
            Pinned::Together(pin) if collect(segment, pin) => {}
            Pinned::Alone(pin) | Pinned::Together(pin) => {
                pin.count_down(segment.attachment(), 1);
                wake(segment.attachment());
            }
        }
    }
}

/// Leaves it to the running call of [`receiving`], if there is one.
fn collect(segment: &Segment, pin: Pin) -> bool {
    let add = |received: &mut Vec<(Segment, Pin, u32)>| {
        let same =
            |(other, of, _): &&mut (Segment, Pin, u32)| other.payload() == segment.payload() && *of == pin;
        match received.iter_mut().find(same) {
            Some((_, _, count)) => *count += 1,
            None => received.push((segment.clone(), pin, 1)),
        }
    };
    RECEIVED.try_with(|received| received.borrow_mut().as_mut().map(add).is_some()).unwrap_or(false)
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
        // What arrives after this load changes the word, and then the kernel does not sleep.
        let attachment = segment.attachment();
        let seen = attachment.moves().load(Acquire);
        if attachment.own_pins() != 0 {
            futex::wait(attachment.moves(), seen, deadline.within(SLICE));
        }
    }
}
