//! A bound for whole tests: what hangs is a failure that says what hung.

use std::{sync::mpsc, thread, time::Duration};

/// Ends this process, and so all workers, with a message if it is not dropped in time.
#[derive(Debug)]
pub struct Watchdog {
    _calm: mpsc::Sender<()>,
}

pub fn watchdog(what: &'static str, limit: Duration) -> Watchdog {
    let (calm, alarm) = mpsc::channel();
    thread::spawn(move || {
        if alarm.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("\n{what}: hangs, not done after {limit:?}");
            std::process::abort();
        }
    });
    Watchdog { _calm: calm }
}
