//! What `init` has made for tasks of this process. States need not be `Send`: each stays on its thread, and is
//! dropped there when its call is over.

use std::{
    cell::RefCell,
    mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Acquire},
    },
};

use super::program::State;
use crate::{error::Result, process::discard};

/// Makes the state of a call on the thread that needs it.
pub(super) type MakeState = Arc<dyn Fn() -> Result<State> + Send + Sync>;

/// A state that stays on its thread for the call's next task.
struct Kept {
    /// The call's own: while there is one, the call goes on.
    make: Weak<dyn Fn() -> Result<State> + Send + Sync>,
    /// Who had the call's tasks run was dropped.
    gone: Arc<AtomicBool>,
    state: State,
}

impl Kept {
    fn ended(&self) -> bool {
        self.make.strong_count() == 0 || self.gone.load(Acquire)
    }
}

/// Those of a thread.
struct States(Vec<Kept>);

impl Drop for States {
    fn drop(&mut self) {
        mem::take(&mut self.0).into_iter().for_each(|kept| _ = discard(kept));
    }
}

thread_local! {
    /// The states of calls that this thread has run tasks of. One that is used is not here: tasks may run
    /// inside others.
    static STATES: RefCell<States> = const { RefCell::new(States(Vec::new())) };
}

/// Looks at this thread's states, unless the thread is at its end. `f` runs nothing of the user's.
fn states<T>(f: impl FnOnce(&mut Vec<Kept>) -> T) -> Option<T> {
    STATES.try_with(|states| f(&mut states.borrow_mut().0)).ok()
}

/// The state of this call that is on this thread, for a task that uses it.
pub(super) fn take(make: &MakeState) -> Option<State> {
    let of = Arc::downgrade(make);
    states(|all| {
        let at = all.iter().position(|kept| kept.make.ptr_eq(&of))?;
        Some(all.swap_remove(at).state)
    })
    .flatten()
}

/// A task has used it; `gone` becomes true when nobody runs tasks of the call any more.
pub(super) fn keep(make: &MakeState, gone: &Arc<AtomicBool>, state: State) {
    let mut kept = Some(Kept { make: Arc::downgrade(make), gone: gone.clone(), state });
    states(|all| all.extend(kept.take()));
    let _ = discard(kept);
}

/// Drops this thread's states of calls that are over.
pub(super) fn forget_ended() {
    let ended = states(|all| all.extract_if(.., |kept| kept.ended()).collect::<Vec<_>>());
    ended.into_iter().flatten().for_each(|kept| _ = discard(kept));
}
