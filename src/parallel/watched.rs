//! A call that is watched: bars, and joblib's lines.

use super::{
    settings::{Settings, Stand},
    verbose::Lines,
};
use crate::{
    error::Result,
    progress::{Drawing, ProgressLine},
    workers::{Manner, Recipe, Run, Setup, Source, TaskError, TaskErrorKind},
};

/// A call, and what is shown of it.
pub(super) struct Watched<K: Recipe, In> {
    run: Run<K, In>,
    lines: Option<Lines>,
    _drawing: Option<Drawing>,
    _stand: Stand,
}

impl<K: Recipe, In: Iterator<Item = K::Item>> Watched<K, In> {
    pub(super) fn start(
        settings: &Settings,
        recipe: K,
        setup: Result<Setup>,
        input: In,
        manner: Manner,
    ) -> Result<Self, TaskError> {
        let refused =
            |error: crate::error::Error| TaskError::new(0, TaskErrorKind::Refused(error.to_string()), None);
        let stand = settings.stand().map_err(refused)?;
        let place = stand.place.clone();
        let setup = setup.map_err(refused)?;
        let total = input.size_hint();
        let total = total.1.filter(|&most| most == total.0);
        let lines = (settings.verbose > 0).then(|| {
            let workers = place.workers();
            let lines = Lines::new(settings.verbose, settings.told_jobs(workers), total);
            lines.begin(settings.backend().name(), workers);
            lines
        });
        let mut run = Run::start(place, manner, recipe, setup, input, settings.chunk(), settings.terms());
        // Lines are for who looks.
        run.patient &= lines.is_none();
        let drawing = if let Some(look) = settings.look.clone() {
            Some(Drawing::start(None, move || look()))
        } else if settings.progress {
            let call = run.call().clone();
            let total = total.unwrap_or(0) as u64;
            Some(Drawing::start(None, move || ProgressLine::new(call.settled() as u64, total)))
        } else {
            None
        };
        Ok(Self { run, lines, _drawing: drawing, _stand: stand })
    }
}

impl<K: Recipe, In: Iterator<Item = K::Item>> Source<K::Output> for Watched<K, In> {
    fn next(&mut self) -> Option<(usize, Result<K::Output, TaskError>)> {
        let next = self.run.next();
        match (&mut self.lines, &next) {
            (Some(lines), Some(_)) => {
                if let Some(resized) = self.run.resized() {
                    lines.resized(resized);
                }
                lines.one_more();
            }
            (Some(_), None) => {
                if let Some(lines) = self.lines.take() {
                    lines.end();
                }
            }
            (None, _) => {}
        }
        next
    }

    fn consume(&mut self) {
        self.run.consumed += 1;
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.run.size_hint()
    }
}
