//! Running a function of this program in a new process.

use crate::{error::Result, message::Message, process::handle::Process};

/// Runs `f(args)` in a new process.
///
/// The process is this program started once more, so `f` is a plain function or a closure that captures
/// nothing; what it needs comes in `args`. It shares standard input, output and error, the environment
/// and the working directory with its parent, and no other descriptor; what else the system gives each
/// thread is that of the calling one (CPUs, priority, rights). It ends with its parent, however that
/// ends, and not with that thread. Any thread may call this, and workers may too.
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
/// - [`ErrorKind::NotInitialised`](crate::ErrorKind::NotInitialised) if [`commons::init()`](crate::init) has not run.
/// - [`ErrorKind::Encode`](crate::ErrorKind::Encode) if `args` cannot be written as a message.
/// - [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if `f` is not code of the main program but of a loaded library.
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
    Process::builder().spawn(args, f)
}
