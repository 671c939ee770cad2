//! Running a function of this program in a new process.

use std::{env, ffi::CString, io, os::unix::ffi::OsStringExt, process};

use crate::{
    error::{Error, ErrorKind, Result},
    message::{self, Message},
    process::{
        call::Call,
        exit,
        facts::{Facts, Nonce},
        function::Function,
        handle::Process,
        init,
        spawner::{self, Request},
    },
    segment,
    sys::{identity::ProcessId, spawn::nonce},
};

/// Runs `f(args)` in a new process.
///
/// The process is this program started once more, so `f` is a plain function or a closure that
/// captures nothing; what it needs comes in `args`. It shares standard input, output and error, the
/// environment and the working directory with its parent, and no other descriptor. It ends with its
/// parent, however that ends. Any thread may call this, and workers may too.
///
/// A closure that captures does not compile:
///
/// ```compile_fail,E0308
/// let factor = 3;
/// commons::spawn(14, |n: u32| n * factor);
/// ```
///
/// One that never returns needs a result type all the same: `|()| -> () { loop { … } }`.
///
/// # Errors
/// - [`ErrorKind::NotInitialised`] if [`commons::init()`](crate::init) has not run.
/// - [`ErrorKind::Encode`] if `args` cannot be written as a message.
/// - [`ErrorKind::InvalidInput`] if `f` is not code of the main program but of a loaded library.
/// - What the system says if it cannot start a process.
///
/// What goes wrong in the new process is told by [`Process::join`].
///
/// # Examples
/// ```
/// commons::init_in_tests!();
///
/// # fn main() -> commons::Result<()> {
/// let process = commons::spawn((2, 3), |(a, b)| a + b)?;
/// assert_eq!(process.join()?, 5);
/// # Ok(()) }
/// ```
pub fn spawn<A: Message, R: Message>(args: A, f: fn(A) -> R) -> Result<Process<R>> {
    check_initialised()?;
    let function = Function::of(f)?;
    // What the arguments refer to stays alive until the worker has it, if there is one.
    let started = segment::pinning(|| {
        let arguments = message::encode(&args)?;
        let started = request(function, &arguments).and_then(spawner::start);
        started.map_err(|error| Error::os("cannot start a process", error))
    });
    started.map(Process::new)
}

fn check_initialised() -> Result<()> {
    if init::is_initialised() {
        return Ok(());
    }
    if init::is_worker() {
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

fn request(function: Function, arguments: &[u8]) -> io::Result<Request> {
    let nonce = Nonce::new(nonce()?);
    let parent = ProcessId::current()?;
    let facts = Facts::new(nonce, parent, function.build, function.function, function.runner);
    Ok(Request {
        call: Call::create(facts, arguments)?,
        arguments: init::worker_arguments(nonce)?,
        environment: environment()?,
    })
}

/// The environment as it is now, as `NAME=value`.
fn environment() -> io::Result<Vec<CString>> {
    let lines = env::vars_os().map(|(name, value)| {
        let mut line = name.into_vec();
        line.push(b'=');
        line.extend(value.into_vec());
        Ok(CString::new(line)?)
    });
    lines.collect()
}
