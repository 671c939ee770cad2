//! Workers, sentences and bounded time, for the tests of typed handles.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
    time::Duration,
};

use commons::{Message, Plain, Process, Value};

use super::{
    file_of,
    watchdog::{Watchdog, watchdog},
};

/// Longer than anything takes on a busy machine.
pub const LONG: Duration = Duration::from_secs(60);

/// Long enough to see that somebody waits. What is awaited for so long never comes.
pub const SHORT: Duration = Duration::from_millis(20);

/// Ends the whole run if this test has not ended in time.
pub fn bounded(test: &'static str) -> Watchdog {
    watchdog(test, LONG)
}

/// What the worker returns.
#[track_caller]
pub fn join<R: Message>(process: commons::Result<Process<R>>) -> R {
    let process = process.unwrap();
    let (id, (sender, result)) = (process.id(), mpsc::channel());
    thread::spawn(move || sender.send(process.join()));
    let result = result.recv_timeout(LONG);
    result.unwrap_or_else(|_| panic!("process {id} does not end")).unwrap()
}

/// [`join`] for each.
#[track_caller]
pub fn join_all<R: Message>(processes: impl IntoIterator<Item = commons::Result<Process<R>>>) -> Vec<R> {
    processes.into_iter().map(join).collect()
}

/// Kills the worker, and waits until it is gone.
#[track_caller]
pub fn kill<R>(process: &Process<R>) {
    process.kill().unwrap();
    assert!(process.wait_timeout(LONG).unwrap().is_some());
}

/// What the panic in `act` says.
#[track_caller]
pub fn panic_of<R>(act: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(act)) else { panic!("this does not panic") };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().unwrap()).to_owned(),
    }
}

/// Asserts that a sentence has all these parts.
#[track_caller]
pub fn has(sentence: impl std::fmt::Display, parts: &[&str]) {
    let sentence = sentence.to_string();
    for part in parts {
        assert!(sentence.contains(part), "{part:?} is not in: {sentence}");
    }
}

/// Steps that a test and its workers take in turn.
pub type Stage = Value<u32>;

/// Waits until the others have come to this step.
#[track_caller]
pub fn await_stage(stage: &Stage, step: u32) {
    stage.wait_until_timeout(|&now| now >= step, LONG).unwrap();
}

/// A named object's file, to write in it what no handle would; offsets as in docs/format.md.
#[derive(Debug)]
pub struct Bytes(std::fs::File);

impl Bytes {
    pub fn of(name: &str) -> Self {
        Self(OpenOptions::new().read(true).write(true).open(file_of(name)).unwrap())
    }

    fn number(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    }

    /// Where the payload begins and ends.
    pub fn payload(&self) -> std::ops::Range<u64> {
        let start = self.number(88);
        start..start + self.number(96)
    }

    /// Writes at the end of the payload, where the elements of an array are.
    pub fn overwrite_last(&self, bytes: &[u8]) {
        self.0.write_all_at(bytes, self.payload().end - bytes.len() as u64).unwrap();
    }

    /// Writes this many bytes behind the start of the payload.
    pub fn overwrite(&self, at: u64, bytes: &[u8]) {
        self.0.write_all_at(bytes, self.payload().start + at).unwrap();
    }
}

/// A byte that no `bool`, `char`, `Phase` or `Best` has.
pub const NO_VALUE: u8 = 0xEE;

/// An enum with gaps between its values.
#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(u8)]
pub enum Phase {
    Idle = 1,
    Busy,
    Done = 9,
}

/// A structure with padding in the middle and at the end.
#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
pub struct Best {
    pub found: bool,
    pub score: f64,
    pub letter: char,
    pub phase: Phase,
}

pub const BEST: Best = Best { found: true, score: -0.5, letter: 'ß', phase: Phase::Busy };

/// A structure that has a cache line to itself.
#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C, align(64))]
pub struct Line {
    pub n: u32,
}

/// A structure of no size.
#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
pub struct Nothing;
