//! Bars on a terminal, and lines where the program was built without them.

use commons::Progress;

use super::{
    common::{hear, say, workers::has},
    screen::Screen,
};

/// Waits until the test has seen enough.
fn seen(what: &str) {
    say(what);
    hear();
}

pub(crate) fn two_bars() {
    let (pages, words) = (Progress::new(100).unwrap(), Progress::new(0).unwrap());
    let one = pages.draw_as("pages");
    let other = words.draw_as("words");
    seen("drawn");
    pages.set(50);
    words.inc(5);
    seen("advanced");
    words.set_total(20);
    seen("known");
    drop(one);
    seen("one ended");
    drop(other);
    eprintln!("next");
}

#[cfg(feature = "progress")]
#[test]
fn on_a_terminal_there_are_bars_that_leave_it_clean() {
    let (mut screen, mut peer) = Screen::of("two bars");
    peer.line();
    let lines = screen.until("both bars", |lines| lines.len() == 2);
    has(&lines[0], &["pages: ", "░", " 0 of 100, 0%, 0 s"]);
    assert_eq!(lines[1], "words: 0, 0 s");

    peer.tell("");
    let is_half = |lines: &[String]| lines[0].contains("50 of 100, 50%") && lines[1].contains("words: 5, ");
    let lines = screen.until("half of it", is_half);
    has(&lines[0], &["█", "░", "/s, ", " left"]);
    assert_eq!(lines.len(), 2);

    peer.tell("");
    screen.until("a bar", |lines| lines[1].contains("5 of 20, 25%") && lines[1].contains('█'));

    peer.tell("");
    let has_ended = |lines: &[String]| lines.len() == 2 && lines[0].contains("/s, after ");
    let lines = screen.until("the end of one", has_ended);
    has(&lines[0], &["pages: 50 of 100, 50%, "]);
    has(&lines[1], &["words: ", "█", "5 of 20, 25%"]);

    peer.tell("");
    assert!(peer.ends_well());
    let (lines, cursor) = screen.last();
    has(&lines[1], &["words: 5 of 20, 25%, ", "/s, after "]);
    assert_eq!((lines[2].as_str(), lines.len(), cursor), ("next", 3, (3, 0)), "{lines:#?}");
}

pub(crate) fn panic_with_drawings() {
    let pages = Progress::new(100).unwrap();
    let _drawings = ["one", "two", "three"].map(|label| pages.draw_as(label));
    pages.inc(50);
    panic!("on purpose");
}

#[cfg(feature = "progress")]
#[test]
fn a_panic_has_the_terminal_to_itself_and_leaves_it_clean() {
    let (screen, peer) = Screen::of("panic");
    assert!(!peer.ends_well());
    let (lines, cursor) = screen.last();
    let parts =
        ["", "panicked at", "on purpose", "RUST_BACKTRACE=1", "one: 50 of 100, 50%, ", "two: ", "three: "];
    assert_eq!((lines.len(), cursor), (parts.len(), (parts.len() as u16, 0)), "{lines:#?}");
    lines.iter().zip(parts).for_each(|(line, part)| has(line, &[part]));
    lines[4..].iter().for_each(|line| has(line, &["/s, after 0 s"]));
}

#[cfg(not(feature = "progress"))]
#[test]
fn without_the_feature_a_terminal_has_lines() {
    let (screen, peer) = Screen::of("one drawing");
    assert!(peer.ends_well());
    let (lines, cursor) = screen.last();
    has(&lines[0], &["pages [2J: 0 of 100, 0%, all of them"]);
    assert_eq!((lines.len(), cursor), (4, (4, 0)), "{lines:#?}");
}
