//! Workers that stay for the next call.
//!
//! To start processes costs milliseconds; so those of one call are kept, and the next call with the same
//! settings uses them. Other settings bring other workers, and the old ones leave when their tasks are
//! done. After five minutes without a task they leave by themselves.

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

struct Warm {
    /// The process that they work for: a forked child has none.
    process: u64,
    habits: Habits,
    crew: Arc<Crew>,
}

static WARM: Mutex<Option<Warm>> = Mutex::new(None);

/// So many workers, with so many threads each.
pub(super) fn crew(workers: usize, inner_threads: Option<usize>) -> Result<Arc<Crew>> {
    let habits = Habits { workers, inner_threads, idle_timeout: Some(IDLE), ..Habits::default() };
    let mut warm = WARM.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Warm { process, habits: known, crew }) = &*warm
        && *process == fork::mark()
        && *known == habits
        && crew.is_open()
    {
        return Ok(crew.clone());
    }
    let crew = Crew::start(habits)?;
    let new = Warm { process: fork::mark(), habits, crew: crew.clone() };
    if let Some(old) = warm.replace(new).filter(|old| old.process == fork::mark()) {
        old.crew.leave();
    }
    Ok(crew)
}
