//! Handles in messages.
//!
//! A handle is written as the place where its object can be found: the descriptor of the sender, and
//! the path if there is a name. Both are only hints. Device, inode and a random id say which object
//! is meant, and whatever differs in one of them is another object: the handle is `Gone`.
//!
//! **Pins** keep an object alive while its handle travels: the sender counts one up in the header and
//! keeps a handle of its own; the receiver counts one down when it has attached. A function may
//! therefore return an object that only it holds. A message that never arrives keeps its object in
//! the sender until that ends.

use std::{
    cell::RefCell,
    ffi::OsStr,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::atomic::Ordering::*,
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    file,
    layout::Expected,
    lifecycle::{self, Hold, Patience, Taken},
    name, open,
    table::{self, Segment},
};
use crate::{
    deadline::Deadline,
    error::{Error, ErrorKind, Result},
    message,
    raw::region,
    sys::{
        descriptor, futex,
        identity::ProcessId,
        shm::{self, Access, Inode},
    },
};

/// Where an object can be found, and which one it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Handle {
    path: Option<Vec<u8>>,
    pid: u32,
    start: u64,
    descriptor: i32,
    device: u64,
    inode: u64,
    id: [u8; 16],
    /// Whether the sender counted it in the header.
    pinned: bool,
}

impl Serialize for Segment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        region::refresh_after_fork();
        let attachment = self.attachment();
        let _ = attachment.slot(); // in a forked child, the descriptor becomes its own first
        let me = ProcessId::current().map_err(serde::ser::Error::custom)?;
        let hold = attachment.hold();
        let handle = Handle {
            path: hold.path().map(|path| path.as_os_str().as_bytes().to_vec()),
            pid: me.pid,
            start: me.start,
            descriptor: hold.file().as_raw_fd(),
            device: hold.inode().device,
            inode: hold.inode().number,
            id: attachment.header().id,
            pinned: pin(self),
        };
        handle.serialize(serializer)
    }
}

impl Segment {
    /// The object that a handle in a message means, if it is what was expected.
    pub(crate) fn deserialize_expecting<'de, D: Deserializer<'de>>(
        deserializer: D,
        expected: &Expected,
    ) -> Result<Self, D::Error> {
        let handle = Handle::deserialize(deserializer)?;
        handle.attach(expected).map_err(message::refuse)
    }
}

impl Handle {
    fn attach(&self, expected: &Expected) -> Result<Segment> {
        region::refresh_after_fork();
        let mut patience = Patience::new(Duration::from_secs(5));
        let segment = loop {
            match self.try_attach(expected)? {
                Some(segment) => break segment,
                None if patience.wait() => {}
                None => return Err(self.gone("its name is removed and made anew all the time")),
            }
        };
        if self.pinned {
            unpin(&segment);
        }
        Ok(segment)
    }

    /// One attempt; `None` if the name changed meanwhile.
    fn try_attach(&self, expected: &Expected) -> Result<Option<Segment>> {
        let label = name::label(self.name());
        let mut table = table::lock();
        if let Some(segment) = table.find(self.inode()) {
            drop(table); // a handle that goes, as in an error here, needs it
            let header = segment.attachment().header();
            if header.id != self.id {
                return Err(self.gone("its file number is another object's by now"));
            }
            expected.check(header, &label)?;
            return Ok(Some(segment));
        }
        let file = self.find()?;
        let facts = file::facts(file.as_fd(), &label)?;
        let header = file::read(file.as_fd(), &facts, &label)?;
        if header.id != self.id {
            return Err(self.gone("its file is another object's by now"));
        }
        // A name that was removed while the object is in use is gone for good, and not ours to remove.
        let path = self.path().filter(|path| lifecycle::leads_to(path, self.inode()).unwrap_or(false));
        let alone = |_: std::os::fd::BorrowedFd<'_>| Ok(());
        match Hold::take(file, self.inode(), path, header.persist, alone)? {
            Taken::Held(hold) => {
                open::attach(hold, &facts, self.name(), expected).map(|new| Some(table.insert(new)))
            }
            Taken::Again => Ok(None),
            Taken::Leftover => Err(self.gone("nobody uses it any more")),
        }
    }

    /// The file itself: through the sender's descriptor, else through the name.
    fn find(&self) -> Result<OwnedFd> {
        if let Some(file) = self.file_of_sender() {
            return Ok(file);
        }
        let named = self.path().and_then(|path| Some((path, name::of_path(path)?)));
        let Some((path, (scope, name))) = named else {
            return Err(self.gone("the process that sent it has ended or closed it"));
        };
        match file::open(path, scope, Access::Use, &name::label(Some(name))) {
            Ok(Some((file, facts))) if facts.inode == self.inode() => Ok(file),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => {
                Err(self.gone("the process that sent it has ended, and its name is gone or another object's"))
            }
        }
    }

    fn file_of_sender(&self) -> Option<OwnedFd> {
        if !(ProcessId { pid: self.pid, start: self.start }).exists() {
            return None;
        }
        let look = file::with_descriptors(|| descriptor::of_process(self.pid, self.descriptor)).ok()?;
        let facts = shm::facts_of(look.as_fd()).ok()?;
        if facts.inode != self.inode() || !facts.is_regular {
            return None;
        }
        file::with_descriptors(|| descriptor::reopen(look.as_fd())).ok()
    }

    fn inode(&self) -> Inode {
        Inode { device: self.device, number: self.inode }
    }

    fn path(&self) -> Option<&Path> {
        // A message may hold any path; only one that a segment of ours can have is ever touched.
        let path = Path::new(OsStr::from_bytes(self.path.as_ref()?));
        name::of_path(path).is_some().then_some(path)
    }

    fn name(&self) -> Option<&str> {
        Some(name::of_path(self.path()?)?.1)
    }

    fn gone(&self, why: &str) -> Error {
        let label = name::label(self.name());
        let why = format!("{label}, sent by process {} as a handle in a message, is gone: {why}", self.pid);
        Error::new(ErrorKind::Gone, why)
    }
}

thread_local! {
    /// What the running [`pinning`] of this thread has pinned so far.
    static PINNING: RefCell<Option<Vec<Segment>>> = const { RefCell::new(None) };
}

/// Runs `write`, which writes a message; the objects in it stay alive until its receiver has them.
///
/// If it fails or panics, nothing stays pinned.
pub(crate) fn pinning<T, E>(write: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    table::release_arrived();
    let context = Context { outer: PINNING.replace(Some(Vec::new())) };
    let written = write();
    if written.is_ok() {
        let pinned = PINNING.take().unwrap_or_default();
        table::lock().pinned.extend(pinned);
    }
    drop(context);
    written
}

/// Undoes the pins that are still this thread's, and goes back to the `pinning` around this one.
struct Context {
    outer: Option<Vec<Segment>>,
}

impl Drop for Context {
    fn drop(&mut self) {
        let unsent = PINNING.replace(self.outer.take());
        unsent.into_iter().flatten().for_each(|segment| unpin(&segment));
    }
}

fn pin(segment: &Segment) -> bool {
    PINNING.with_borrow_mut(|pinned| {
        let Some(pinned) = pinned else { return false };
        segment.attachment().pins().fetch_add(1, AcqRel);
        pinned.push(segment.clone());
        true
    })
}

/// One message less. Never below zero: a message that is read twice must not undo another's pin.
fn unpin(segment: &Segment) {
    let pins = segment.attachment().pins();
    let _ = pins.fetch_update(AcqRel, Acquire, |pins| pins.checked_sub(1));
    futex::wake(pins, futex::ALL);
}

/// Waits until the receivers have everything that this process pinned; false if it gave up.
///
/// It gives up at the deadline, and when `receiver_lives` says no.
pub(crate) fn wait_for_pins(deadline: Deadline, receiver_lives: &mut dyn FnMut() -> bool) -> bool {
    const SLICE: Duration = Duration::from_millis(50);
    loop {
        table::release_arrived();
        let Some(segment) = table::lock().pinned.first().cloned() else { return true };
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
