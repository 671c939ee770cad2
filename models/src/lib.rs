//! Models of the machines in `src/raw`: every schedule of a few threads, with death as one of the steps.
//!
//! The machines are the files of the product, compiled once more with other neighbours:
//!
//! | module | in the product | here |
//! |---|---|---|
//! | `primitive` | std's atomics | loom's, and each access is a step before which a thread can die |
//! | `deadline` | the monotonic clock | has passed, or never will |
//! | `sys` | the operating system | the kernel, as far as the machines use it |
//! | `raw` | the machines | the same files; `held`, `region`, `backoff`, `habit`, `pace`, `copy`, `prefetch` by small models |
//! | `scene` | – | threads, deaths, and how all schedules of them are run |

#![cfg(test)]
#![allow(dead_code)] // of the machines' functions, those that no model calls

mod primitive;
mod deadline;
mod sys;
mod raw;
mod scene;

mod guarded;
mod lock;
mod biased;
mod bell;
mod versioned;
mod once;
mod event;
mod semaphore;
mod condvar;
mod rwlock;
mod barrier;
mod claims;
mod ring;
mod leases;
