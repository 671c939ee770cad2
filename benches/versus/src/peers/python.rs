//! Python, beside us.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use super::served;
use crate::measure::Made;

/// What is installed for the rows that need more than Python itself.
const PACKAGES: &str = "joblib==1.6.0";

const SERVE: &str = "
import sys

print('ready', flush=True)
for line in sys.stdin:
    print(run(int(line)), flush=True)
";

/// A contestant from a script that defines `run(count)`, which returns nanoseconds.
pub(crate) fn contestant(script: &str) -> Made {
    contestant_of(Path::new("python3"), script)
}

/// The same, from a script that imports joblib.
pub(crate) fn joblib_contestant(script: &str) -> Made {
    contestant_of(&python_with_packages()?, script)
}

fn contestant_of(python: &Path, script: &str) -> Made {
    served::contestant(Command::new(python).args(["-c", &format!("{script}{SERVE}")]))
}

/// The Python of a virtual environment beside this program, which is made when it is needed first.
fn python_with_packages() -> Result<PathBuf, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let home = program.with_file_name("versus-python");
    let python = home.join("bin/python");
    // Made last, so an environment that was left half made is made again.
    let complete = home.join(PACKAGES);
    if !complete.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGES];
        run(Command::new(&python).args(pip))?;
        std::fs::write(complete, "").map_err(|error| error.to_string())?;
    }
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let said =
        command.output().map_err(|error| format!("no {}: {error}", command.get_program().display()))?;
    if said.status.success() {
        return Ok(());
    }
    let words = [said.stdout, said.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    let why = words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it ended without a word");
    Err(format!("{PACKAGES} could not be installed: {}", why.trim()))
}
