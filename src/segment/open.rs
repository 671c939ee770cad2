//! Creating, opening, and whichever of the two is right.

use std::{
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    time::Duration,
};

use super::{
    attach::{self, Attachment},
    birth::{self, Published, Unborn},
    catalog, file,
    layout::{self, Expected, Layout, Settings},
    lifecycle::{self, Hold, Patience, Reaped, Taken},
    name::{self, Scope},
    rows,
    table::{self, Segment},
};
use crate::{
    error::{Error, ErrorKind, Result},
    raw::region,
    sys::{
        map::Mapping,
        shm::{self, Access, Facts},
    },
};

/// How long one tries while others remove and create the same name without pause.
const PATIENCE: Duration = Duration::from_secs(5);

impl Segment {
    /// A new segment; `init` gets the zeroed payload before anybody else can see it.
    ///
    /// Without a name only those can find it who are handed a handle. With one it is an error of
    /// kind `AlreadyExists` if something has the name.
    pub(crate) fn create(
        name: Option<&str>,
        settings: &Settings,
        layout: &Layout,
        init: impl FnOnce(*mut u8),
    ) -> Result<Self> {
        region::refresh_after_fork();
        let Some(name) = name else {
            let attachment = birth::anonymous(layout, init)?;
            return Ok(table::lock().insert(attachment));
        };
        let scope = settings.scope()?;
        let path = name::path_of(scope, name)?;
        catalog::sweep_before_create();
        clear(&path, scope, name)?; // before much memory is taken for nothing
        let mut unborn = birth::named(&path, settings, layout, init)?;
        let mut patience = Patience::new(PATIENCE);
        loop {
            match publish(unborn)? {
                Ok(segment) => return Ok(segment),
                Err(taken) => unborn = taken,
            }
            clear(&path, scope, name)?;
            if !patience.wait() {
                return Err(busy(name));
            }
        }
    }

    /// The segment of this name, if it is what was expected.
    pub(crate) fn open(name: &str, settings: &Settings, expected: &Expected) -> Result<Self> {
        region::refresh_after_fork();
        let scope = settings.scope()?;
        let path = name::path_of(scope, name)?;
        let mut patience = Patience::new(PATIENCE);
        loop {
            if let Some(segment) = try_open(&path, scope, name, expected)? {
                return Ok(segment);
            }
            if !patience.wait() {
                return Err(busy(name));
            }
        }
    }

    /// The segment of this name; a new one if there is none.
    pub(crate) fn open_or_create(
        name: &str,
        settings: &Settings,
        expected: &Expected,
        layout: &Layout,
        init: impl FnOnce(*mut u8),
    ) -> Result<Self> {
        let path = name::path_of(settings.scope()?, name)?;
        let mut patience = Patience::new(PATIENCE);
        let mut init = Some(init);
        let mut unborn = None;
        loop {
            match Self::open(name, settings, expected) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => return other,
            }
            let new = match (unborn.take(), init.take()) {
                (Some(unborn), _) => unborn,
                (None, Some(init)) => {
                    catalog::sweep_before_create();
                    birth::named(&path, settings, layout, init)?
                }
                (None, None) => return Err(busy(name)),
            };
            match publish(new)? {
                Ok(segment) => return Ok(segment),
                Err(taken) => unborn = Some(taken),
            }
            if !patience.wait() {
                return Err(busy(name));
            }
        }
    }
}

fn busy(name: &str) -> Error {
    let why = format!(
        "segment {name:?} could not be reached within {} s: other processes remove and create it all the time, or one \
         that was stopped is about to remove it",
        PATIENCE.as_secs()
    );
    Error::new(ErrorKind::TimedOut, why)
}

/// Gives a finished segment its name and enters it into the table, in one step for this process.
fn publish(unborn: Unborn) -> Result<Result<Segment, Unborn>> {
    let mut table = table::lock();
    Ok(match unborn.publish()? {
        Published::Born(attachment) => {
            table.creations += 1;
            Ok(table.insert(attachment))
        }
        Published::Taken(unborn) => Err(unborn),
    })
}

/// One attempt; `None` if the name led elsewhere by the time we had the file.
fn try_open(path: &Path, scope: Scope, name: &str, expected: &Expected) -> Result<Option<Segment>> {
    let label = name::label(Some(name));
    let Some((file, facts)) = file::open(path, scope, Access::Use, &label)? else { return Ok(None) };
    let mut table = table::lock();
    if let Some(segment) = table.find(facts.inode) {
        drop(table); // a handle that goes, as in an error here, needs it
        expected.check(segment.attachment().header(), &label)?;
        return Ok(Some(segment));
    }
    let header = file::read(file.as_fd(), &facts, &label)?;
    let rehome = |file: BorrowedFd<'_>| rehome(file, &facts, &label);
    match Hold::take(file, facts.inode, Some(path), header.persist, rehome)? {
        Taken::Held(hold) => attach(hold, &facts, Some(name), expected).map(|new| Some(table.insert(new))),
        Taken::Again => Ok(None),
        Taken::Leftover => {
            let why = format!("{label} does not exist any more: the processes that used it were killed");
            Err(Error::new(ErrorKind::NotFound, why))
        }
    }
}

/// Maps a file that is held, if it is what was expected and its home is ours.
pub(crate) fn attach(
    hold: Hold,
    facts: &Facts,
    name: Option<&str>,
    expected: &Expected,
) -> Result<Attachment> {
    let label = name::label(name);
    // Once more, now that nobody re-homes it: what is read here is used until the end.
    let header = file::read(hold.file(), facts, &label)?;
    expected.check(&header, &label)?;
    layout::check_home(&file::home()?, &header.home, &label)?;
    let mapping = Mapping::new(hold.file(), attach::mapped_len(&header))
        .map_err(|error| Error::os(format_args!("cannot map {label}"), error))?;
    Attachment::new(hold, mapping, header, name.map(ToOwned::to_owned))
}

/// Makes a persistent segment that nobody uses one of this boot and these namespaces.
fn rehome(file: BorrowedFd<'_>, facts: &Facts, label: &str) -> Result<()> {
    let mut header = file::read(file, facts, label)?;
    let home = file::home()?;
    if header.home == home {
        return Ok(());
    }
    header.home = home;
    let os =
        |error| Error::os(format_args!("cannot take {label} over from another boot or namespace"), error);
    let empty = vec![0; rows::END - rows::START];
    shm::write_exact(file, rows::START as u64, &empty).map_err(os)?;
    shm::write_exact(file, 0, &header.encode()).map_err(os)
}

/// Removes what killed processes left under a name; an error if something else has it.
fn clear(path: &Path, scope: Scope, name: &str) -> Result<()> {
    let label = name::label(Some(name));
    let mut patience = Patience::new(PATIENCE);
    loop {
        match try_clear(path, scope, &label) {
            Ok(Some(())) => return Ok(()),
            Ok(None) if patience.wait() => {}
            Ok(None) => return Err(busy(name)),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Os => return Err(error),
            Err(error) => {
                let why = format!("{label} cannot be created, its name is taken: {error}");
                return Err(Error::new(ErrorKind::AlreadyExists, why));
            }
        }
    }
}

/// One attempt to clear a name; `None` if it led elsewhere meanwhile.
fn try_clear(path: &Path, scope: Scope, label: &str) -> Result<Option<()>> {
    let exists = || {
        let why = "an object has it; open that, or use `open_or_create`";
        Err(Error::new(ErrorKind::AlreadyExists, why))
    };
    let Some((file, facts)) = file::open(path, scope, Access::Use, label)? else { return Ok(None) };
    if table::lock().has(facts.inode) {
        return exists();
    }
    let persist = file::read(file.as_fd(), &facts, label)?.persist;
    let os = |error| Error::os("killed processes left it, and it cannot be removed", error);
    match lifecycle::reap(file.as_fd(), path, facts.inode, persist).map_err(os)? {
        Reaped::Removed => Ok(Some(())),
        Reaped::InUse => exists(),
        Reaped::Again => Ok(None),
    }
}
