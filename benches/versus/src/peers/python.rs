//! Python, beside us: a process that runs what it is told and times itself.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use crate::measure::{Contestant, Made};

/// Reads counts, answers nanoseconds.
const SERVE: &str = "
import sys

print('ready', flush=True)
for line in sys.stdin:
    print(run(int(line)), flush=True)
";

struct Python {
    child: Child,
    /// Taken to say that there is no more to do.
    counts: Option<ChildStdin>,
    times: BufReader<ChildStdout>,
}

/// A contestant from a script that defines `run(count)`, which returns nanoseconds.
pub(crate) fn contestant(script: &str) -> Made {
    let mut python = Python::start(&format!("{script}{SERVE}"))?;
    let contestant: Contestant =
        Box::new(move |count| python.ask(count).expect("Python goes on as it has begun"));
    Ok(contestant)
}

impl Python {
    fn start(script: &str) -> Result<Self, String> {
        let mut command = Command::new("python3");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("no python3: {error}"))?;
        let (counts, times) = (child.stdin.take(), child.stdout.take());
        let (Some(counts), Some(times)) = (counts, times) else { unreachable!("both are pipes") };
        let mut python = Self { child, counts: Some(counts), times: BufReader::new(times) };
        if python.answer()? == "ready" {
            return Ok(python);
        }
        Err(python.complaint())
    }

    fn ask(&mut self, count: u64) -> Result<Duration, String> {
        if let Some(counts) = &mut self.counts {
            writeln!(counts, "{count}").map_err(|error| error.to_string())?;
        }
        let answer = self.answer()?;
        answer.parse().map(Duration::from_nanos).map_err(|_| self.complaint())
    }

    fn answer(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.times.read_line(&mut line).map_err(|error| error.to_string())?;
        Ok(line.trim().to_owned())
    }

    /// The last line of what Python says about itself.
    fn complaint(&mut self) -> String {
        let errors = self.child.stderr.take().map(BufReader::new);
        let last = errors.and_then(|errors| errors.lines().map_while(Result::ok).last());
        last.unwrap_or_else(|| "python3 ended without a word".to_owned())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.counts.take();
        // It ends when there are no more counts. Waited for, its time is known to be ours.
        let _ = self.child.wait();
    }
}
