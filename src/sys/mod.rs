//! Floor 1: the operating system, and the only place that says `rustix` or `libc`.
//!
//! This floor translates and never decides: no policy but the retry after `EINTR`, no names, no
//! errors of our own. Every function returns what the kernel said, as an [`std::io::Error`].
//!
//! | file | the one thing |
//! |---|---|
//! | `fork` | a mark that a forked child does not inherit |
//! | `identity` | which process, which boot, which namespaces; is that thread alive |
//! | `futex` | sleep until a shared word changes |
//! | `robust` | the list of held cells that the kernel walks when a thread dies |
//! | `shm`, `memfd` | named files that are born complete, and anonymous ones |
//! | `map` | a file in memory |
//! | `filelock` | byte locks that end with the open file description |
//! | `events` | sleep until one of many descriptors is readable |
//! | `per_process` | a value that each process makes for itself, a forked child too |
//! | `image` | the running program: its code, its build |
//! | `signals` | sets of signals |
//! | `pidfd` | another process: signal it, wait for it, collect it |
//! | `spawn` | the running program once more |
//! | `parent` | what happens when the parent ends |

mod linux;

pub(crate) use linux::*;
