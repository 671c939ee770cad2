//! Making a segment: complete before anybody can find it.
//!
//! The file has no name while memory is reserved and header and payload are written, so a creator
//! that is killed on the way leaves nothing, and a name that exists is always initialised. Where the
//! file system has no files without names, the file has a hidden one meanwhile, which any sweep
//! removes when its creator is dead.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    attach::{self, Attachment},
    file::{self, with_descriptors},
    header::Header,
    layout::{Layout, Settings},
    lifecycle::{Hold, Patience},
    name, rows, schema, table,
};
use crate::{
    error::{Error, ErrorKind, Result},
    sys::{identity::ProcessId, map::Mapping, memfd, memory, per_process::PerProcess, random, shm},
};

/// From this size on it is looked up first how much memory there is.
const LARGE: u64 = 1 << 20;

/// A finished segment that has no name yet.
#[derive(Debug)]
pub(crate) struct Unborn {
    // INVARIANT: dropped before `hidden`, whose removal comes last.
    attachment: Attachment,
    hidden: Option<Hidden>,
}

/// What came of giving it its name.
#[derive(Debug)]
pub(crate) enum Published {
    Born(Attachment),
    /// Something has the name.
    Taken(Unborn),
}

/// Where a new file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Memory,
    Unnamed,
    HiddenName,
}

/// A segment that nobody can find, finished by `init`, which gets the zeroed payload.
pub(crate) fn anonymous(layout: &Layout, init: impl FnOnce(*mut u8)) -> Result<Attachment> {
    let unborn = make(None, &Settings::default(), layout, Source::Memory, init)?;
    Ok(unborn.attachment)
}

/// A segment that is to have the name that `path` is, finished by `init`.
pub(crate) fn named(
    path: &Path,
    settings: &Settings,
    layout: &Layout,
    init: impl FnOnce(*mut u8),
) -> Result<Unborn> {
    make(Some(path), settings, layout, Source::Unnamed, init)
}

impl Unborn {
    /// Gives it its name, unless something has it.
    pub(crate) fn publish(self) -> Result<Published> {
        let hold = self.attachment.hold();
        let Some(path) = hold.path() else { return Ok(Published::Born(self.attachment)) };
        let linked = match &self.hidden {
            None => shm::link(hold.file(), path),
            Some(hidden) => shm::rename_to_new(&hidden.0, path),
        };
        match linked {
            Ok(()) => {
                if let Some(hidden) = self.hidden {
                    std::mem::forget(hidden); // that name is gone
                }
                Ok(Published::Born(self.attachment))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Published::Taken(self)),
            Err(error) => {
                let label = name::label(self.attachment.name());
                Err(Error::os(format_args!("cannot give {label} its name {}", path.display()), error))
            }
        }
    }
}

/// A hidden name, removed unless it became the real one.
#[derive(Debug)]
struct Hidden(PathBuf);

impl Drop for Hidden {
    fn drop(&mut self) {
        // A sweep may have been faster, or will be.
        let _ = shm::unlink(&self.0);
    }
}

/// What stands in the hidden names of this process, and in no other's.
fn ours() -> io::Result<&'static [u8; 16]> {
    static OURS: PerProcess<[u8; 16]> = PerProcess::new();
    OURS.get_or_try_init(random::bytes)
}

/// Removes `path` if it is a hidden name of this process, which ends before that object is complete.
pub(crate) fn give_up(path: &Path) -> bool {
    let ours = ours().is_ok_and(|&ours| name::is_hidden_of(path, ours));
    if ours {
        drop(Hidden(path.to_owned()));
    }
    ours
}

fn make(
    path: Option<&Path>,
    settings: &Settings,
    layout: &Layout,
    source: Source,
    init: impl FnOnce(*mut u8),
) -> Result<Unborn> {
    let name = path.and_then(name::of_path).map(|(_, name)| name.to_owned());
    let label = name::label(name.as_deref());
    let os = |what: &str, error: io::Error| Error::os(format_args!("cannot {what} {label}"), error);

    let schema = schema::encode(&layout.element.fields)?;
    let header = header_of(settings, layout, schema.len())?;
    let len = header.payload_offset.checked_add(header.payload_len).filter(|&len| i64::try_from(len).is_ok());
    let Some(len) = len else {
        let why = format!("{label} cannot have {} bytes: no file can", layout.payload_len);
        return Err(Error::new(ErrorKind::NoSpace, why));
    };

    let (hold, hidden) = open(path, settings, layout, source).map_err(|error| match path {
        Some(path) => Error::os(format_args!("cannot make {} for {label}", path.display()), error),
        None => os("make the file of", error),
    })?;
    let now =
        layout.reserved.map_or(len, |reserved| header.payload_offset + reserved.min(header.payload_len));
    reserve(hold.file(), 0, now, &label)?;
    if now < len {
        shm::set_len(hold.file(), len).map_err(|error| os("make room for", error))?;
    }
    if path.is_some() {
        shm::set_mode(hold.file(), settings.mode).map_err(|error| os("set the mode of", error))?;
    } else {
        memfd::seal(hold.file()).map_err(|error| os("seal", error))?;
    }
    let mapping = Mapping::new(hold.file(), attach::mapped_len(&header)).map_err(|error| os("map", error))?;
    let write =
        |at, bytes: &[u8]| shm::write_exact(hold.file(), at, bytes).map_err(|error| os("write", error));
    write(rows::END as u64, &schema)?;
    write(0, &header.encode())?;
    init(attach::payload_of(&mapping, &header).as_ptr());
    Ok(Unborn { attachment: Attachment::new(hold, mapping, header, name)?, hidden })
}

fn header_of(settings: &Settings, layout: &Layout, schema_len: usize) -> Result<Header> {
    let count = layout.count()?;
    let os = |error| Error::os("cannot tell the segment who makes it", error);
    Ok(Header {
        kind: layout.kind.number(),
        persist: settings.persist,
        mode: settings.mode,
        home: file::home()?,
        creator: ProcessId::current().map_err(os)?,
        id: random::bytes().map_err(os)?,
        payload_offset: layout.payload_offset(schema_len),
        payload_len: layout.payload_len,
        element: layout.element.clone(),
        count,
        shape: layout.shape.clone(),
        schema_len,
    })
}

/// An empty file that this process holds.
fn open(
    path: Option<&Path>,
    settings: &Settings,
    layout: &Layout,
    source: Source,
) -> io::Result<(Hold, Option<Hidden>)> {
    let hold = |file: OwnedFd| Hold::of_new(file, path.map(ToOwned::to_owned), settings.persist);
    let directory = path.and_then(Path::parent).unwrap_or(Path::new("."));
    match source {
        Source::Memory => {
            let label = format!("commons.{:?}", layout.kind);
            Ok((hold(with_descriptors(|| memfd::open(&label))?)?, None))
        }
        Source::Unnamed => match with_descriptors(|| shm::open_unnamed(directory)) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                open(path, settings, layout, Source::HiddenName)
            }
            file => Ok((hold(file?)?, None)),
        },
        Source::HiddenName => {
            let mut patience = Patience::new(Duration::from_secs(1));
            loop {
                let hidden = Hidden(name::hidden_path(directory, *ours()?, random::bytes()?));
                let file = {
                    // Who ends with the table in its hand finds all hidden names, and no new ones come.
                    let _table = table::lock();
                    with_descriptors(|| shm::open_new(&hidden.0))?
                };
                // A sweep that came between the name and our lock took it for a dead creator's.
                match hold(file) {
                    Ok(hold) if shm::facts_of(hold.file())?.links == 1 => return Ok((hold, Some(hidden))),
                    Err(error) if error.kind() != io::ErrorKind::ResourceBusy => return Err(error),
                    _ if patience.wait() => {}
                    _ => return Err(io::ErrorKind::ResourceBusy.into()),
                }
            }
        }
    }
}

/// Real memory behind every byte, or an error that has the numbers; never a SIGBUS later.
pub(crate) fn reserve(file: BorrowedFd<'_>, start: u64, end: u64, label: &str) -> Result<()> {
    let len = end - start;
    // An anonymous file has no file system that could be full: past the end of memory the kernel kills.
    if len >= LARGE && shm::lives_in_memory(file).unwrap_or(true) {
        let limits = [
            ("this machine has", memory::available()),
            ("its memory group may take", memory::group_headroom()),
        ];
        for (whose, left) in limits {
            if let Some(left) = left.filter(|&left| left < len) {
                let why = format!("{label} needs {len} bytes of memory, but {whose} only {left} more");
                return Err(Error::new(ErrorKind::NoSpace, why));
            }
        }
    }
    let Err(error) = shm::reserve(file, start, end) else { return Ok(()) };
    let free = shm::free_bytes(file).ok().flatten();
    let free = free.map_or_else(String::new, |free| format!(" and {free} are free there"));
    Err(Error::os(format_args!("cannot reserve memory: {label} needs {len} bytes{free}"), error))
}

#[cfg(test)]
mod tests {
    use std::alloc;

    use super::*;
    use crate::segment::{fingerprint::Element, kind::Kind};

    fn layout() -> Layout {
        let element = Element::new(alloc::Layout::new::<u64>(), "u64".to_owned(), vec![]);
        Layout { kind: Kind::Value, element, shape: vec![], payload_len: 8, payload_align: 8, reserved: None }
    }

    #[test]
    fn a_file_system_without_unnamed_files_gets_a_hidden_name_first() {
        let directory = std::env::temp_dir().join(format!("commons-birth-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path =
            directory.join(name::path_of(name::Scope::Private, "hidden").unwrap().file_name().unwrap());
        let names = || std::fs::read_dir(&directory).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();

        let make = || make(Some(&path), &Settings::default(), &layout(), Source::HiddenName, |_| {}).unwrap();
        let unborn = make();
        assert!(matches!(names().as_slice(), [hidden] if name::is_hidden(hidden)));
        let Published::Born(born) = unborn.publish().unwrap() else { panic!("the name is taken") };
        assert_eq!(names(), [path.as_path()]);

        let Published::Taken(second) = make().publish().unwrap() else { panic!("the name is free") };
        drop(second);
        assert_eq!(names(), [path.as_path()], "a failed creation leaves nothing");
        let third = make();
        names().iter().for_each(|path| _ = give_up(path));
        assert_eq!(names(), [path.as_path()], "who ends takes the hidden names of its own away");
        drop((third, born));
        assert!(names().is_empty(), "the last user takes the name away");
        std::fs::remove_dir(&directory).unwrap();
    }
}
