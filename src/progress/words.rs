//! How progress is said, in lines and beside bars.

use std::time::{Duration, Instant};

use super::line::ProgressLine;

/// What stays the same through the lines of one drawing.
#[derive(Debug)]
pub(super) struct Words {
    /// Empty, or with what parts it from the numbers.
    label: String,
    begun: Instant,
    /// Where it was then: what others did before is not our speed.
    from: u64,
}

impl Words {
    pub(super) fn new(label: Option<&str>, from: u64, begun: Instant) -> Self {
        Self { label: label.map_or_else(String::new, |label| format!("{}: ", printable(label))), begun, from }
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// `label: 1234 of 10000, 12%, 345/s, 25 s left, message`.
    pub(super) fn so_far(&self, line: &ProgressLine, now: Instant) -> String {
        let per_second = self.per_second(line, now);
        let left = per_second.and_then(|per_second| time_left(line, per_second));
        self.line(line, per_second, left.map(|left| format!("{} left", time(left))))
    }

    /// `label: 10000 of 10000, 100%, 345/s, after 29 s, message`.
    pub(super) fn in_the_end(&self, line: &ProgressLine, now: Instant) -> String {
        let after = format!("after {}", time(now - self.begun));
        self.line(line, self.per_second(line, now), Some(after))
    }

    fn line(&self, line: &ProgressLine, per_second: Option<f64>, time: Option<String>) -> String {
        let message = line.message.as_deref().map(printable);
        let parts = [Some(counts(line.position, line.total)), per_second.map(rate), time, message];
        self.label.clone() + &parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// On average since the drawing began; nothing if there was no progress.
    fn per_second(&self, line: &ProgressLine, now: Instant) -> Option<f64> {
        let (steps, seconds) = (line.position.checked_sub(self.from)?, (now - self.begun).as_secs_f64());
        (steps > 0 && seconds > 0.0).then(|| steps as f64 / seconds)
    }
}

/// The same without line ends and whatever else a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `1234 of 10000, 12%`, or `1234` of an unknown total.
pub(super) fn counts(position: u64, total: u64) -> String {
    match (u128::from(position) * 100).checked_div(u128::from(total)) {
        Some(percent) => format!("{position} of {total}, {percent}%"),
        None => position.to_string(),
    }
}

/// How long the rest takes at this speed; nothing if there is none, or nobody knows.
pub(super) fn time_left(line: &ProgressLine, per_second: f64) -> Option<Duration> {
    let steps = line.total.saturating_sub(line.position);
    if steps == 0 {
        return None;
    }
    Duration::try_from_secs_f64(steps as f64 / per_second).ok()
}

/// `345/s`, `1.5/s`, `2.0/min`, `0.5/h`.
pub(super) fn rate(per_second: f64) -> String {
    let (per_minute, per_hour) = (per_second * 60.0, per_second * 3600.0);
    if per_second >= 10.0 {
        format!("{per_second:.0}/s")
    } else if per_second >= 1.0 {
        format!("{per_second:.1}/s")
    } else if per_minute >= 1.0 {
        format!("{per_minute:.1}/min")
    } else {
        format!("{per_hour:.1}/h")
    }
}

/// `119 s`, `119 min`, `47 h`, `3 days`.
pub(super) fn time(time: Duration) -> String {
    let minute = 60;
    let (hour, day) = (60 * minute, 24 * 60 * minute);
    let seconds = time.as_secs();
    let units = [("s", 1, 2 * minute), ("min", minute, 2 * hour), ("h", hour, 2 * day)];
    let fitting = units.into_iter().find(|&(_, _, end)| seconds < end);
    let (unit, length, _) = fitting.unwrap_or(("days", day, u64::MAX));
    format!("{} {unit}", seconds / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_line_says_what_is_known() {
        let begun = Instant::now();
        let words = Words::new(Some("thumbnails"), 1000, begun);
        let so_far = |line, seconds| words.so_far(&line, begun + seconds * SECOND);
        assert_eq!(so_far(ProgressLine::new(1000, 10_000), 0), "thumbnails: 1000 of 10000, 10%");
        assert_eq!(
            so_far(ProgressLine::new(2500, 10_000), 10),
            "thumbnails: 2500 of 10000, 25%, 150/s, 50 s left"
        );
        assert_eq!(
            so_far(ProgressLine::new(2500, 0).message("a\nb\x1b[2J"), 10),
            "thumbnails: 2500, 150/s, a b [2J"
        );
        assert_eq!(so_far(ProgressLine::new(10_000, 10_000), 9), "thumbnails: 10000 of 10000, 100%, 1000/s");
        assert_eq!(so_far(ProgressLine::new(999, 0), 9), "thumbnails: 999", "backwards has no speed");
        let end = ProgressLine::new(10_000, 10_000);
        assert_eq!(
            words.in_the_end(&end, begun + 9 * SECOND),
            "thumbnails: 10000 of 10000, 100%, 1000/s, after 9 s"
        );
        assert_eq!(Words::new(None, 0, begun).so_far(&ProgressLine::new(0, 9), begun), "0 of 9, 0%");
    }

    #[test]
    fn numbers_are_cut_down_and_never_overflow() {
        assert_eq!(counts(999, 1000), "999 of 1000, 99%");
        assert_eq!(counts(u64::MAX, u64::MAX), format!("{0} of {0}, 100%", u64::MAX));
        assert_eq!(counts(3, 2), "3 of 2, 150%");
        assert_eq!(time_left(&ProgressLine::new(0, u64::MAX), f64::MIN_POSITIVE), None);
        assert_eq!(time_left(&ProgressLine::new(5, 2), 1.0), None);
    }

    #[test]
    fn units_fit_the_size() {
        let rates = [345.4, 10.0, 1.5, 0.5, 0.0005].map(rate);
        assert_eq!(rates, ["345/s", "10/s", "1.5/s", "30.0/min", "1.8/h"]);
        let times = [0, 119, 120, 7199, 7200, 172_799, 172_800].map(|seconds| time(seconds * SECOND));
        assert_eq!(times, ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
    }
}
