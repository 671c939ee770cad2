//! Without the feature `progress`: no screen, so no bar.

use std::time::Instant;

use super::line::ProgressLine;

#[derive(Debug)]
pub(super) enum Screen {}

impl Screen {
    pub(super) fn new() -> Option<Self> {
        None
    }

    pub(super) fn bar(&self, _: &str, _: &ProgressLine) -> Bar {
        match *self {}
    }
}

#[derive(Debug)]
pub(super) enum Bar {}

impl Bar {
    pub(super) fn show(&mut self, _: ProgressLine, _: Instant) -> Instant {
        match *self {}
    }

    pub(super) fn end(self, _: &str) {
        match self {}
    }
}
