//! Workers that stay for the next call.
//!
//! To start processes costs milliseconds; so those of one call are kept, and the next call with the same
//! settings uses them. Other settings bring other workers, and the old ones leave when no call uses
//! them any more. After five minutes without a task they leave by themselves.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    error::Result,
    sys::fork,
    workers::{Crew, Habits},
};

/// As long as joblib's.
const IDLE: Duration = Duration::from_secs(300);

/// Workers that somebody uses, or that are kept for the next call. When nobody does, they leave.
pub(super) struct Crewed(Arc<Crew>);

impl Crewed {
    pub(super) fn crew(&self) -> &Arc<Crew> {
        &self.0
    }
}

impl Drop for Crewed {
    fn drop(&mut self) {
        self.0.leave();
    }
}

struct Warm {
    /// The process that they work for: a forked child has none.
    process: u64,
    habits: Habits,
    crew: Arc<Crewed>,
}

static WARM: Mutex<Option<Warm>> = Mutex::new(None);

/// So many workers, with so many threads each.
pub(super) fn crew(workers: usize, inner_threads: Option<usize>) -> Result<Arc<Crewed>> {
    let habits = Habits { workers, inner_threads, idle_timeout: Some(IDLE), ..Habits::default() };
    let mut warm = WARM.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Warm { process, habits: known, crew }) = &*warm
        && *process == fork::mark()
        && *known == habits
        && crew.crew().is_open()
    {
        return Ok(crew.clone());
    }
    let crew = Arc::new(Crewed(Crew::start(habits)?));
    let old = warm.replace(Warm { process: fork::mark(), habits, crew: crew.clone() });
    drop(warm);
    // If calls still use them, they leave after these.
    drop(old);
    Ok(crew)
}
