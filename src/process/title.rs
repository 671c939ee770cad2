//! What lists of processes call a worker.

use std::{
    env,
    ffi::{CString, OsString},
    io,
    os::unix::ffi::OsStringExt,
    path::Path,
};

use crate::sys::spawn;

/// What this program is called.
pub(super) fn of_program() -> OsString {
    let program = env::args_os().next().unwrap_or_default();
    Path::new(&program).file_name().unwrap_or_default().to_owned()
}

/// Lists of processes show `name`, or else the program's name, and not the link it was started by.
pub(super) fn show(name: Option<OsString>) -> io::Result<()> {
    spawn::show_as(&CString::new(name.unwrap_or_else(of_program).into_vec())?)
}
