//! The front door of `main`: here worker processes leave it.

use std::{
    env,
    ffi::{CString, OsString},
    io,
    os::unix::ffi::OsStringExt,
    process,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use crate::{
    error::{Error, ErrorKind, Result},
    process::{child, exit, facts::Nonce},
    sys::{identity, signals},
};

/// The first argument of a worker. Not in the environment, which grandchildren would inherit.
const MARKER: &str = "--commons-worker";

/// Whether `init` ran in this process, or in the one it was forked from.
static INITIALISED: AtomicBool = AtomicBool::new(false);

/// Makes this program able to start worker processes; the first line of `main`.
///
/// [`spawn`](crate::spawn) starts the running program once more. In that process this call runs the
/// function that was asked for and never returns; in all others it returns at once. So what stands
/// before it runs in every worker too: put it before any runtime, thread, file or argument parser.
///
/// Without it `spawn` starts nothing and says so; a worker that comes to `spawn` without it, because
/// only its parent called it, ends with a message and exit code 120.
///
/// Tests and doctests have no `main` of their own: there [`init_in_tests!`](crate::init_in_tests)
/// does the same.
///
/// # Examples
/// ```
/// fn main() -> commons::Result<()> {
///     commons::init();
///     let five = commons::spawn((2, 3), |(a, b)| a + b)?.join()?;
///     assert_eq!(five, 5);
///     Ok(())
/// }
/// ```
pub fn init() {
    if !INITIALISED.swap(true, Relaxed)
        && let Some((nonce, name)) = worker_call()
    {
        child::run(&nonce, name);
    }
}

/// Lets tests and doctests start worker processes; one line at the top.
///
/// It does before `main` what [`init`](crate::init()) does at its beginning, since the `main` of a
/// test is not yours. It may stand in a module or in a function, and more than once in a program.
///
/// # Examples
/// ```
/// commons::init_in_tests!();
///
/// # fn main() -> commons::Result<()> {
/// assert_eq!(commons::spawn(20, |n: u64| (1..=n).sum::<u64>())?.join()?, 210);
/// # Ok(()) }
/// ```
///
/// # Platform
/// The C library must hand the arguments to what runs before `main`; glibc does.
#[macro_export]
macro_rules! init_in_tests {
    () => {
        const _: () = {
            #[used]
            #[unsafe(link_section = ".init_array")]
            static BEFORE_MAIN: extern "C" fn() = $crate::__before_main;
        };
    };
}

/// What [`init_in_tests!`](crate::init_in_tests) has run before `main`.
pub extern "C" fn before_main() {
    if worker_call().is_some() {
        // What Rust does between here and `main`.
        signals::ignore_broken_pipes();
    }
    init();
}

/// An error if `init` has not run; the end of a worker in which it has not.
pub(super) fn check() -> Result<()> {
    if INITIALISED.load(Relaxed) {
        return Ok(());
    }
    if worker_call().is_some() {
        // One more process here would start one more, and so on.
        eprintln!(
            "commons: this worker process reached commons::spawn before commons::init(), which must be \
             the first line of main; it ends here"
        );
        process::exit(exit::NOT_INITIALISED);
    }
    Err(Error::new(
        ErrorKind::NotInitialised,
        "no process was started, because commons::init() has not run: make it the first line of main; in \
         tests write `commons::init_in_tests!();` at the top",
    ))
}

/// The argument list that `worker_call` recognises.
pub(super) fn worker_arguments(nonce: Nonce, name: Option<CString>) -> io::Result<Vec<CString>> {
    let program = env::args_os().next().unwrap_or_else(|| "commons".into());
    let program = CString::new(program.into_vec())?;
    let call = [program, CString::new(MARKER)?, CString::new(nonce.to_hex())?];
    Ok(call.into_iter().chain(name).collect())
}

/// The nonce of the call that this process was started for, and the name that it was given.
fn worker_call() -> Option<(OsString, Option<OsString>)> {
    // Whoever starts a program with more rights than its own must not choose what it runs.
    if identity::has_gained_rights() {
        return None;
    }
    let mut arguments = env::args_os().skip(1);
    (arguments.next()? == MARKER).then(|| (arguments.next().unwrap_or_default(), arguments.next()))
}
