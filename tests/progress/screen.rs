//! What a person sees: a terminal without one.

use std::{
    fs::File,
    io::Read,
    num::NonZero,
    os::fd::OwnedFd,
    process::{Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use super::common::{PATIENCE, Peer, command};

pub(crate) struct Screen {
    output: Receiver<Vec<u8>>,
    terminal: vt100::Parser,
}

impl Screen {
    /// A role whose stderr is a terminal of 24 lines of 80.
    pub(crate) fn of(role: &str) -> (Self, Peer) {
        let (screen, stderr) = Self::new();
        let mut command = command(role);
        (screen, Peer::start(on_a_terminal(&mut command, stderr)))
    }

    fn new() -> (Self, OwnedFd) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let terminal = ioctl_tiocgptpeer(&master, flags).unwrap();
        let (sender, output) = channel();
        thread::spawn(move || {
            let (mut master, mut bytes) = (File::from(master), [0; 4096]);
            // An error: nobody has the terminal any more.
            while let Ok(n) = master.read(&mut bytes) {
                if n == 0 || sender.send(bytes[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let [lines, columns] = [24, 80].map(|n| NonZero::new(n).unwrap());
        (Self { output, terminal: vt100::Parser::new(lines, columns, 0) }, terminal)
    }

    /// The lines down to the last that is not empty, without the spaces at their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        let rows = self.terminal.screen().rows(0, 80);
        let mut lines: Vec<_> = rows.map(|line| line.trim_end().to_owned()).collect();
        lines.truncate(lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1));
        lines
    }

    /// Looks until it shows this.
    #[cfg(feature = "progress")]
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, shows: impl Fn(&[String]) -> bool) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let lines = self.lines();
            if shows(&lines) {
                return lines;
            }
            let output = self.output.recv_timeout(end.saturating_duration_since(Instant::now()));
            let bytes = output.unwrap_or_else(|_| panic!("{what} is not shown: {lines:#?}"));
            self.terminal.process(&bytes);
        }
    }

    /// What is left when all who had the terminal are gone, and where the cursor is.
    pub(crate) fn last(mut self) -> (Vec<String>, (u16, u16)) {
        let end = Instant::now() + PATIENCE;
        while let Ok(bytes) = self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.terminal.process(&bytes);
        }
        (self.lines(), self.terminal.screen().cursor_position())
    }
}

fn on_a_terminal(command: &mut Command, stderr: OwnedFd) -> &mut Command {
    command.stderr(Stdio::from(stderr)).env("TERM", "xterm").env("NO_COLOR", "1").env("RUST_BACKTRACE", "0")
}
