//! Which names are valid, and which file a name is.
//!
//! A name `x` of user 1000 is the file `commons.1000.x` in `/dev/shm`; one that a group or everybody
//! shares is `commons.shared.x`. `COMMONS_DIR` names another directory, and is read at each use.

use std::path::{Path, PathBuf};

use crate::{
    error::{Error, ErrorKind, Result},
    sys::shm,
};

/// The longest name in bytes: with prefix and user it stays below the 255 bytes of a file name.
pub(crate) const MAX: usize = 200;

/// Whose names these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The calling user's, apart from every other user's.
    Private,
    /// Everybody's on this machine, for objects that several users may open.
    Shared,
}

impl Scope {
    /// Shared is what anybody but the owner has permissions for.
    pub(crate) fn of_mode(mode: u32) -> Self {
        if mode & 0o077 == 0 { Self::Private } else { Self::Shared }
    }

    fn prefix(self) -> String {
        match self {
            Self::Private => format!("commons.{}.", shm::effective_user()),
            Self::Shared => "commons.shared.".to_owned(),
        }
    }
}

/// The file that `name` is.
pub(crate) fn path_of(scope: Scope, name: &str) -> Result<PathBuf> {
    check(name)?;
    Ok(directory().join(scope.prefix() + name))
}

/// Where the files are.
pub(crate) fn directory() -> PathBuf {
    let other = std::env::var_os("COMMONS_DIR").filter(|directory| !directory.is_empty());
    other.map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from)
}

/// Whose name and which name the file `path` is, if it is one of the calling user's or a shared one.
pub(crate) fn of_path(path: &Path) -> Option<(Scope, &str)> {
    let file = path.file_name()?.to_str()?;
    [Scope::Private, Scope::Shared].into_iter().find_map(|scope| {
        let name = file.strip_prefix(&scope.prefix())?;
        check(name).is_ok().then_some((scope, name))
    })
}

/// A path that no object has, for a file that is being made.
pub(crate) fn hidden_path(directory: &Path, process: [u8; 16], random: [u8; 16]) -> PathBuf {
    directory.join(format!("{}{:032x}", hidden_prefix_of(process), u128::from_ne_bytes(random)))
}

/// Whether `path` is a [`hidden_path`] of the calling user.
pub(crate) fn is_hidden(path: &Path) -> bool {
    begins_with(path, &hidden_prefix())
}

/// Whether `path` is a [`hidden_path`] of the process with these bytes.
pub(crate) fn is_hidden_of(path: &Path, process: [u8; 16]) -> bool {
    begins_with(path, &hidden_prefix_of(process))
}

fn begins_with(path: &Path, prefix: &str) -> bool {
    path.file_name().and_then(|file| file.to_str()).is_some_and(|file| file.starts_with(prefix))
}

fn hidden_prefix_of(process: [u8; 16]) -> String {
    format!("{}{:032x}", hidden_prefix(), u128::from_ne_bytes(process))
}

fn hidden_prefix() -> String {
    format!(".{}", Scope::Private.prefix())
}

/// How a message calls an object.
pub(crate) fn label(name: Option<&str>) -> String {
    name.map_or_else(|| "an anonymous segment".to_owned(), |name| format!("segment {name:?}"))
}

fn check(name: &str) -> Result<()> {
    let wrong =
        |why: &str| Err(Error::new(ErrorKind::InvalidName, format!("{name:?} is no valid name: {why}")));
    if name.is_empty() {
        return wrong("it is empty; give the object a name, or make it anonymous with `new`");
    }
    if name.len() > MAX {
        return wrong(&format!("it has {} bytes and may have {MAX}", name.len()));
    }
    match name.chars().find(|c| matches!(c, '/' | '\0')) {
        Some('/') => wrong("it holds a `/`; names are not paths, COMMONS_DIR chooses the directory"),
        Some(_) => wrong("it holds a NUL byte"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_files_and_files_become_names() {
        let user = shm::effective_user();
        let private = path_of(Scope::Private, "a b.c").unwrap();
        assert_eq!(private.file_name().unwrap().to_str(), Some(format!("commons.{user}.a b.c").as_str()));
        assert_eq!(of_path(&private), Some((Scope::Private, "a b.c")));
        let shared = path_of(Scope::of_mode(0o660), "x").unwrap();
        assert_eq!(of_path(&shared), Some((Scope::Shared, "x")));
        assert_eq!(of_path(Path::new("/dev/shm/commons.shared.")), None);
        assert_eq!(of_path(Path::new("/dev/shm/commons.999999.x")), None);
        let hidden = hidden_path(Path::new("/d"), [7; 16], [8; 16]);
        assert!(is_hidden_of(&hidden, [7; 16]) && !is_hidden_of(&hidden, [8; 16]));
        assert!(is_hidden(&hidden) && of_path(&hidden).is_none() && !is_hidden(&private));
    }

    #[test]
    fn the_longest_name_of_the_last_user_is_a_file_name() {
        assert!(format!("commons.{}.", u32::MAX).len() + MAX <= 255);
        assert!(check(&"n".repeat(MAX)).is_ok());
        for bad in ["", "a/b", "a\0b", &"n".repeat(MAX + 1)] {
            assert_eq!(check(bad).unwrap_err().kind(), ErrorKind::InvalidName);
        }
    }
}
