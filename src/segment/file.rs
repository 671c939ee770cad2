//! One segment file: opening it with suspicion, reading what it says.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::OnceLock,
};

use super::{
    header::{self, Header, Home},
    name::Scope,
    rows, schema,
};
use crate::{
    error::{Error, ErrorKind, Result},
    sys::{
        descriptor, identity,
        shm::{self, Access, Facts},
    },
};

/// Runs `open`; when this process has used up its descriptors, raises the soft limit and runs it again.
pub(crate) fn with_descriptors<T>(open: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match open() {
        Err(error) if descriptor::is_exhausted(&error) && descriptor::raise_limit().unwrap_or(false) => {
            open()
        }
        other => other,
    }
}

/// The file at `path` if it can be one of our segments; `None` if it lost its name while we looked.
///
/// A link would let somebody choose which file we write to, a fifo or device would do things when
/// opened, another user's file would be that user's trap, a second name would confuse who removes it.
pub(crate) fn open(
    path: &Path,
    scope: Scope,
    access: Access,
    label: &str,
) -> Result<Option<(OwnedFd, Facts)>> {
    let denied = |why: String| {
        Err(Error::new(ErrorKind::Denied, format!("{label} ({}) {why}; it was not touched", path.display())))
    };
    let file = match with_descriptors(|| shm::open_existing(path, access)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let why = format!("{label} does not exist: there is no {}", path.display());
            return Err(Error::new(ErrorKind::NotFound, why));
        }
        Err(error) => match shm::kind_of_refused(&error) {
            Some(kind) => return denied(format!("is a {kind} and no segment")),
            None => return Err(Error::os(format_args!("cannot open {label} ({})", path.display()), error)),
        },
    };
    let facts = facts(file.as_fd(), label)?;
    if !facts.is_regular {
        return denied("is no regular file and so no segment".into());
    }
    if scope == Scope::Private && facts.owner != shm::effective_user() {
        return denied(format!(
            "belongs to user {}; objects that users share have a mode such as 0o660",
            facts.owner
        ));
    }
    match facts.links {
        0 => Ok(None),
        1 => Ok(Some((file, facts))),
        n => denied(format!("has {n} names, and a segment has one")),
    }
}

pub(crate) fn facts(file: BorrowedFd<'_>, label: &str) -> Result<Facts> {
    shm::facts_of(file).map_err(|error| Error::os(format_args!("cannot ask for the size of {label}"), error))
}

/// What the file says of itself, read once and checked.
pub(crate) fn read(file: BorrowedFd<'_>, facts: &Facts, label: &str) -> Result<Header> {
    if facts.size < rows::END as u64 {
        let why = format!(
            "{label} is damaged or no segment: its file has {} bytes, and the smallest has {}; remove it and create \
             it anew",
            facts.size,
            rows::END
        );
        return Err(Error::new(ErrorKind::Corrupt, why));
    }
    let os = |error| Error::os(format_args!("cannot read {label}"), error);
    let mut bytes = [0; header::LEN];
    shm::read_exact(file, 0, &mut bytes).map_err(os)?;
    let mut header = Header::parse(&bytes, facts.size, label)?;
    let mut bytes = vec![0; header.schema_len];
    shm::read_exact(file, rows::END as u64, &mut bytes).map_err(os)?;
    header.element.fields = schema::parse(&bytes, header.payload_len, label)?;
    Ok(header)
}

/// Where the ids of this process mean something.
pub(crate) fn home() -> Result<Home> {
    static BOOT: OnceLock<[u8; 16]> = OnceLock::new();
    let os = |error| Error::os("cannot read this process's boot id and namespaces in /proc", error);
    let boot = match BOOT.get() {
        Some(boot) => *boot,
        None => *BOOT.get_or_init({
            let boot = with_descriptors(identity::boot_id).map_err(os)?;
            move || boot
        }),
    };
    let pid_namespace = identity::pid_namespace().map_err(os)?;
    Ok(Home { boot, pid_namespace, time_namespace: identity::time_namespace().map_err(os)? })
}
