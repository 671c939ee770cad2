//! The second process or thread of a row that needs two.

use std::{
    thread::{self, JoinHandle},
    time::Duration,
};

use commons::{Message, Process};

use crate::gate::Gate;

/// Somebody who attends a gate, and leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Partner {
    gate: Gate,
    who: Option<Who>,
}

#[derive(Debug)]
enum Who {
    Process(Process<()>),
    Thread(JoinHandle<()>),
}

impl Partner {
    /// Runs `attend` in another process.
    pub(crate) fn process<A: Message>(with: A, attend: fn((Gate, A))) -> Result<Self, String> {
        let gate = Gate::new().map_err(|error| error.to_string())?;
        let process = commons::spawn((gate.clone(), with), attend).map_err(|error| error.to_string())?;
        Ok(Self::of(gate, Who::Process(process)))
    }

    /// Runs `attend` in another thread, for peers that stay within a process.
    pub(crate) fn thread<A: Send + 'static>(with: A, attend: fn((Gate, A))) -> Result<Self, String> {
        let gate = Gate::new().map_err(|error| error.to_string())?;
        let theirs = gate.clone();
        let thread = thread::spawn(move || attend((theirs, with)));
        Ok(Self::of(gate, Who::Thread(thread)))
    }

    fn of(gate: Gate, who: Who) -> Self {
        Self { gate, who: Some(who) }
    }

    /// The time in which this process and the partner did `count` operations each.
    pub(crate) fn together(&self, count: u64, work: impl FnMut(u64)) -> Duration {
        self.gate.together(count, work, || self.has_gone())
    }

    /// Does `work` while the partner is at its own.
    pub(crate) fn during(&self, work: impl FnMut() -> Duration) -> Duration {
        self.gate.during(work, || self.has_gone())
    }

    fn has_gone(&self) -> bool {
        match &self.who {
            Some(Who::Process(process)) => process.is_finished(),
            Some(Who::Thread(thread)) => thread.is_finished(),
            None => true,
        }
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        self.gate.dismiss();
        let ended = match self.who.take() {
            Some(Who::Process(process)) => process.join().map_err(|error| error.to_string()),
            Some(Who::Thread(thread)) => thread.join().map_err(|_| "it panicked".to_owned()),
            None => Ok(()),
        };
        if let Err(why) = ended {
            eprintln!("the second side of a row has failed: {why}");
        }
    }
}
