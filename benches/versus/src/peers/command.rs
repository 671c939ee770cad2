//! The standard library's way to start a program and wait for its end.

use std::process::Command;

use crate::measure::{Made, repeat};

/// A program that does nothing: the least that a process of another program costs.
pub(crate) fn nothing() -> Made {
    Ok(Box::new(|count| {
        repeat(count, || {
            let status = Command::new("/bin/true").status().expect("there is /bin/true");
            assert!(status.success());
        })
    }))
}
