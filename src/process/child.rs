//! What a worker does: takes the call over, runs the function, tells how it went, ends.
//!
//! # Safety
//! Closes descriptor 3, and runs what the call in it says. That it comes from a parent that runs
//! this program is checked here first.

#![allow(unsafe_code)]

use std::{
    ffi::{OsStr, OsString},
    io, mem, process,
    sync::atomic::{
        AtomicBool,
        Ordering::{Relaxed, Release},
    },
    time::Duration,
};

use crate::{
    deadline::Deadline,
    message,
    process::{
        call::{Call, RECEIVED, STARTED},
        exit,
        facts::Nonce,
        function::Function,
        outcome::{Kind, Outcome},
        panics::{self, Report},
        parent, title, watcher,
    },
    segment,
    sys::{fork, futex, hooks, identity, parent as end, spawn},
};

/// How long a worker that has ended waits until somebody takes what its result refers to.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the kernel needs at most to close the files of a parent that is gone.
const A_MOMENT: Duration = Duration::from_millis(100);

/// Runs the call that was started with this nonce, as a process of this name, and ends the process.
pub(super) fn run(nonce: &OsStr, name: Option<OsString>) -> ! {
    // First of all: from here on the parent's death wakes this process if it is stopped, and it sees it below.
    let _ = end::death_continues();
    let call: &'static Call = match take_over(nonce) {
        Ok(call) => Box::leak(Box::new(call)),
        Err(error) => {
            eprintln!(
                "commons: this is how a worker process is started, and only commons::spawn can do it \
                 (no call to take over: {error})"
            );
            process::exit(exit::NO_CALL);
        }
    };
    let parent = call.facts().parent().map_or(0, |parent| parent.pid);
    let met = parent::meet(parent);
    // Only after the look: until then the number could have become another's.
    if identity::parent_pid() != parent {
        end_as_orphan();
    }
    let teller = Teller { call, process: fork::mark() };
    // Before anything else is registered there, so it runs last. Refused for lack of memory: then the
    // watcher alone sees to it.
    let _ = hooks::at_exit(at_exit);
    if let Err(error) = met.and_then(|met| watcher::start(met, end_as_orphan)) {
        // It would outlive its parent.
        teller.tell(&Outcome::sentence(Kind::Refused, format_args!("it cannot watch its parent: {error}")));
        process::exit(exit::NO_CALL);
    }
    let _ = title::show(name);
    call.state().fetch_or(STARTED, Release);

    panics::listen(move |report| {
        if cfg!(panic = "abort") {
            // Nothing runs after this hook.
            teller.tell(&panicked(report));
        }
    });
    let outcome = panics::caught(|| run_function(call)).unwrap_or_else(|report| panicked(&report));
    let panicked = outcome.kind == Kind::Panicked;
    teller.tell(&outcome);
    // The parent takes what the result refers to from here: until then it must not go.
    segment::wait_for_pins(Deadline::after(PATIENCE), &mut || identity::parent_pid() == parent);
    process::exit(if panicked { exit::PANICKED } else { 0 })
}

fn take_over(nonce: &OsStr) -> io::Result<Call> {
    let nonce = nonce.to_str().and_then(Nonce::from_hex).ok_or(io::ErrorKind::InvalidInput)?;
    let call = Call::inherited(spawn::copy_inherited()?, nonce)?;
    // SAFETY: it holds the nonce of this process's argument list, so the parent left it there, and
    // only this function knows of it.
    unsafe { spawn::close_inherited() };
    Ok(call)
}

fn run_function(call: &Call) -> Outcome {
    let facts = call.facts();
    let function = Function { function: facts.function, runner: facts.runner, build: facts.build };
    let received = || _ = call.state().fetch_or(RECEIVED, Release);
    let answer = call.take_arguments().map_err(|error| format!("the arguments cannot be read: {error}"));
    let answer = answer.and_then(|arguments| {
        // SAFETY: the facts carry the nonce of this process's own argument list, so they were
        // written by the parent that started it, which takes them from `Function::of`.
        unsafe { function.call(arguments, &received) }
    });
    answer.unwrap_or_else(|why| Outcome::sentence(Kind::Refused, why))
}

fn panicked(report: &Report) -> Outcome {
    match message::encode(report) {
        Ok(bytes) => Outcome { kind: Kind::Panicked, bytes },
        Err(error) => Outcome::sentence(Kind::Encode, error),
    }
}

/// Tells the parent the outcome: the first, once, and not from a fork of the worker.
#[derive(Clone, Copy)]
struct Teller {
    call: &'static Call,
    process: u64,
}

impl Teller {
    fn tell(self, outcome: &Outcome) {
        static TOLD: AtomicBool = AtomicBool::new(false);
        if self.process != fork::mark() || TOLD.swap(true, Relaxed) {
            return;
        }
        let told = self.call.publish(outcome).or_else(|error| {
            let why = format_args!("{} bytes cannot be written: {error}", outcome.bytes.len());
            self.call.publish(&Outcome::sentence(Kind::Encode, why))
        });
        if let Err(error) = told {
            eprintln!("commons: the outcome of process {} is lost: {error}", process::id());
            process::exit(exit::NO_CALL);
        }
        // Who waits for the end hears of it then; sooner only where something is kept for it meanwhile.
        if segment::has_pins() {
            futex::wake(self.call.state(), futex::ALL);
        }
    }
}

/// Ends a worker whose parent is gone, without running destructors: names that nobody uses any more go,
/// and what the dead parent left goes with them. Only one thread comes through; the others wait for the end.
fn end_as_orphan() -> ! {
    if let Some(parent) = parent::parent() {
        // It may have lost its children already, and not yet its files.
        parent.wait_timeout(A_MOMENT);
    }
    // Held until the end.
    let left = segment::leave_all();
    left.iter().for_each(segment::sweep_at_end);
    end::exit_now(0)
}

/// A worker that ends by itself, but only now that its parent is gone, ends as all others: without this
/// it would leave the parent's names if it is the last, or end the watcher with a name in its hand.
extern "C" fn at_exit() {
    // A fork of the worker has no such parent.
    let Some(parent) = parent::parent() else { return };
    if identity::parent_pid() != parent.id() {
        end_as_orphan();
    }
    // Other threads may have made names since all were left, and nothing looks after this: they wait now.
    mem::forget(segment::leave_all());
}

// The unit tests of this crate start workers too.
#[cfg(test)]
commons::init_in_tests!();
