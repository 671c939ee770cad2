//! What a `Parallel` was asked for, and the workers that this means.

use std::{sync::Arc, time::Duration};

use super::{
    backend::{Backend, Kind, sequential, threads},
    warm::{self, Crewed},
};
use crate::{
    cpus::{cpu_count, jobs},
    error::{Error, Result},
    progress::ProgressLine,
    workers::{Chunk, Guard, Place, Terms, guard, share},
};

/// Makes a line of progress.
pub(super) type Look = Arc<dyn Fn() -> ProgressLine + Send + Sync>;

/// Where a call runs, and what it needs as long as it does.
pub(super) struct Stand {
    pub(super) place: Place,
    /// What ends the workers with Ctrl-C.
    _guard: Option<Guard>,
    _warm: Option<Arc<Crewed>>,
}

#[derive(Clone, Default)]
pub(super) struct Settings {
    pub(super) jobs: Option<i64>,
    pub(super) backend: Option<Backend>,
    pub(super) verbose: u32,
    pub(super) chunk: Option<usize>,
    pub(super) retries: u32,
    pub(super) timeout: Option<Duration>,
    pub(super) inner_threads: Option<usize>,
    pub(super) look_ahead: Option<usize>,
    pub(super) progress: bool,
    pub(super) look: Option<Look>,
    pub(super) no_guard: bool,
}

impl Settings {
    /// How many tasks at a time.
    ///
    /// Inside a task its part of the CPUs counts as all there are, so that calls in calls do not make more
    /// threads than there are CPUs.
    fn workers(&self) -> Result<usize> {
        match (self.jobs, share()) {
            (None, part) => Ok(part.unwrap_or_else(cpu_count)),
            (Some(given @ ..0), Some(part)) => {
                Ok(usize::try_from(part as i64 + 1 + given).unwrap_or(1).max(1))
            }
            (Some(given), _) => jobs(given),
        }
    }

    pub(super) fn backend(&self) -> Backend {
        // A worker process has threads: they start at once and go with it.
        let usual = || if share().is_some() { Backend::threads() } else { Backend::processes() };
        self.backend.clone().unwrap_or_else(usual)
    }

    pub(super) fn stand(&self) -> Result<Stand> {
        let mut warm = None;
        let place = self.place(&mut warm)?;
        let guard = match &place {
            Place::Processes(crew) if !self.no_guard => {
                Some(guard(crew).map_err(|error| Error::os("cannot handle Ctrl-C", error))?)
            }
            _ => None,
        };
        Ok(Stand { place, _guard: guard, _warm: warm })
    }

    fn place(&self, warm: &mut Option<Arc<Crewed>>) -> Result<Place> {
        let workers = self.workers()?;
        match self.backend().0 {
            Kind::Custom(hall) => Ok(Place::Here(hall)),
            Kind::Sequential => sequential(),
            // Who asks for one job and nothing else wants to look at it; others want the safety of a process.
            Kind::Processes if self.jobs == Some(1) && self.backend.is_none() => sequential(),
            Kind::Threads if workers == 1 => sequential(),
            Kind::Threads => threads(workers),
            Kind::Processes => {
                let crew = warm.insert(warm::crew(workers, self.inner_threads)?);
                Ok(Place::Processes(crew.crew().clone()))
            }
        }
    }

    pub(super) fn terms(&self) -> Terms {
        Terms { retries: self.retries, timeout: self.timeout }
    }

    pub(super) fn chunk(&self) -> Chunk {
        Chunk::of(self.chunk).look_ahead(self.look_ahead)
    }

    /// The number of jobs as it was asked for.
    pub(super) fn told_jobs(&self, workers: usize) -> String {
        self.jobs.map_or_else(|| workers.to_string(), |jobs| jobs.to_string())
    }
}
