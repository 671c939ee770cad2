//! The crate `iceoryx2`, in a program of its own: it needs libclang to be built, and the tests of this
//! one need nothing but the toolchain.

use std::{path::Path, process::Command};

use super::served;
use crate::measure::Made;

/// A number there and back between two processes that never sleep.
pub(crate) fn round_trip() -> Made {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("iceoryx2");
    let target = here.join("target");
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked", "--quiet", "--target-dir"])
        .arg(&target)
        .current_dir(&here)
        .output()
        .map_err(|error| format!("no cargo: {error}"))?;
    if !built.status.success() {
        let words = String::from_utf8_lossy(&built.stderr);
        let why = words.lines().find(|line| line.contains("error")).unwrap_or("it ended without a word");
        return Err(format!("it could not be built: {}", why.trim()));
    }
    served::contestant(&mut Command::new(target.join("release/versus-iceoryx2")))
}
