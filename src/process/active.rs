//! The processes that this one has started and that have not ended.

use crate::process::reaper;

/// A process that this one has started, from [`active_children`].
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChildInfo {
    /// Its id (pid).
    #[doc(alias = "pid")]
    pub id: u32,
    /// The name that it was given, or else the program's.
    pub name: String,
}

/// The processes that this one has started by [`spawn`](crate::spawn) or a
/// [builder](crate::Process::builder) and that have not ended, oldest first.
///
/// Those whose handle was dropped are among them; those that their children have started are not.
///
/// # Examples
/// ```
/// commons::init_in_tests!();
/// use commons::Process;
///
/// # fn main() -> commons::Result<()> {
/// let process = Process::builder().name("tea").spawn((), |()| -> () { loop { std::thread::park() } })?;
/// let [child] = &commons::active_children()[..] else { panic!() };
/// assert_eq!((child.id, child.name.as_str()), (process.id(), "tea"));
/// process.kill()?;
/// process.wait()?;
/// assert!(commons::active_children().is_empty());
/// # Ok(()) }
/// ```
#[doc(alias = "children")]
pub fn active_children() -> Vec<ChildInfo> {
    let running = reaper::children().into_iter().filter(|child| child.end().is_none());
    running.map(|child| ChildInfo { id: child.id, name: child.name.clone() }).collect()
}
