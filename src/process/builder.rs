//! Starting a process with a name and variables of its own.

use std::{
    ffi::{CString, OsStr},
    io,
    sync::Arc,
};

use crate::{
    error::{Error, ErrorKind, Result},
    message::{self, Message},
    process::{
        call::Call,
        environment::Environment,
        facts::{Facts, Nonce},
        function::Function,
        handle::Process,
        init,
        reaper::{self, OnEnd, Request},
        started::Started,
        title,
    },
    segment::{self, Unreceived},
    sys::{identity::ProcessId, spawn::nonce},
};

/// How a process is started, from [`Process::builder()`].
///
/// # Examples
/// ```
/// commons::init_in_tests!();
/// use commons::Process;
///
/// # fn main() -> commons::Result<()> {
/// let quiet = Process::builder().name("quiet").env("LOG", "error");
/// let process = quiet.spawn(7, |n: u32| (n, std::env::var("LOG").ok()))?;
/// assert_eq!(process.join()?, (7, Some("error".to_string())));
/// # Ok(()) }
/// ```
#[must_use = "it starts nothing by itself; call `spawn`"]
#[derive(Clone, Debug, Default)]
pub struct ProcessBuilder {
    name: Option<String>,
    environment: Environment,
}

impl Process<()> {
    /// Starts a process that has a name, or variables of its own. The result may have any type.
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    /// use commons::Process;
    ///
    /// # fn main() -> commons::Result<()> {
    /// let process = Process::builder().name("adder").spawn((2, 3), |(a, b)| a + b)?;
    /// assert_eq!(process.join()?, 5);
    /// # Ok(()) }
    /// ```
    pub fn builder() -> ProcessBuilder {
        ProcessBuilder::default()
    }
}

impl ProcessBuilder {
    /// What [`active_children`](crate::active_children) and lists of processes call it, in place of
    /// the program's name. The system shows the first 15 bytes, and all among the arguments.
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    /// use commons::Process;
    ///
    /// # fn main() -> commons::Result<()> {
    /// let shown = |()| std::fs::read_to_string("/proc/self/comm").unwrap();
    /// let process = Process::builder().name("census-writer").spawn((), shown)?;
    /// assert_eq!(process.join()?, "census-writer\n");
    /// # Ok(()) }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets a variable in the environment of the process, and not in this one's; of those of the
    /// same name the last counts. All others are this process's as they are at the start.
    ///
    /// # Examples
    /// ```
    /// commons::init_in_tests!();
    /// use commons::Process;
    ///
    /// # fn main() -> commons::Result<()> {
    /// let process = Process::builder().env("TEA", "green").spawn((), |()| std::env::var("TEA").ok())?;
    /// assert_eq!(process.join()?, Some("green".to_string()));
    /// assert!(std::env::var("TEA").is_err());
    /// # Ok(()) }
    /// ```
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.set(name.as_ref(), value.as_ref());
        self
    }

    /// Sets a variable that neither this process's environment nor [`env`](Self::env) has.
    pub(crate) fn env_default(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.set_default(name.as_ref(), value.as_ref());
        self
    }

    /// Runs `f(args)` in a new process, as [`commons::spawn`](crate::spawn) does.
    ///
    /// # Errors
    /// Those of [`commons::spawn`](crate::spawn), and [`ErrorKind::InvalidInput`] if the name holds
    /// NUL, a variable's value does, or a variable's name does, holds `=` or is empty.
    ///
    /// # Examples
    /// See [`ProcessBuilder`].
    pub fn spawn<A: Message, R: Message>(&self, args: A, f: fn(A) -> R) -> Result<Process<R>> {
        init::check()?;
        let function = Function::of(f)?;
        // What the arguments refer to stays alive until the worker has it, or has ended.
        let (arguments, unreceived) = segment::pinning_for(|| message::encode(&args))?;
        self.start(function, &arguments, unreceived, None).map(Process::new)
    }

    /// Spawns, and runs `on_end` once when the process has ended, was collected, and everybody who
    /// waits for it was told. Also if it was collected elsewhere; not if this returns an error.
    ///
    /// The caller holds what the arguments refer to, as long as the process may look for it.
    ///
    /// It runs on the thread that collects all processes, so it is short: who waits for another one waits
    /// for that thread. A panic in it is printed, and nothing else comes of it.
    pub(crate) fn spawn_and_tell<A: Message, R: Message>(
        &self,
        args: A,
        f: fn(A) -> R,
        on_end: impl FnOnce() + Send + 'static,
    ) -> Result<Process<R>> {
        init::check()?;
        let function = Function::of(f)?;
        let arguments = message::encode(&args)?;
        self.start(function, &arguments, Unreceived::default(), Some(Box::new(on_end))).map(Process::new)
    }

    fn start(
        &self,
        function: Function,
        arguments: &[u8],
        unreceived: Unreceived,
        on_end: Option<OnEnd>,
    ) -> Result<Arc<Started>> {
        let environment = self.environment.lines()?;
        let title = self.name.as_deref().map(argument).transpose()?;
        let request = || {
            let (nonce, call) = call(function, arguments, unreceived)?;
            let arguments = init::worker_arguments(nonce, title)?;
            Ok(Request { name: self.shown_name(), call, arguments, environment, on_end })
        };
        request().and_then(reaper::start).map_err(|error| Error::os("cannot start a process", error))
    }

    fn shown_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| title::of_program().to_string_lossy().into_owned())
    }
}

fn argument(name: &str) -> Result<CString> {
    let refused = |_| {
        Error::new(
            ErrorKind::InvalidInput,
            format!(
                "no process was started, because the name {name:?} holds NUL, where it would end: give \
                 another"
            ),
        )
    };
    CString::new(name).map_err(refused)
}

fn call(function: Function, arguments: &[u8], unreceived: Unreceived) -> io::Result<(Nonce, Call)> {
    let nonce = Nonce::new(nonce()?);
    let parent = segment::with_descriptors(ProcessId::current)?;
    let facts = Facts::new(nonce, parent, function.build, function.function, function.runner);
    Ok((nonce, Call::create(facts, arguments, unreceived)?))
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;
    use crate::process::{exit::Exit, reaper};

    const LONG: Duration = Duration::from_secs(60);

    /// Spawns, ends it by `end`, and says what was told: by then it had ended, and once only.
    fn told(builder: &ProcessBuilder, f: fn(()), end: impl Fn(&Process<()>)) -> Exit {
        init::init();
        let (tell, hear) = mpsc::channel();
        let (id, known) = mpsc::channel::<u32>();
        let process = builder.spawn_and_tell((), f, move || {
            let id = known.recv_timeout(LONG).unwrap();
            let listed = reaper::children().iter().any(|child| child.id == id);
            tell.send((thread_name(), listed)).unwrap();
        });
        let process = process.unwrap();
        id.send(process.id()).unwrap();
        end(&process);
        assert_eq!(hear.recv_timeout(LONG).unwrap(), (Some("commons-reaper".to_owned()), false));
        assert!(process.is_finished(), "it was told before its end");
        // The closure, and with it the sender, goes with its one run.
        assert_eq!(hear.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
        process.exit().unwrap()
    }

    fn thread_name() -> Option<String> {
        std::thread::current().name().map(str::to_owned)
    }

    fn park(_: ()) {
        loop {
            std::thread::park();
        }
    }

    #[test]
    fn the_end_is_told_once_however_it_came() {
        let builder = Process::builder();
        assert_eq!(told(&builder, |()| (), |_| ()), Exit::Code(0));
        assert_eq!(told(&builder, |()| std::process::exit(3), |_| ()), Exit::Code(3));
        assert_eq!(told(&builder, park, |process| process.kill().unwrap()), Exit::Signal(9));
        assert_eq!(told(&builder, park, |process| process.kill_tree().unwrap()), Exit::Signal(9));
        // The loader lists the libraries and ends well, before any code of the program has run.
        let before_init = builder.env("LD_TRACE_LOADED_OBJECTS", "1");
        assert_eq!(told(&before_init, |()| std::process::abort(), |_| ()), Exit::Code(0));
    }

    #[test]
    fn a_panic_when_the_end_is_told_ends_nothing_else() {
        init::init();
        let (tell, hear) = mpsc::channel();
        let on_end = move || {
            tell.send(()).unwrap();
            panic!("printed, and nothing more");
        };
        Process::builder().spawn_and_tell((), |()| (), on_end).unwrap().join().unwrap();
        hear.recv_timeout(LONG).unwrap();
        assert_eq!(Process::builder().spawn(1, |n: u8| n).unwrap().join().unwrap(), 1);
    }

    #[test]
    fn nothing_is_told_of_a_process_that_was_not_started() {
        init::init();
        let (tell, hear) = mpsc::channel();
        let bad = Process::builder().env("", "x");
        bad.spawn_and_tell((), |()| (), move || tell.send(()).unwrap()).unwrap_err();
        assert_eq!(hear.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn a_default_variable_is_there_where_no_other_is() {
        init::init();
        let variables = |()| (std::env::var("COMMONS_TEST_DEFAULTED").ok(), std::env::var("PATH").ok());
        let builder = Process::builder().env_default("COMMONS_TEST_DEFAULTED", "1").env_default("PATH", "x");
        let there = builder.spawn((), variables).unwrap().join().unwrap();
        assert_eq!(there, (Some("1".to_owned()), std::env::var("PATH").ok()));
    }
}
