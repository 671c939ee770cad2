//! Floor 1: the operating system, and the only place that says `rustix` or `libc`.
//!
//! This floor translates and never decides: no policy but the retry after `EINTR`, no names, no
//! errors of our own. Every function returns what the kernel said, as an [`std::io::Error`].
//!
//! | file | the one thing |
//! |---|---|
//! | `fork`, `per_process` | a mark that a forked child does not inherit; values that each process makes for itself |
//! | `hooks`, `signals` | what runs when a process ends or forks; sets of signals |
//! | `thread` | a thread that costs next to nothing |
//! | `barrier` | a memory barrier that costs one side nothing |
//! | `futex` | sleep until a shared word changes |
//! | `robust` | the list of held cells that the kernel walks when a thread dies |
//! | `identity` | which process, which boot, which namespaces; is that thread alive |
//! | `random` | bytes that nobody can guess |
//! | `shm`, `memfd` | named files that are born complete, and anonymous ones |
//! | `descriptor` | another descriptor of the same file, one of another process, more of them |
//! | `filelock` | byte locks that end with the open file description |
//! | `cgroup` | where the control groups of this process are in the file system |
//! | `memory` | how much of it the machine has and the control group may take |
//! | `cpus` | which there are, which this thread may run on, how much of them its control group may use |
//! | `exhaustion` | whether memory ran out |
//! | `map` | a file in memory |
//! | `pidfd`, `events` | another process: signal it, wait for it, collect it; wait for one of many |
//! | `family` | who is whose child, and who stands still |
//! | `interrupt` | Ctrl-C, caught for a while |
//! | `parent` | what happens when the parent ends |
//! | `image`, `spawn` | the running program: its code, its build; and started once more |

mod linux;

pub(crate) use linux::*;
