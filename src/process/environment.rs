//! The environment of a child: this process's own as it is then, with changes.

use std::{
    collections::BTreeMap,
    env,
    ffi::{CString, OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use crate::error::{Error, ErrorKind, Result};

/// What is different in a child.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    set: BTreeMap<OsString, OsString>,
    defaults: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// The child has this variable, whatever this process has.
    pub(super) fn set(&mut self, name: &OsStr, value: &OsStr) {
        self.set.insert(name.to_owned(), value.to_owned());
    }

    /// The child has this variable if nothing else gives it one of the name.
    pub(super) fn set_default(&mut self, name: &OsStr, value: &OsStr) {
        self.defaults.insert(name.to_owned(), value.to_owned());
    }

    /// All that a child has, as `NAME=value`.
    pub(super) fn lines(&self) -> Result<Vec<CString>> {
        for (name, value) in self.set.iter().chain(&self.defaults) {
            check(name, value)?;
        }
        let mut defaults = self.defaults.clone();
        let mut lines = Vec::new();
        let mut add = |name: OsString, value: OsString| {
            let line = [name.as_bytes(), b"=", value.as_bytes()].concat();
            // Ours were checked, and the environment itself is made of such strings.
            lines.extend(CString::new(line));
        };
        for (name, value) in env::vars_os() {
            defaults.remove(&name);
            if !self.set.contains_key(&name) {
                add(name, value);
            }
        }
        for (name, value) in self.set.clone() {
            defaults.remove(&name);
            add(name, value);
        }
        defaults.into_iter().for_each(|(name, value)| add(name, value));
        Ok(lines)
    }
}

fn check(name: &OsStr, value: &OsStr) -> Result<()> {
    let why = if name.is_empty() {
        "has no name"
    } else if name.as_bytes().contains(&b'=') {
        "has `=` in its name, where the value would begin"
    } else if name.as_bytes().contains(&0) {
        "has NUL in its name, where it would end"
    } else if value.as_bytes().contains(&0) {
        "has NUL in its value, where it would end"
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("no process was started, because the environment variable {name:?} {why}: give it another"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(environment: &Environment) -> Vec<String> {
        let lines = environment.lines().unwrap().into_iter();
        lines.map(|line| line.into_string().unwrap_or_default()).collect()
    }

    #[test]
    fn a_default_gives_way_to_what_is_there() {
        let path = format!("PATH={}", env::var("PATH").expect("tests run with a PATH"));
        let mut child = Environment::default();
        child.set_default("PATH".as_ref(), "elsewhere".as_ref());
        child.set_default("COMMONS_TEST_DEFAULT".as_ref(), "1".as_ref());
        let found = lines(&child);
        assert!(found.contains(&path) && !found.contains(&"PATH=elsewhere".to_owned()));
        assert!(found.contains(&"COMMONS_TEST_DEFAULT=1".to_owned()));
        child.set("COMMONS_TEST_DEFAULT".as_ref(), "2".as_ref());
        let found: Vec<_> =
            lines(&child).into_iter().filter(|line| line.starts_with("COMMONS_TEST_DEFAULT=")).collect();
        assert_eq!(found, ["COMMONS_TEST_DEFAULT=2"]);
    }

    #[test]
    fn what_is_set_takes_the_place_of_what_is_there() {
        let mut child = Environment::default();
        child.set("PATH".as_ref(), "elsewhere".as_ref());
        let found: Vec<_> = lines(&child).into_iter().filter(|line| line.starts_with("PATH=")).collect();
        assert_eq!(found, ["PATH=elsewhere"]);
        assert_eq!(lines(&child).len(), env::vars_os().count());
    }
}
