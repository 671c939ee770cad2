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
    cell::{Cell, RefCell},
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::{Arc, atomic::Ordering::*},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    file,
    header::Header,
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
        shm::{self, Access, Facts, Inode},
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
        Self::deserialize_then(deserializer, expected, Ok)
    }

    /// As [`Segment::deserialize_expecting`]; `then` runs before the message counts as received.
    pub(crate) fn deserialize_then<'de, D: Deserializer<'de>, R>(
        deserializer: D,
        expected: &Expected,
        then: impl FnOnce(Self) -> Result<R>,
    ) -> Result<R, D::Error> {
        let handle = Handle::deserialize(deserializer)?;
        let segment = handle.attach(expected).map_err(message::refuse)?;
        let received = handle.pinned.then(|| Received(segment.clone()));
        let result = then(segment);
        drop(received);
        result.map_err(message::refuse)
    }
}

/// A message with this segment has arrived; counts it down.
struct Received(Segment);

impl Drop for Received {
    fn drop(&mut self) {
        unpin(&self.0);
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
        let Header { id, persist, .. } = file::read(file.as_fd(), &facts, &label)?;
        if id != self.id {
            return Err(self.gone("its file is another object's by now"));
        }
        // A name that was removed while the object is in use is gone for good, and not ours to remove.
        let path = self.path().filter(|path| lifecycle::leads_to(path, self.inode()).unwrap_or(false));
        let alone = |_: std::os::fd::BorrowedFd<'_>| Ok(());
        match Hold::take(file, self.inode(), path, persist, alone)? {
            Taken::Held(hold) => {
                open::attach(hold, &facts, self.name(), expected).map(|new| Some(table.insert(new)))
            }
            Taken::Again => Ok(None),
            Taken::Leftover => Err(self.gone("nobody uses it any more")),
        }
    }

    /// The file itself: through the sender's descriptor, else through the name.
    fn find(&self) -> Result<OwnedFd> {
        if let Some(file) = self.file_of_sender()? {
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

    fn file_of_sender(&self) -> Result<Option<OwnedFd>> {
        if !(ProcessId { pid: self.pid, start: self.start }).exists() {
            return Ok(None);
        }
        // That there is none says something of the sender, unless it is this process that can have none.
        let found = |opened: io::Result<OwnedFd>| match opened {
            Err(error) if descriptor::is_exhausted(&error) => {
                let what = name::label(self.name());
                Err(Error::os(format_args!("cannot open {what}, whose handle is in a message"), error))
            }
            opened => Ok(opened.ok()),
        };
        let look = || descriptor::of_process(self.pid, self.descriptor);
        let Some(look) = found(file::with_descriptors(look))? else { return Ok(None) };
        let is_it = |facts: Facts| facts.inode == self.inode() && facts.is_regular;
        if !shm::facts_of(look.as_fd()).is_ok_and(is_it) {
            return Ok(None);
        }
        found(file::with_descriptors(|| descriptor::reopen(look.as_fd())))
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
    /// What the running calls of [`pinning`] in this thread, one inside the other, have pinned so far.
    static PINS: RefCell<Vec<Segment>> = const { RefCell::new(Vec::new()) };
    /// How many calls are running, and the length of `PINS`: most messages hold no handle, and for them
    /// these are all that is looked at.
    static RUNNING: Cell<usize> = const { Cell::new(0) };
    static PINNED: Cell<usize> = const { Cell::new(0) };
    /// The innermost running call is one of [`keeping`].
    static KEEPING: Cell<bool> = const { Cell::new(false) };
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

/// As [`pinning`], but the pins are the sender's: they last as long as what is returned, whatever
/// becomes of the receiver, and however often the message is read.
pub(crate) fn keeping<T, E>(write: impl FnOnce() -> Result<T, E>) -> Result<(T, Kept), E> {
    let context = Context::begin(true);
    let written = write()?;
    let kept = (PINNED.get() != context.before).then(|| Arc::new(Pins(context.take())));
    Ok((written, Kept(kept)))
}

/// The objects in a message, which stay alive as long as one of these. Most messages have none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(#[expect(dead_code, reason = "is there to be dropped")] Option<Arc<Pins>>);

#[derive(Debug)]
struct Pins(Vec<Segment>);

impl Drop for Pins {
    fn drop(&mut self) {
        self.0.iter().for_each(unpin);
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
            self.take().iter().for_each(unpin);
        }
    }
}

fn pin(segment: &Segment) -> bool {
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
fn unpin(segment: &Segment) {
    let pins = segment.attachment().pins();
    let _ = pins.fetch_update(AcqRel, Acquire, |pins| pins.checked_sub(1));
    futex::wake(pins, futex::ALL);
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

#[cfg(test)]
mod tests {
    use std::alloc;

    use super::*;
    use crate::segment::{
        fingerprint::Element,
        kind::Kind,
        layout::{Layout, Settings},
    };

    /// As a typed handle writes and reads its segment.
    #[derive(Debug)]
    struct Sent(Segment);

    impl Serialize for Sent {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Sent {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let (kind, payload_len) = (Kind::Value, |count: u64| Some(8 * count));
            let expected = Expected { kind, element: element(), shape: None, payload_len, payload_align: 8 };
            Segment::deserialize_expecting(deserializer, &expected).map(Self)
        }
    }

    fn element() -> Element {
        Element::new(alloc::Layout::new::<u64>(), "u64".to_owned(), vec![])
    }

    fn segment(name: &str) -> Sent {
        let layout = Layout {
            kind: Kind::Value,
            element: element(),
            shape: vec![],
            payload_len: 8,
            payload_align: 8,
            reserved: None,
        };
        let name = format!("wire-{}-{name}", std::process::id());
        Sent(Segment::create(Some(&name), &Settings::default(), &layout, |_| {}).unwrap())
    }

    fn exists(path: &Path) -> bool {
        shm::facts_of_path(path, shm::Follow::No).is_ok()
    }

    #[test]
    fn what_is_on_its_way_stays_alive_until_it_has_arrived() {
        let sent = segment("pin");
        let path = sent.0.attachment().hold().path().unwrap().to_owned();
        let bytes = pinning(|| message::encode(&(&sent, &sent))).unwrap();
        assert_eq!(sent.0.attachment().pins().load(Acquire), 2);
        drop(sent);
        assert!(exists(&path));
        assert!(!wait_for_pins(Deadline::after(Duration::from_millis(20)), &mut || true));
        assert!(!wait_for_pins(Deadline::NEVER, &mut || false), "a dead receiver is not waited for");

        let (one, two): (Sent, Sent) = message::decode(&bytes).unwrap();
        assert_eq!(two.0.attachment().pins().load(Acquire), 0);
        assert!(wait_for_pins(Deadline::after(Duration::from_secs(10)), &mut || true));
        drop((one, two));
        assert!(!exists(&path), "the pins are gone");

        let gone = message::decode::<(Sent, Sent)>(&bytes).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::Gone, "{gone}");
        assert!(gone.to_string().contains("wire-"), "{gone}");
    }

    #[test]
    fn what_is_kept_stays_alive_however_often_it_is_read() {
        let sent = segment("kept");
        let path = sent.0.attachment().hold().path().unwrap().to_owned();
        let pins = |sent: &Sent| sent.0.attachment().pins().load(Acquire);
        let (bytes, kept) = keeping(|| message::encode(&sent)).unwrap();
        let _refused =
            keeping(|| message::encode(&sent).and(Err::<(), _>(Error::new(ErrorKind::Os, "")))).unwrap_err();
        drop(sent);
        for _ in 0..3 {
            let read = message::decode::<Sent>(&bytes).unwrap();
            assert_eq!(pins(&read), 1);
        }
        assert!(exists(&path));
        drop(kept);
        assert!(!exists(&path));
    }

    #[test]
    fn a_message_that_is_not_sent_pins_nothing() {
        let sent = segment("unsent");
        let path = sent.0.attachment().hold().path().unwrap().to_owned();
        let refused = pinning(|| match message::encode(&sent) {
            Ok(_) => Err("the pipe is broken"),
            Err(_) => Ok(()),
        });
        assert_eq!(refused, Err("the pipe is broken"));
        assert_eq!(sent.0.attachment().pins().load(Acquire), 0);
        let outside = message::encode(&sent).unwrap();
        assert_eq!(sent.0.attachment().pins().load(Acquire), 0);
        drop(message::decode::<Sent>(&outside).unwrap());
        drop(sent);
        assert!(!exists(&path));
    }

    #[test]
    fn a_handle_on_another_object_of_the_same_number_is_gone() {
        let sent = segment("id");
        let mut bytes = message::encode(&sent).unwrap();
        let id = sent.0.attachment().header().id;
        let at = bytes.windows(16).position(|window| window == id).unwrap();
        bytes[at] ^= 1;
        assert_eq!(message::decode::<Sent>(&bytes).unwrap_err().kind(), ErrorKind::Gone);
        for len in 0..bytes.len() {
            assert_eq!(message::decode::<Sent>(&bytes[..len]).unwrap_err().kind(), ErrorKind::Decode);
        }
    }
}
