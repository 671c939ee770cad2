//! Progress where stderr is no terminal: a few lines, so that a log stays one.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use super::{line::ProgressLine, words::Words};

/// At least so long lies between two lines.
const PAUSE: Duration = Duration::from_secs(5);

/// How often it is looked whether a tenth is done, after that.
const LOOK: Duration = Duration::from_secs(1);

/// What was written last, and when.
#[derive(Debug, Default)]
pub(super) struct Lines {
    last: Option<(Instant, ProgressLine)>,
}

impl Lines {
    /// Writes a line if one is due. When to look again.
    pub(super) fn show(&mut self, words: &Words, line: ProgressLine, now: Instant) -> Instant {
        if !self.is_due(&line, now) {
            return now + LOOK;
        }
        write(&words.so_far(&line, now));
        self.was_written(line, now)
    }

    /// The last line.
    pub(super) fn end(self, text: &str) {
        write(text);
    }

    /// The first is; then one after the pause and another tenth, or anything new of an unknown total.
    fn is_due(&self, line: &ProgressLine, now: Instant) -> bool {
        let Some((at, before)) = &self.last else { return true };
        let news = if line.total == 0 { line != before } else { tenths(line) != tenths(before) };
        news && now >= *at + PAUSE
    }

    fn was_written(&mut self, line: ProgressLine, now: Instant) -> Instant {
        self.last = Some((now, line));
        now + PAUSE
    }
}

fn tenths(line: &ProgressLine) -> Option<u128> {
    (u128::from(line.position) * 10).checked_div(u128::from(line.total))
}

/// In one piece, so that the lines of several processes stay whole. If nobody can read it, so be it.
fn write(text: &str) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The seconds at which a line is written, looked at as often as `show` asks for.
    fn written(until: u32, line_at: impl Fn(f64) -> ProgressLine) -> Vec<u64> {
        let begun = Instant::now();
        let (mut lines, mut now, mut written) = (Lines::default(), begun, Vec::new());
        while now <= begun + until * SECOND {
            let line = line_at((now - begun).as_secs_f64());
            now = if lines.is_due(&line, now) {
                written.push((now - begun).as_secs());
                lines.was_written(line, now)
            } else {
                now + LOOK
            };
        }
        written
    }

    #[test]
    fn fast_work_has_a_line_each_five_seconds() {
        assert_eq!(written(20, |s| ProgressLine::new((s * 5.0) as u64, 100)), [0, 5, 10, 15, 20]);
    }

    #[test]
    fn slow_work_has_a_line_each_tenth() {
        assert_eq!(written(40, |s| ProgressLine::new((s * 0.5) as u64, 100)), [0, 20, 40]);
        assert_eq!(written(1000, |_| ProgressLine::new(7, 100)), [0]);
    }

    #[test]
    fn an_unknown_total_has_a_line_when_something_is_new() {
        let news = |s: f64| ProgressLine::new(if s < 12.0 { s as u64 } else { 12 }, 0);
        assert_eq!(written(100, news), [0, 5, 10, 15]);
    }

    #[test]
    fn another_total_is_another_tenth() {
        let grows = |s: f64| ProgressLine::new(50, if s < 30.0 { 100 } else { 1000 });
        assert_eq!(written(60, grows), [0, 30]);
    }
}
