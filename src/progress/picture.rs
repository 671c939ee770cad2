//! One drawing, as lines or as a bar.

use std::time::Instant;

use super::{
    bars::{Bar, Screen},
    line::ProgressLine,
    lines::Lines,
    words::Words,
};

/// Asked for what is to be drawn.
pub(super) type Look = Box<dyn FnMut() -> ProgressLine + Send>;

pub(super) struct Picture {
    look: Look,
    words: Words,
    canvas: Canvas,
    /// When to look again.
    next: Instant,
}

#[derive(Debug)]
enum Canvas {
    Bar(Bar),
    Lines(Lines),
}

impl Picture {
    /// Already drawn once, with what the first look saw.
    pub(super) fn new(screen: Option<&Screen>, label: Option<&str>, first: ProgressLine, look: Look) -> Self {
        let now = Instant::now();
        let words = Words::new(label, first.position, now);
        let bar = screen.map(|screen| screen.bar(words.label(), &first));
        let canvas = bar.map_or_else(|| Canvas::Lines(Lines::default()), Canvas::Bar);
        let mut picture = Self { look, words, canvas, next: now };
        picture.show(first, now);
        picture
    }

    /// Looks and draws, if it is time to. When it will be next.
    pub(super) fn draw(&mut self, now: Instant) -> Instant {
        if now >= self.next {
            let line = (self.look)();
            self.show(line, now);
        }
        self.next
    }

    /// A last look, which stays.
    pub(super) fn end(mut self) {
        let line = (self.look)();
        let text = self.words.in_the_end(&line, Instant::now());
        match self.canvas {
            Canvas::Bar(bar) => bar.end(&text),
            Canvas::Lines(lines) => lines.end(&text),
        }
    }

    fn show(&mut self, line: ProgressLine, now: Instant) {
        self.next = match &mut self.canvas {
            Canvas::Bar(bar) => bar.show(line, now),
            Canvas::Lines(lines) => lines.show(&self.words, line, now),
        };
    }
}
