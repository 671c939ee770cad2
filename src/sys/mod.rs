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
//! | `descriptor` | another descriptor of the same file, one of another process, more of them |
//! | `memory` | how much of it the machine has and the control group may take |
//! | `random` | bytes that nobody can guess |
//! | `hooks` | what runs when a process ends or forks |
//! | `pidfd`, `spawn` | other processes |

mod linux;

pub(crate) use linux::*;
