//! A program beside us that runs what it is told and times itself: it reads counts and answers
//! nanoseconds, a line each, after a first line that says `ready`.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::measure::{Contestant, Made};

struct Served {
    child: Child,
    /// Taken to say that there is no more to do.
    counts: Option<ChildStdin>,
    times: BufReader<ChildStdout>,
}

/// A contestant that is such a program.
pub(crate) fn contestant(command: &mut Command) -> Made {
    let mut served = Served::start(command)?;
    let contestant: Contestant =
        Box::new(move |count| served.ask(count).expect("the program goes on as it has begun"));
    Ok(contestant)
}

impl Served {
    fn start(command: &mut Command) -> Result<Self, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|error| format!("no {program}: {error}"))?;
        let (counts, times) = (child.stdin.take(), child.stdout.take());
        let (Some(counts), Some(times)) = (counts, times) else { unreachable!("both are pipes") };
        let mut served = Self { child, counts: Some(counts), times: BufReader::new(times) };
        if served.answer()? == "ready" {
            return Ok(served);
        }
        Err(served.complaint())
    }

    fn ask(&mut self, count: u64) -> Result<f64, String> {
        if let Some(counts) = &mut self.counts {
            writeln!(counts, "{count}").map_err(|error| error.to_string())?;
        }
        let answer = self.answer()?;
        answer.parse().map_err(|_| self.complaint())
    }

    fn answer(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.times.read_line(&mut line).map_err(|error| error.to_string())?;
        Ok(line.trim().to_owned())
    }

    /// The last line of what it says about itself.
    fn complaint(&mut self) -> String {
        let errors = self.child.stderr.take().map(BufReader::new);
        let last = errors.and_then(|errors| errors.lines().map_while(Result::ok).last());
        last.unwrap_or_else(|| "it ended without a word".to_owned())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.counts.take();
        // It ends when there are no more counts. Waited for, its time is known to be ours.
        let _ = self.child.wait();
    }
}
