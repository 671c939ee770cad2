//! How a pool's workers live.

use std::time::Duration;

use crate::{
    cpus::cpu_count,
    process::{Process, ProcessBuilder},
};

/// How a pool's workers live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Habits {
    pub(crate) workers: usize,
    pub(crate) recycle_after: Option<u64>,
    pub(crate) idle_timeout: Option<Duration>,
    /// How many threads a worker's libraries shall use; otherwise its part of the CPUs, unless the
    /// environment says something.
    pub(crate) inner_threads: Option<usize>,
}

/// Where libraries look for how many threads they shall use.
const THREAD_COUNTS: [&str; 8] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
];

impl Habits {
    /// A worker's part of the CPUs.
    pub(super) fn share(&self) -> usize {
        self.inner_threads.unwrap_or_else(|| (cpu_count() / self.workers).max(1))
    }

    /// How a worker is started that has this part of the CPUs.
    pub(super) fn builder(&self, share: usize) -> ProcessBuilder {
        let share = share.to_string();
        THREAD_COUNTS.into_iter().fold(Process::builder(), |builder, name| match self.inner_threads {
            Some(_) => builder.env(name, &share),
            None => builder.env_default(name, &share),
        })
    }
}
