//! Ctrl-C while workers work.
//!
//! A terminal sends the signal to every process in it. Workers shrug it off; in the parent a handler rings
//! a bell, and a thread of ours does the rest: nothing more is handed out, tasks that have begun have a
//! second, then the workers and all that descends from them are killed, and the signal goes on to what
//! was there before: mostly that is the end of the process. A second Ctrl-C takes the second away.
//!
//! The handler is there only while somebody is guarded.

use std::{
    convert::Infallible,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};

use super::crew::Crew;
use crate::{
    deadline::Deadline,
    process::caught,
    progress, segment,
    sys::{
        events::{Bell, Events},
        interrupt::{self, Previous},
        per_process::PerProcess,
        signals,
    },
};

/// How long tasks that have begun may go on.
const GRACE: Duration = Duration::from_secs(1);

/// Between two looks whether they are done.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Watch {
    guarded: Mutex<Guarded>,
}

#[derive(Default)]
struct Guarded {
    /// Each with a number.
    crews: Vec<(u64, Weak<Crew>)>,
    next: u64,
    bell: Option<&'static Bell>,
    previous: Option<Previous>,
    /// The signal is being seen to.
    interrupted: bool,
}

impl Watch {
    fn here() -> &'static Self {
        static WATCH: PerProcess<Watch> = PerProcess::new();
        let Ok(watch) = WATCH.get_or_try_init(|| Ok::<_, Infallible>(Self::default()));
        watch
    }

    fn lock(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workers of a crew end with Ctrl-C, until this is dropped.
pub(crate) struct Guard {
    watch: &'static Watch,
    number: u64,
}

/// Guards a crew.
///
/// # Errors
/// What the system says if there can be no handler or no thread.
pub(crate) fn guard(crew: &Arc<Crew>) -> io::Result<Guard> {
    let watch = Watch::here();
    let mut guarded = watch.lock();
    let bell = match guarded.bell {
        Some(bell) => bell,
        None => *guarded.bell.insert(listen(watch)?),
    };
    if guarded.previous.is_none() && !guarded.interrupted {
        guarded.previous = interrupt::catch(bell)?;
    }
    guarded.next += 1;
    let number = guarded.next;
    guarded.crews.push((number, Arc::downgrade(crew)));
    Ok(Guard { watch, number })
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut guarded = self.watch.lock();
        guarded.crews.retain(|(number, _)| *number != self.number);
        if guarded.crews.is_empty()
            && let Some(previous) = guarded.previous.take()
        {
            // What cannot be restored was there before, so it can.
            let _ = previous.restore();
        }
    }
}

fn listen(watch: &'static Watch) -> io::Result<&'static Bell> {
    let bell: &'static Bell = Box::leak(Box::new(segment::with_descriptors(Bell::new)?));
    let events = segment::with_descriptors(Events::new)?;
    events.add(bell, 0)?;
    thread::Builder::new().name("commons-ctrl-c".into()).spawn(move || {
        signals::block_in_this_thread();
        loop {
            if events.wait().is_err() {
                // Out of memory, at worst; look again soon.
                thread::sleep(LOOK);
                continue;
            }
            bell.quiet();
            watch.interrupted(bell);
        }
    })?;
    Ok(bell)
}

impl Watch {
    fn interrupted(&self, bell: &Bell) {
        let (crews, previous) = {
            let mut guarded = self.lock();
            guarded.interrupted = true;
            let crews: Vec<Arc<Crew>> = guarded.crews.iter().filter_map(|(_, crew)| crew.upgrade()).collect();
            (crews, guarded.previous.take())
        };
        // Whatever goes wrong, the signal goes on.
        let _ = caught(|| end(&crews, bell));
        if let Some(previous) = previous {
            let _ = previous.restore();
        }
        // Asked now: a call that has just ended may have restored it, and somebody may have set another.
        let ends = interrupt::is_default();
        // This process ends without running destructors, and the workers were killed.
        let left = ends.then(segment::leave_all).flatten();
        left.iter().for_each(segment::sweep_at_end);
        let _ = interrupt::again();
        // Here the process has ended, unless it is the first of a container, which no signal ends like this.
        drop(left);
        bell.quiet();
        if !ends {
            // Whoever has a handler of its own goes on, without these workers.
            crews.iter().for_each(|crew| crew.terminate());
        }
        self.lock().interrupted = false;
    }
}

/// Gives tasks that have begun a moment, and kills the workers.
fn end(crews: &[Arc<Crew>], bell: &Bell) {
    if !crews.is_empty() {
        progress::end_all();
        let workers: usize = crews.iter().map(|crew| crew.ids().len()).sum();
        // Who has closed stderr does not want to read it.
        let _ = writeln!(io::stderr(), "commons: interrupted, {workers} workers end");
    }
    crews.iter().for_each(|crew| crew.freeze());
    let end = Deadline::after(GRACE);
    while !end.has_passed() && !bell.quiet() && !crews.iter().all(|crew| crew.is_quiet()) {
        thread::sleep(LOOK);
    }
    let workers: Vec<_> = crews
        .iter()
        .flat_map(|crew| crew.lock().workers.iter().flatten().cloned().collect::<Vec<_>>())
        .collect();
    crews.iter().for_each(|crew| crew.kill_all());
    // Until they are gone their names are in use.
    let end = Deadline::after(GRACE);
    workers.iter().for_each(|worker| _ = worker.wait_timeout(end.remaining().unwrap_or_default()));
}
