//! Progress on a terminal: bars that share it.
//!
//! A bar is there as long as its drawing. Its end is a line of text above the bars that are left, so
//! that they never fill the screen, and so that the cursor of who writes next is at a line's start.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::{
    line::ProgressLine,
    panics,
    words::{counts, printable, rate, time, time_left},
};

const PERIOD: Duration = Duration::from_millis(100);

/// The terminal behind stderr.
#[derive(Debug)]
pub(super) struct Screen(MultiProgress);

impl Screen {
    /// None if there is no terminal, or one that cannot move its cursor.
    pub(super) fn new() -> Option<Self> {
        let bars = MultiProgress::new();
        if bars.is_hidden() {
            return None;
        }
        panics::take_down(&bars);
        Some(Self(bars))
    }

    /// A new bar below those that are there.
    pub(super) fn bar(&self, label: &str, line: &ProgressLine) -> Bar {
        // Hidden: a bar must not draw before it knows its place.
        let bar = ProgressBar::with_draw_target(known(line), ProgressDrawTarget::hidden());
        bar.set_prefix(label.to_owned());
        // What was done before is not our speed.
        bar.set_position(line.position);
        bar.tick();
        bar.reset_eta();
        let bar = self.0.add(bar);
        bar.set_style(style(line));
        Bar { bars: self.0.clone(), bar, shown: None }
    }
}

/// One bar, which goes when this does.
#[derive(Debug)]
pub(super) struct Bar {
    bars: MultiProgress,
    bar: ProgressBar,
    /// What it says, and in which second it said so.
    shown: Option<(ProgressLine, u64)>,
}

impl Bar {
    /// Draws it if something has changed. When to look again.
    pub(super) fn show(&mut self, line: ProgressLine, now: Instant) -> Instant {
        if panics::are_told() {
            return now + PERIOD;
        }
        let second = self.bar.elapsed().as_secs();
        let shown = self.shown.replace((line.clone(), second));
        if shown.as_ref().is_none_or(|(before, _)| *before != line) {
            self.change(shown.map(|(before, _)| before), line);
        } else if shown.is_some_and(|(_, at)| at != second) {
            self.bar.tick();
        }
        now + PERIOD
    }

    fn change(&self, before: Option<ProgressLine>, line: ProgressLine) {
        if before.is_some_and(|before| before.total != line.total) {
            self.bar.set_style(style(&line));
            match known(&line) {
                Some(total) => self.bar.set_length(total),
                None => self.bar.unset_length(),
            }
        }
        let message = line.message.map_or_else(String::new, |message| format!(", {}", printable(&message)));
        if message != self.bar.message() {
            self.bar.set_message(message);
        }
        self.bar.set_position(line.position);
    }

    /// Leaves this line where the bar was.
    pub(super) fn end(self, text: &str) {
        // A bar that was never drawn would leave the cursor at the end of the line of text.
        self.bar.force_draw();
        // If the terminal is gone, nobody reads it.
        let _ = self.bars.println(text);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.bars.remove(&self.bar);
    }
}

fn known(line: &ProgressLine) -> Option<u64> {
    (line.total != 0).then_some(line.total)
}

/// A total that nobody knows has no bar.
fn style(line: &ProgressLine) -> ProgressStyle {
    let template = match known(line) {
        Some(_) => "{prefix}{wide_bar} {numbers}{msg}",
        None => "{prefix}{numbers}{msg}",
    };
    ProgressStyle::with_template(template).expect("a valid template").with_key("numbers", numbers)
}

/// `1234 of 10000, 12%, 345/s, 4 s, 25 s left`, at the speed of the last seconds.
fn numbers(state: &ProgressState, to: &mut dyn Write) {
    let line = ProgressLine::new(state.pos(), state.len().unwrap_or(0));
    let per_second = Some(state.per_sec()).filter(|speed| speed.is_finite() && *speed > 0.0);
    let left = per_second.and_then(|per_second| time_left(&line, per_second));
    let parts = [
        Some(counts(line.position, line.total)),
        per_second.map(rate),
        Some(time(state.elapsed())),
        left.map(|left| format!("{} left", time(left))),
    ];
    // A string of indicatif's, which takes everything.
    let _ = to.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "));
}
