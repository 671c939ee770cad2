//! `Process<R>`: the handle of a process that runs a function.

use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU32},
    time::Duration,
};

use crate::{
    deadline::Deadline,
    error::{Error, Result},
    message::{self, Message},
    process::{
        error::ProcessError,
        exit::Exit,
        outcome::Kind,
        panics::Report,
        started::{End, Started},
        tree,
    },
    sys::pidfd,
};

/// A process that runs a function of this program and returns an `R`; made by [`spawn`](crate::spawn).
///
/// A dropped handle lets the process run on; it is collected when it ends. It ends at the latest
/// when the process that started it does.
///
/// # Examples
/// ```
/// commons::init_in_tests!();
///
/// # fn main() -> commons::Result<()> {
/// let process = commons::spawn("seven".to_string(), |text| text.len())?;
/// assert_ne!(process.id(), std::process::id());
/// assert_eq!(process.join()?, 5);
/// # Ok(()) }
/// ```
pub struct Process<R> {
    started: Arc<Started>,
    /// What came of it, from the first look after it was told.
    outcome: Mutex<Option<Outcome<R>>>,
    read: fn(&Started) -> Option<Outcome<R>>,
}

type Outcome<R> = Result<R, ProcessError>;

impl<R: Message> Process<R> {
    pub(super) fn new(started: Arc<Started>) -> Self {
        Self { started, outcome: Mutex::new(None), read: read_outcome }
    }

    /// Waits until the process ends, and returns what its function returned.
    ///
    /// A result that was sent counts, however the process ends afterwards.
    ///
    /// # Errors
    /// What happened instead: see [`ProcessError`].
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    /// use commons::ProcessError;
    ///
    /// # fn main() -> commons::Result<()> {
    /// let five = commons::spawn((2, 3), |(a, b)| a + b)?.join()?;
    /// assert_eq!(five, 5);
    ///
    /// let process = commons::spawn((), |()| -> () { panic!("no more tea") })?;
    /// let Err(ProcessError::Panicked { message, location, .. }) = process.join() else { panic!() };
    /// assert_eq!(message, "no more tea");
    /// assert!(location.contains(".rs:"));
    /// # Ok(()) }
    /// ```
    pub fn join(self) -> Result<R, ProcessError> {
        let id = self.started.id;
        if !self.started.is_ours() {
            return Err(ProcessError::Unknown { id, reason: NOT_OURS.into() });
        }
        self.started.wait_for_outcome(Deadline::NEVER);
        self.take_outcome();
        let end = loop {
            if let Some(end) = self.started.wait_for_end(Deadline::NEVER) {
                break end;
            }
        };
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (outcome, end) {
            (Some(outcome), _) => outcome,
            (None, &Ok(exit)) if self.started.took_over() || exit.came_from_outside() => {
                Err(ProcessError::Exited { id, exit })
            }
            (None, &Ok(exit)) => Err(ProcessError::NotStarted { id, exit }),
            (None, Err(reason)) => Err(ProcessError::Unknown { id, reason: reason.clone() }),
        }
    }
}

/// What the process told, if it has.
fn read_outcome<R: Message>(started: &Started) -> Option<Outcome<R>> {
    let id = started.id;
    let decode = |reason: String| ProcessError::Decode { id, reason };
    let kind = started.call.kind()?;
    let bytes = match started.call.outcome() {
        Ok(bytes) => bytes,
        Err(error) => return Some(Err(decode(format!("the outcome is damaged: {error}")))),
    };
    let sentence = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(match kind {
        Kind::Returned => message::decode(&bytes).map_err(|error| decode(error.to_string())),
        Kind::Panicked => Err(match message::decode(&bytes) {
            Ok(Report { message, location, backtrace }) => {
                ProcessError::Panicked { id, message, location, backtrace }
            }
            Err(error) => decode(error.to_string()),
        }),
        Kind::Decode => Err(decode(sentence(&bytes))),
        Kind::Encode => Err(ProcessError::Encode { id, reason: sentence(&bytes) }),
        Kind::Refused => Err(ProcessError::Refused { id, reason: sentence(&bytes) }),
    })
}

impl<R> Process<R> {
    /// The process's id (pid).
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    ///
    /// # fn main() -> commons::Result<()> {
    /// let process = commons::spawn((), |()| std::process::id())?;
    /// let id = process.id();
    /// assert_eq!(process.join()?, id);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "pid")]
    pub fn id(&self) -> u32 {
        self.started.id
    }

    /// For a select: the word that changes when the process ends.
    pub(crate) fn state(&self) -> (&AtomicU32, u32) {
        self.started.state()
    }

    /// Whether the process has ended.
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    ///
    /// # fn main() -> commons::Result<()> {
    /// let process = commons::spawn((), |()| -> () { loop { std::thread::park() } })?;
    /// assert!(!process.is_finished());
    /// process.kill()?;
    /// process.wait()?;
    /// assert!(process.is_finished());
    /// # Ok(()) }
    /// ```
    #[doc(alias = "is_alive")]
    pub fn is_finished(&self) -> bool {
        self.take_outcome();
        self.started.end().is_some()
    }

    /// How the process ended; `None` while it runs, and where [`wait`](Self::wait) is an error.
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    ///
    /// # fn main() -> commons::Result<()> {
    /// let process = commons::spawn((), |()| ())?;
    /// process.wait()?;
    /// assert_eq!(process.exit(), Some(commons::Exit::Code(0)));
    /// # Ok(()) }
    /// ```
    #[doc(alias = "exitcode")]
    pub fn exit(&self) -> Option<Exit> {
        self.take_outcome();
        self.started.end()?.as_ref().ok().copied()
    }

    /// Waits until the process ends.
    ///
    /// # Errors
    /// [`ErrorKind::Process`](crate::ErrorKind::Process) if it cannot be known how it ended: its status was collected elsewhere
    /// in this program, or this process was forked from the one that started it.
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    ///
    /// # fn main() -> commons::Result<()> {
    /// let process = commons::spawn((), |()| -> () { std::process::abort() })?;
    /// assert_eq!(process.wait()?.to_string(), "was killed by signal 6 (SIGABRT)");
    /// # Ok(()) }
    /// ```
    pub fn wait(&self) -> Result<Exit> {
        loop {
            if let Some(exit) = self.wait_until(Deadline::NEVER)? {
                return Ok(exit);
            }
        }
    }

    /// Waits until the process ends, at most for `timeout`; `None` if it still runs then.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    /// use std::time::Duration;
    ///
    /// # fn main() -> commons::Result<()> {
    /// let process = commons::spawn((), |()| -> () { loop { std::thread::park() } })?;
    /// assert_eq!(process.wait_timeout(Duration::from_millis(20))?, None);
    /// process.terminate()?;
    /// assert_eq!(process.wait_timeout(Duration::from_secs(9))?, Some(commons::Exit::Signal(15)));
    /// # Ok(()) }
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<Exit>> {
        self.wait_until(Deadline::after(timeout))
    }

    fn wait_until(&self, deadline: Deadline) -> Result<Option<Exit>> {
        let unknown = |reason: &str| {
            Error::from(ProcessError::Unknown { id: self.started.id, reason: reason.to_owned() })
        };
        if !self.started.is_ours() {
            return Err(unknown(NOT_OURS));
        }
        self.started.wait_for_outcome(deadline);
        self.take_outcome();
        match self.started.wait_for_end(deadline) {
            None => Ok(None),
            Some(End::Ok(exit)) => Ok(Some(*exit)),
            Some(End::Err(reason)) => Err(unknown(reason)),
        }
    }

    /// Reads what it told while it still lives: it waits until what its result refers to is taken.
    fn take_outcome(&self) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome.is_none() && self.started.is_ours() {
            *outcome = (self.read)(&self.started);
        }
    }

    /// Asks the process to end, by SIGTERM; one that has ended is fine.
    ///
    /// # Errors
    /// When the system refuses, as it does if the process has changed its user.
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    ///
    /// # fn main() -> commons::Result<()> {
    /// let process = commons::spawn((), |()| -> () { loop { std::thread::park() } })?;
    /// process.terminate()?;
    /// assert_eq!(process.wait()?, commons::Exit::Signal(15));
    /// # Ok(()) }
    /// ```
    pub fn terminate(&self) -> Result<()> {
        self.signal(pidfd::terminate)
    }

    /// Ends the process at once, by SIGKILL; one that has ended is fine.
    ///
    /// # Errors
    /// When the system refuses, as it does if the process has changed its user.
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    ///
    /// # fn main() -> commons::Result<()> {
    /// let process = commons::spawn((), |()| -> () { loop { std::thread::park() } })?;
    /// process.kill()?;
    /// assert_eq!(process.wait()?, commons::Exit::Signal(9));
    /// process.kill()?;
    /// # Ok(()) }
    /// ```
    pub fn kill(&self) -> Result<()> {
        self.signal(pidfd::kill)
    }

    /// Ends the process and all that descends from it at once, by SIGKILL: its children, theirs, and
    /// so on, whoever started them and how. One that has ended is fine.
    ///
    /// All are stopped first, so that none starts another meanwhile. It takes some milliseconds, and
    /// at most about five seconds; like [`kill`](Self::kill) it does not wait until they are gone.
    ///
    /// Whose own parent has ended before descends from nobody here any more, and is not found: so a
    /// daemon lives on, and so do the descendants of a process that has ended already, except
    /// [workers](crate::spawn), which end with their parents.
    ///
    /// # Errors
    /// When the system refuses a signal, as it does if one of them has another user, when they
    /// cannot be found, or when they become more faster than they can be stopped. Everybody who was
    /// found is killed also then.
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    ///
    /// # fn main() -> commons::Result<()> {
    /// let process = commons::spawn((), |()| {
    ///     let mut sleep = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    ///     sleep.wait().unwrap();
    /// })?;
    /// process.kill_tree()?;                        // `kill` would leave the sleep
    /// assert_eq!(process.wait()?, commons::Exit::Signal(9));
    /// # Ok(()) }
    /// ```
    pub fn kill_tree(&self) -> Result<()> {
        let refused = |error| {
            Error::os(format_args!("cannot kill all that descends from process {}", self.id()), error)
        };
        self.started.signal(|root| tree::kill(root, self.id())).map_err(refused)
    }

    fn signal(&self, send: fn(BorrowedFd<'_>) -> io::Result<()>) -> Result<()> {
        let refused = |error| Error::os(format_args!("cannot signal process {}", self.id()), error);
        self.started.signal(send).map_err(refused)
    }
}

/// The process's pidfd: readable when it has ended, and as good for `pidfd_send_signal` and the like.
///
/// Where something else in the program collects children (SIGCHLD is ignored, somebody waits for
/// all), a process can be gone before a pidfd can be had. Then this is another descriptor that is
/// readable for ever, and signals to it are refused as to no pidfd.
///
/// # Examples
/// ```
/// commons::init_in_tests!();
/// use std::os::fd::AsFd;
///
/// use rustix::event::{PollFd, PollFlags, poll};
///
/// # fn main() -> commons::Result<()> {
/// let process = commons::spawn((), |()| ())?;
/// let mut sources = [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)];
/// assert_eq!(poll(&mut sources, None).unwrap(), 1);
/// process.wait()?;
/// # Ok(()) }
/// ```
impl<R> AsFd for Process<R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.started.as_fd()
    }
}

const NOT_OURS: &str = "it is the child of the process that this one was forked from; wait for it there";

impl<R> fmt::Debug for Process<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Process");
        text.field("id", &self.id());
        match self.started.end() {
            None => text.field("exit", &format_args!("none yet")),
            Some(end) => text.field("exit", end),
        };
        text.finish()
    }
}
