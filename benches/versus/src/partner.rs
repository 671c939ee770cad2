//! The second process or thread of a row that needs two.

use std::thread::{self, JoinHandle};

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
        Ok(Self { gate, who: Some(Who::Process(process)) })
    }

    /// Runs `attend` in another thread, for peers that stay within a process.
    pub(crate) fn thread<A: Send + 'static>(with: A, attend: fn((Gate, A))) -> Result<Self, String> {
        let gate = Gate::new().map_err(|error| error.to_string())?;
        let theirs = gate.clone();
        let thread = thread::spawn(move || attend((theirs, with)));
        Ok(Self { gate, who: Some(Who::Thread(thread)) })
    }

    /// The time in which this process and the partner did `count` operations each.
    pub(crate) fn together(&self, count: u64, work: impl FnOnce(u64)) -> std::time::Duration {
        self.gate.together(count, work)
    }

    /// Does `work` while the partner is at its own.
    pub(crate) fn during<R>(&self, work: impl FnOnce() -> R) -> R {
        self.gate.during(work)
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
