//! A panic's message has the terminal to itself: bars are taken down for it.
//!
//! A redraw goes up as many lines as there are bars but one, and would overwrite the end of what
//! somebody else has written below them. Of other processes nobody knows; of our own panics we do.

use std::{
    convert::Infallible,
    panic,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc::sync_channel,
    },
    thread,
    time::Duration,
};

use indicatif::MultiProgress;

use crate::sys::per_process::PerProcess;

/// A bar that is still being drawn is gone before; longer only if the panic is indicatif's own.
const PATIENCE: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
struct Stage {
    bars: Mutex<Option<MultiProgress>>,
    /// Of these many panics the message is being written.
    messages: AtomicUsize,
}

impl Stage {
    fn here() -> &'static Self {
        static STAGE: PerProcess<Stage> = PerProcess::new();
        let Ok(stage) = STAGE.get_or_try_init(|| Ok::<_, Infallible>(Self::default()));
        stage
    }

    fn bars(&self) -> MutexGuard<'_, Option<MultiProgress>> {
        self.bars.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From now on panics take these bars down, before the hook that is there writes anything.
pub(super) fn take_down(bars: &MultiProgress) {
    static LISTENS: AtomicBool = AtomicBool::new(false);
    *Stage::here().bars() = Some(bars.clone());
    // A thread that panics may not change the hook.
    if thread::panicking() || LISTENS.swap(true, SeqCst) {
        return;
    }
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let stage = Stage::here();
        stage.messages.fetch_add(1, SeqCst);
        let bars = stage.bars().clone();
        bars.into_iter().for_each(clear);
        previous(info);
        stage.messages.fetch_sub(1, SeqCst);
    }));
}

/// Whether a message is being written, and no bar may be drawn.
pub(super) fn are_told() -> bool {
    Stage::here().messages.load(SeqCst) > 0
}

/// On another thread: indicatif draws nothing in one that panics, which may even hold its lock.
fn clear(bars: MultiProgress) {
    let (sender, cleared) = sync_channel(1);
    let thread = thread::Builder::new().spawn(move || {
        // A terminal that is gone is clear.
        let _ = bars.clear();
        let _ = sender.send(());
    });
    if thread.is_ok() {
        let _ = cleared.recv_timeout(PATIENCE);
    }
}
