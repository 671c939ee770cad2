//! joblib's lines at joblib's frequency (`joblib/parallel.py`, `print_progress`), driven by what is done.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use crate::workers::Resized;

/// Prints how far a call is.
#[derive(Debug)]
pub(super) struct Lines {
    level: u32,
    jobs: String,
    begin: Instant,
    /// How many tasks there will be, if that was known at the beginning.
    total: Option<usize>,
    done: usize,
}

impl Lines {
    /// `jobs`: as it was asked for.
    pub(super) fn new(level: u32, jobs: String, total: Option<usize>) -> Self {
        Self { level, jobs, begin: Instant::now(), total, done: 0 }
    }

    fn say(&self, message: &str) {
        let line = format!("[Parallel(n_jobs={})]: {message}\n", self.jobs);
        // Whoever closed the stream does not want to read it.
        let _ = if self.level < 50 {
            std::io::stderr().write_all(line.as_bytes())
        } else {
            std::io::stdout().write_all(line.as_bytes())
        };
    }

    pub(super) fn begin(&self, backend: &str, workers: usize) {
        if self.level > 0 && workers > 1 {
            self.say(&format!("Using backend {backend} with {workers} concurrent workers."));
        }
    }

    pub(super) fn resized(&self, Resized { took, is_larger, size }: Resized) {
        if self.level >= 10 {
            let what = if is_larger { "fast" } else { "slow" };
            let took = took.as_secs_f64();
            self.say(&format!("Batch computation too {what} ({took}s.) Setting batch_size={size}."));
        }
    }

    /// One task more is done.
    pub(super) fn one_more(&mut self) {
        let index = self.done;
        self.done += 1;
        if self.total != Some(self.done) && is_due(index, self.level) {
            self.say(&self.message());
        }
    }

    fn message(&self) -> String {
        let (done, elapsed) = (self.done, self.begin.elapsed());
        match self.total {
            None => {
                format!("Done {done:>3} tasks      | elapsed: {}", short(elapsed))
            }
            Some(total) => {
                let width = total.max(1).ilog10() as usize + 1;
                let left = elapsed.mul_f64(total.saturating_sub(done) as f64 / done.max(1) as f64);
                format!(
                    "Done {done:>width$} out of {total:>width$} | elapsed: {} remaining: {}",
                    short(elapsed),
                    short(left)
                )
            }
        }
    }

    pub(super) fn end(&self) {
        if self.level > 0 {
            let width = self.done.max(1).ilog10() as usize + 1;
            let (done, elapsed) = (self.done, short(self.begin.elapsed()));
            self.say(&format!("Done {done:>width$} out of {done:>width$} | elapsed: {elapsed} finished"));
        }
    }
}

/// Whether the task with this index, counted from 0, is told at this level.
fn is_due(index: usize, level: u32) -> bool {
    match level {
        0 => false,
        1..=10 => {
            let scale = 0.5 * f64::from(11 - level).powi(2);
            let root = |index: usize| (index as f64 / scale).sqrt() as usize;
            index == 0 && level > 8 || root(index + 1) != root(index)
        }
        _ => true,
    }
}

fn short(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 { format!(" {seconds:5.1}s") } else { format!("{:4.1}min", seconds / 60.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(level: u32, below: usize) -> Vec<usize> {
        (1..below).filter(|&index| is_due(index, level)).collect()
    }

    #[test]
    fn lines_are_due_when_those_of_joblib_are() {
        assert_eq!(due(1, 300), [49, 199]);
        assert_eq!(due(2, 400), [40, 161, 364]);
        assert_eq!(due(5, 300), [17, 71, 161, 287]);
        assert_eq!(due(8, 162), [4, 17, 40, 71, 112, 161]);
        assert_eq!(due(10, 50), [1, 4, 7, 12, 17, 24, 31, 40, 49]);
        assert_eq!(due(11, 5), [1, 2, 3, 4]);
        assert!(due(0, 1000).is_empty());
    }

    #[test]
    fn lines_read_as_those_of_joblib_do() {
        let mut lines = Lines::new(10, "2".into(), None);
        lines.done = 1;
        assert_eq!(lines.message(), "Done   1 tasks      | elapsed:    0.0s");
        let mut lines = Lines::new(10, "2".into(), Some(30));
        lines.done = 4;
        assert!(lines.message().starts_with("Done  4 out of 30 | elapsed:    0.0s remaining:"));
        assert_eq!(short(Duration::from_secs(90)), " 1.5min");
    }
}
