//! A worker is killed after every single instruction of an operation, and what it leaves is looked
//! at in the moment after: the state is the one before or the one after, no lock stays taken, and
//! the next operation succeeds.
//!
//! The locks that it died with must be free at once, before anybody has waited: that is the kernel's
//! work, which it can do only if it knew of the lock at every instruction.
//!
//! The time goes with the square of the number of instructions, which is why tests of this crate are
//! built optimised, and why long operations are left out at most places by default.
//! `COMMONS_STEP_STRIDE=n` kills after every n-th instruction, `1` after each of all; `--nocapture` shows
//! the counts.

// Elsewhere a compare-exchange may be a pair of instructions that fails whenever it is interrupted
// in the middle: under single steps it would be tried for ever.
#![cfg(target_arch = "x86_64")]

#[path = "kill_steps/array.rs"]
mod array;
#[path = "kill_steps/channel.rs"]
mod channel;
#[path = "kill_steps/dead_waiters.rs"]
mod dead_waiters;
#[path = "kill_steps/harness.rs"]
mod harness;
#[path = "kill_steps/kept.rs"]
mod kept;
#[path = "kill_steps/large.rs"]
mod large;
#[path = "kill_steps/mutex.rs"]
mod mutex;
#[path = "kill_steps/ptrace.rs"]
mod ptrace;
#[path = "kill_steps/queue.rs"]
mod queue;
#[path = "kill_steps/room.rs"]
mod room;
#[path = "kill_steps/sync.rs"]
mod sync;
#[path = "kill_steps/value.rs"]
mod value;
#[path = "kill_steps/waiter.rs"]
mod waiter;
#[path = "kill_steps/waits.rs"]
mod waits;

commons::init_in_tests!();
