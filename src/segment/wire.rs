//! Handles in messages.
//!
//! A handle is written as the place where its object can be found: the descriptor of the sender, and
//! the path if there is a name. Both are only hints. Device, inode and a random id say which object
//! is meant, and whatever differs in one of them is another object: the handle is `Gone`.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    file,
    header::Header,
    layout::Expected,
    lifecycle::{self, Hold, Patience, Taken},
    name, open,
    pins::{self, Pinned, Received},
    table::{self, Segment},
};
use crate::{
    error::{Error, ErrorKind, Result},
    message,
    raw::region,
    sys::{
        descriptor,
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
    pinned: Pinned,
}

/// A [`Handle`] under its name.
#[derive(Deserialize)]
#[serde(rename = "commons::Handle")]
struct Named(Handle);

impl Serialize for Segment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(message::HANDLE, &Leaving(self))
    }
}

/// A segment whose handle is written: only now, when who writes knows of it, is it pinned.
struct Leaving<'a>(&'a Segment);

impl Serialize for Leaving<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        region::refresh_after_fork();
        let attachment = self.0.attachment();
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
            pinned: pins::pin(self.0),
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
        let Named(handle) = Named::deserialize(deserializer)?;
        let segment = handle.attach(expected).map_err(message::refuse)?;
        let received = Received::new(&segment, handle.pinned);
        let result = then(segment);
        drop(received);
        result.map_err(message::refuse)
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

#[cfg(test)]
mod tests {
    use std::alloc;

    use super::*;
    use crate::{
        deadline::Deadline,
        segment::{
            fingerprint::Element,
            kind::Kind,
            layout::{Layout, Settings},
            pins::{keeping, pinning, pinning_for, receiving, wait_for_pins},
        },
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
        assert_eq!(sent.0.attachment().own_pins(), 2);
        drop(sent);
        assert!(exists(&path));
        assert!(!wait_for_pins(Deadline::after(Duration::from_millis(20)), &mut || true));
        assert!(!wait_for_pins(Deadline::NEVER, &mut || false), "a dead receiver is not waited for");

        let (one, two): (Sent, Sent) = message::decode(&bytes).unwrap();
        assert_eq!(two.0.attachment().own_pins(), 0);
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
        let pins = |sent: &Sent| sent.0.attachment().own_pins();
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
    fn what_is_received_in_part_is_taken_back_whole() {
        let [first, second] = ["first", "second"].map(segment);
        let pins = |sent: &Sent| sent.0.attachment().own_pins();
        let write = || pinning_for(|| message::encode(&(&first, &second, 7u8))).unwrap();

        let (bytes, unreceived) = write();
        let untold = || panic!("not all of it was read");
        receiving(|| message::decode::<(Sent, Sent, bool)>(&bytes), untold).unwrap_err();
        assert_eq!((pins(&first), pins(&second)), (1, 1));
        drop(unreceived);
        assert_eq!((pins(&first), pins(&second)), (0, 0));

        let (bytes, unreceived) = write();
        let mut told = false;
        receiving(|| message::decode::<(Sent, Sent, u8)>(&bytes), || told = true).unwrap();
        assert!(told);
        assert_eq!((pins(&first), pins(&second)), (0, 0));
        let (other, _unreceived) = write();
        unreceived.received();
        assert_eq!((pins(&first), pins(&second)), (1, 1), "another message is on its way");
        // Outside of such a call each handle counts for itself.
        drop(message::decode::<(Sent, Sent, u8)>(&other).unwrap());
        assert_eq!((pins(&first), pins(&second)), (0, 0));
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
        assert_eq!(sent.0.attachment().own_pins(), 0);
        let outside = message::encode(&sent).unwrap();
        assert_eq!(sent.0.attachment().own_pins(), 0);
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
