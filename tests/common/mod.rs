//! Other processes for tests: the test's own program, started again in a role.
//!
//! A test file has one test called `role`, which is nothing in an ordinary run. A [`Peer`] runs just
//! that test in a new process, with the role's name in the environment, and the two talk in lines.

#![allow(dead_code, unreachable_pub, missing_docs)] // each test file uses a part

pub mod chance;
pub mod examples;
pub mod forks;
pub mod memory_group;
pub mod processes;
pub mod scene;
pub mod watchdog;
pub mod workers;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    time::{Duration, Instant},
};

/// Longer than anything here takes on a busy machine; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

const ROLE: &str = "COMMONS_TEST_ROLE";
const SAID: &str = "@@";

/// Runs the role that this process was started for, and ends it; returns in an ordinary run.
pub fn play(roles: &[(&str, fn())]) {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (_, play) = roles.iter().find(|(name, _)| *name == role).expect("a role of this file");
    play();
}

/// Tells the process that started this role.
pub fn say(line: impl std::fmt::Display) {
    println!("\n{SAID}{line}");
    std::io::stdout().flush().unwrap();
}

/// What the process that started this role said.
pub fn hear() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// A process in a role. It is killed when this is dropped.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
}

/// The command that starts this program in a role.
pub fn command(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["role", "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

impl Peer {
    pub fn new(role: &str, variables: &[(&str, &str)]) -> Self {
        Self::start(command(role).envs(variables.iter().copied()))
    }

    pub fn start(command: &mut Command) -> Self {
        Self::adopt(command.spawn().expect("the test program starts again"))
    }

    /// The child of a [`command`].
    pub fn adopt(mut child: Child) -> Self {
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let said = output.lines().map_while(Result::ok);
            said.filter_map(|line| Some(line.strip_prefix(SAID)?.to_owned()))
                .try_for_each(|line| sender.send(line))
        });
        let input = child.stdin.take();
        Self { child, input, lines }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it says.
    pub fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the peer says something in time and does not die")
    }

    /// Tells it.
    pub fn tell(&mut self, line: impl std::fmt::Display) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As [`Peer::kill`], and waits until all are gone that it has started: they have its standard output.
    pub fn kill_and_outlive(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let end = Instant::now() + PATIENCE;
        let left = || end.saturating_duration_since(Instant::now());
        while self.lines.recv_timeout(left()) != Err(mpsc::RecvTimeoutError::Disconnected) {
            assert!(Instant::now() < end, "somebody goes on without the peer for {PATIENCE:?}");
        }
    }

    /// Waits until it ends by itself; whether it succeeded.
    pub fn ends_well(mut self) -> bool {
        drop(self.input.take());
        eventually("the peer ends", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().success()
    }

    /// As [`Peer::ends_well`], for one that takes longer, and has a watchdog of its own. What it says is printed.
    pub fn ends_well_at_last(mut self) -> bool {
        drop(self.input.take());
        self.lines.iter().for_each(|line| println!("{line}"));
        self.child.wait().unwrap().success()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again until it is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "waited {PATIENCE:?} until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A name that no other test has.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("test-{}-{}-{what}", std::process::id(), COUNT.fetch_add(1, Relaxed))
}

/// A directory of its own for named objects, removed with what is in it.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(what: &str) -> Self {
        let path = Path::new("/dev/shm").join(unique(what));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }

    pub fn entries(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut entries: Vec<_> = fs::read_dir(&self.0).unwrap().map(name).collect();
        entries.sort();
        entries
    }

    /// Runs a role whose objects are all here; it says nothing and succeeds.
    pub fn run(&self, role: &str) {
        assert!(Peer::new(role, &[("COMMONS_DIR", self.text())]).ends_well(), "role {role} failed");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where the file of a private name is, for tests that damage it.
pub fn file_of(name: &str) -> PathBuf {
    let directory = std::env::var("COMMONS_DIR").unwrap_or_else(|_| "/dev/shm".to_owned());
    Path::new(&directory).join(format!("commons.{}.{name}", user()))
}

/// The user who runs this test.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Open descriptors of this process, without the one that looks.
pub fn descriptors() -> Vec<String> {
    let link = |entry: fs::DirEntry| fs::read_link(entry.path()).ok()?.to_str().map(ToOwned::to_owned);
    let mut all: Vec<_> =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| link(entry.ok()?)).collect();
    all.retain(|link| !link.starts_with("/proc/") || !link.ends_with("/fd"));
    all.sort();
    all
}
