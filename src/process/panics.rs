//! What is told about a panic: message, location, backtrace.

use std::{
    any::Any,
    backtrace::Backtrace,
    collections::VecDeque,
    mem,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::{Mutex, Once, PoisonError},
    thread,
};

use serde::{Deserialize, Serialize};

/// A panic, in a form that crosses processes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) message: String,
    pub(crate) location: String,
    pub(crate) backtrace: String,
}

/// The last panics of this process, newest last. Those of its other threads too: a panic that is
/// handed on with `resume_unwind` happened on another thread than the one it ends on.
static RECENT: Mutex<VecDeque<Report>> = Mutex::new(VecDeque::new());
const KEPT: usize = 8;

/// From now on notes every panic, after the hook that was there has printed it, and tells `also`.
pub(super) fn listen(also: impl Fn(&Report) + Send + Sync + 'static) {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        previous(info);
        let report = Report {
            message: message(info.payload()),
            location: info.location().map_or_else(unknown, ToString::to_string),
            backtrace: Backtrace::force_capture().to_string(),
        };
        also(&report);
        let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back(report);
    }));
}

/// As [`listen`], once in this process, for nobody besides: so that [`caught`] knows where a panic was.
pub(crate) fn note() {
    static NOTED: Once = Once::new();
    // While a panic goes on the hook cannot be changed. The next caller will.
    if !thread::panicking() {
        NOTED.call_once(|| listen(|_| {}));
    }
}

/// Runs `f`, and tells of its panic. What it panicked with is leaked: its destructor may panic again.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, Report> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        let report = report(&*payload);
        mem::forget(payload);
        report
    })
}

/// Drops what is the user's, and tells of its panic.
pub(crate) fn discard<T>(value: T) -> Result<(), Report> {
    caught(|| drop(value))
}

/// The report of the panic that was caught with this payload.
fn report(payload: &(dyn Any + Send)) -> Report {
    let message = message(payload);
    let recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    // A hook of the user's may have taken the place of ours: then the message is all there is.
    let noted = recent.iter().rev().find(|report| report.message == message).cloned();
    noted.unwrap_or_else(|| Report { message, location: unknown(), backtrace: unknown() })
}

fn message(payload: &dyn Any) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a value that is not a string, by `std::panic::panic_any` or `resume_unwind`".to_owned()
    }
}

fn unknown() -> String {
    "an unknown place".to_owned()
}
