//! Python, beside us.

use std::process::Command;

use super::served;
use crate::measure::Made;

const SERVE: &str = "
import sys

print('ready', flush=True)
for line in sys.stdin:
    print(run(int(line)), flush=True)
";

/// A contestant from a script that defines `run(count)`, which returns nanoseconds.
pub(crate) fn contestant(script: &str) -> Made {
    served::contestant(Command::new("python3").args(["-c", &format!("{script}{SERVE}")]))
}
