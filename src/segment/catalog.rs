//! All names: looking at them, removing one, removing what killed processes left.
//!
//! Names are files in `/dev/shm` or in `COMMONS_DIR`. Looking takes no lock and disturbs nobody.
//!
//! # Examples
//! ```
//! use commons::{Atomic, catalog};
//!
//! # fn main() -> commons::Result<()> {
//! let name = format!("catalog-{}", std::process::id());
//! let hits = Atomic::create(&name, 0u64)?;
//! assert!(catalog::names()?.contains(&name));
//! assert_eq!(catalog::inspect(&name)?.attached, [std::process::id()]);
//! # Ok(()) }
//! ```

use std::{
    fs, io,
    os::{fd::AsFd, unix::fs::DirEntryExt},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    birth, file,
    info::{self, SegmentInfo},
    lifecycle::{self, Patience, Reaped, Removal},
    locks,
    name::{self, Scope},
    table::{self, Left},
};
use crate::{
    error::{Error, ErrorKind, Result},
    sys::{
        filelock::{self, Others},
        shm::{self, Access},
    },
};

/// Every name that the calling user has or shares with others, in order.
///
/// # Errors
/// When the directory cannot be read.
///
/// # Examples
/// ```
/// println!("{} objects have a name", commons::catalog::names()?.len());
/// # Ok::<(), commons::Error>(())
/// ```
pub fn names() -> Result<Vec<String>> {
    let paths = files()?.into_iter().map(|(path, _)| path);
    let mut names: Vec<_> = paths.filter_map(|path| Some(name::of_path(&path)?.1.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// What can be known of every name, in order of names.
///
/// Files that are damaged or may not be read are left out; [`inspect`] tells why.
///
/// # Errors
/// When the directory cannot be read.
///
/// # Examples
/// ```
/// for object in commons::catalog::list()? {
///     println!("{:?} is a {} of {}", object.name, object.kind, object.type_name);
/// }
/// # Ok::<(), commons::Error>(())
/// ```
pub fn list() -> Result<Vec<SegmentInfo>> {
    let mut list: Vec<_> = files()?.iter().filter_map(|(path, _)| look(path).ok()).collect();
    list.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(list)
}

/// What can be known of the object of this name; the caller's own goes before a shared one.
///
/// # Errors
/// `NotFound` if there is none, `InvalidName`, `Corrupt` for a damaged file, `Denied` for what is no
/// file of ours.
///
/// # Examples
/// ```
/// use commons::{ErrorKind, catalog};
///
/// assert_eq!(catalog::inspect("no-such-name").unwrap_err().kind(), ErrorKind::NotFound);
/// ```
pub fn inspect(name: &str) -> Result<SegmentInfo> {
    look(&find(name)?)
}

/// Takes the name away, whoever uses the object.
///
/// Those who have the object keep it, and nobody can open it any more; the memory goes when the last
/// of them goes. A damaged file can be removed too.
///
/// # Errors
/// `NotFound` if there is none, `Denied` for another user's or for what is no regular file,
/// `TimedOut` if a process was stopped while it removes the same name.
///
/// # Examples
/// ```
/// use commons::{Atomic, catalog};
///
/// # fn main() -> commons::Result<()> {
/// let name = format!("remove-{}", std::process::id());
/// let hits = Atomic::create(&name, 0u64)?;
/// catalog::remove(&name)?;
/// hits.fetch_add(1);                              // still ours
/// assert!(Atomic::<u64>::open(&name).is_err());
/// # Ok(()) }
/// ```
pub fn remove(name: &str) -> Result<()> {
    let label = name::label(Some(name));
    let mut patience = Patience::new(Duration::from_secs(5));
    loop {
        let path = find(name)?;
        let scope = name::of_path(&path).map_or(Scope::Private, |(scope, _)| scope);
        if let Some((file, facts)) = file::open(&path, scope, Access::Use, &label)? {
            match lifecycle::remove_name(file.as_fd(), &path, facts.inode) {
                Ok(Removal::Removed) => return Ok(()),
                Ok(Removal::LeadsElsewhere | Removal::Busy) => {}
                Err(error) => return Err(Error::os(format_args!("cannot remove {label}"), error)),
            }
        }
        if !patience.wait() {
            let why =
                format!("{label} could not be removed: another process is about to, and does not get on");
            return Err(Error::new(ErrorKind::TimedOut, why));
        }
    }
}

/// Removes what killed processes of the calling user left behind; the names that went.
///
/// Objects that somebody uses, that persist, or that are damaged stay. Every `create` does this too.
///
/// # Errors
/// When the directory cannot be read.
///
/// # Examples
/// ```
/// let gone = commons::catalog::sweep()?;
/// println!("{} leftovers removed", gone.len());
/// # Ok::<(), commons::Error>(())
/// ```
pub fn sweep() -> Result<Vec<String>> {
    table::release_arrived();
    let ours = table::lock().numbers();
    let others = files()?.into_iter().filter(|(_, number)| !ours.contains(number));
    let name = |(path, _): (PathBuf, u64)| {
        let removed = sweep_one(&path) == Swept::Removed;
        removed.then(|| Some(name::of_path(&path)?.1.to_owned())).flatten()
    };
    let mut gone: Vec<_> = others.filter_map(name).collect();
    gone.sort();
    Ok(gone)
}

/// How long a process that ends looks again at what others have in hand.
const LAST_LOOK: Duration = Duration::from_millis(500);

/// [`sweep`] of a process that ends and has left everything, which may be the last that ever looks.
///
/// Several that end together look at the same names. One of them that ends with a name in its hand
/// makes the others pass it by; so they look again, until nobody has any in hand. What is in use now
/// is for its user to remove.
pub(crate) fn sweep_at_end(_: &Left) {
    let Ok(files) = files() else { return };
    let mut patience = Patience::new(LAST_LOOK);
    let mut paths: Vec<_> = files.into_iter().map(|(path, _)| path).collect();
    loop {
        paths.retain(|path| !birth::give_up(path) && sweep_one(path) == Swept::InHand);
        if paths.is_empty() || !patience.wait() {
            return;
        }
    }
}

/// [`sweep`] before a name is made; not each time for those who make very many.
pub(crate) fn sweep_before_create() {
    let due = {
        let table = table::lock();
        // The cost of reading the directory stays in proportion to what is made.
        table.creations.is_multiple_of(1 + table.len() / 64)
    };
    if due {
        // A directory that cannot be read is an error of the creation itself.
        let _ = sweep();
    }
}

/// What became of a file that may be a leftover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swept {
    Removed,
    /// Somebody uses it, it persists, or it cannot be removed; or it was gone already.
    Stays,
    /// Somebody removes it, or finds out just now whether to.
    InHand,
}

/// Removes one file if nobody uses it.
fn sweep_one(path: &Path) -> Swept {
    let found = name::of_path(path);
    let scope = found.map_or(Scope::Private, |(scope, _)| scope);
    let Ok(Some((file, facts))) = file::open(path, scope, Access::Use, "a leftover") else {
        return Swept::Stays;
    };
    if facts.owner != shm::effective_user() {
        return Swept::Stays;
    }
    match filelock::probe(file.as_fd(), locks::IN_USE) {
        Ok(Others::HaveNothing) => {}
        Ok(Others::HaveItAlone) => return Swept::InHand,
        Ok(Others::Share) | Err(_) => return Swept::Stays,
    }
    // A hidden name's maker died before the object was complete.
    let persist = found
        .map_or(Ok(false), |_| file::read(file.as_fd(), &facts, "a leftover").map(|header| header.persist));
    let Ok(persist) = persist else { return Swept::Stays };
    match lifecycle::reap(file.as_fd(), path, facts.inode, persist) {
        Ok(Reaped::Removed) => Swept::Removed,
        Ok(Reaped::Again) => Swept::InHand,
        Ok(Reaped::InUse) | Err(_) => Swept::Stays,
    }
}

/// The files that are named objects of the caller or shared ones, and hidden ones; with their numbers.
fn files() -> Result<Vec<(PathBuf, u64)>> {
    let directory = name::directory();
    let os = |error| Error::os(format_args!("cannot list {}", directory.display()), error);
    let ours = |entry: io::Result<fs::DirEntry>| match entry {
        Ok(entry) => {
            let path = entry.path();
            (name::of_path(&path).is_some() || name::is_hidden(&path)).then_some(Ok((path, entry.ino())))
        }
        Err(error) => Some(Err(os(error))),
    };
    fs::read_dir(&directory).map_err(os)?.filter_map(ours).collect()
}

/// The file that has the name, the caller's own before a shared one.
fn find(name: &str) -> Result<PathBuf> {
    let own = name::path_of(Scope::Private, name)?;
    let shared = name::path_of(Scope::Shared, name)?;
    let exists = |path: &Path| shm::facts_of_path(path, shm::Follow::No).is_ok();
    Ok(if !exists(&own) && exists(&shared) { shared } else { own })
}

fn look(path: &Path) -> Result<SegmentInfo> {
    let (scope, name) = name::of_path(path).unwrap_or((Scope::Private, ""));
    let label = name::label(Some(name));
    let Some((file, facts)) = file::open(path, scope, Access::Look, &label)? else {
        return Err(Error::new(ErrorKind::NotFound, format!("{label} was removed just now")));
    };
    let header = file::read(file.as_fd(), &facts, &label)?;
    Ok(info::of_file(&header, Some(name), file.as_fd(), None))
}
