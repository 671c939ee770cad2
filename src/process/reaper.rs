//! The children of this process, and the one thread that collects them.
//!
//! Each is started on the thread that asks for it, as those of `std::process::Command` are. A forked child
//! of this process has none of them, and a thread of its own.

use std::{
    collections::BTreeMap,
    ffi::CString,
    io, mem,
    os::fd::{AsFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::{
    process::{call::Call, started::Started},
    segment::with_descriptors,
    sys::{events::Events, per_process::PerProcess, pidfd, signals, spawn::spawn_myself},
};

/// What is needed to start a child.
pub(super) struct Request {
    pub(super) name: String,
    pub(super) call: Call,
    pub(super) arguments: Vec<CString>,
    pub(super) environment: Vec<CString>,
    pub(super) on_end: Option<OnEnd>,
}

/// What runs on that thread when a child has ended.
pub(super) type OnEnd = Box<dyn FnOnce() + Send>;

/// The children of this process, as its threads share them.
struct Family {
    events: Events,
    children: Mutex<Children>,
}

/// Those that were not collected yet, by their events, so in the order of their starts.
#[derive(Default)]
struct Children {
    here: BTreeMap<u64, Child>,
    last: u64,
}

struct Child {
    started: Arc<Started>,
    on_end: Option<OnEnd>,
}

static FAMILY: PerProcess<Arc<Family>> = PerProcess::new();

/// Starts a child.
pub(super) fn start(request: Request) -> io::Result<Arc<Started>> {
    // First, since nobody would collect the child where that thread cannot be started.
    let family = FAMILY.get_or_try_init(Family::new)?;
    let id = spawn_myself(&request.arguments, &request.environment, request.call.as_fd())?;
    family.watch(id, request)
}

/// The children of this process that were not collected yet, oldest first.
pub(super) fn children() -> Vec<Arc<Started>> {
    let all = |family: &Arc<Family>| family.lock().here.values().map(|child| child.started.clone()).collect();
    FAMILY.if_made().map_or(Vec::new(), all)
}

impl Family {
    fn new() -> io::Result<Arc<Self>> {
        let events = with_descriptors(Events::new)?;
        let family = Arc::new(Self { events, children: Mutex::default() });
        let reaped = family.clone();
        thread::Builder::new().name("commons-reaper".into()).spawn(move || reaped.reap())?;
        Ok(family)
    }

    fn lock(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, id: u32, request: Request) -> io::Result<Arc<Started>> {
        let Request { name, call, on_end, .. } = request;
        let opened: io::Result<OwnedFd> = with_descriptors(|| pidfd::open_child(id));
        let started = match opened {
            Err(error) if pidfd::is_gone(&error) => Started::lost(id, name, call)?,
            opened => Started::new(id, name, opened.inspect_err(|_| pidfd::kill_without(id))?, call),
        };
        let started = Arc::new(started);
        let mut children = self.lock();
        children.last += 1;
        let event = children.last;
        // Under the lock, so whoever hears of it finds it.
        if let Err(error) = self.events.add(&*started, event) {
            if started.pidfd().is_some() {
                // A child that cannot be watched must not stay.
                pidfd::kill_without(id);
            }
            return Err(error);
        }
        children.here.insert(event, Child { started: started.clone(), on_end });
        Ok(started)
    }

    fn reap(&self) {
        signals::block_in_this_thread();
        loop {
            let Ok(events) = self.events.wait() else {
                // Out of memory, at worst; nothing is lost, look again soon.
                thread::sleep(Duration::from_millis(100));
                continue;
            };
            events.for_each(|child| self.collect(child));
        }
    }

    fn collect(&self, event: u64) {
        let Some(started) = self.lock().here.get(&event).map(|child| child.started.clone()) else { return };
        if !started.reap() {
            // Ended, but a debugger sees it first. The event stays, so do not run in circles.
            thread::sleep(Duration::from_millis(1));
            return;
        }
        let removed = self.events.remove(&*started);
        debug_assert!(removed.is_ok(), "a child that was watched is not: {removed:?}");
        drop(started);
        let child = self.lock().here.remove(&event);
        child.and_then(|child| child.on_end).into_iter().for_each(run);
    }
}

/// This thread goes on, whatever happens there.
fn run(on_end: OnEnd) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(on_end)) {
        // Its destructor may panic again.
        mem::forget(payload);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;
    use crate::{
        deadline::Deadline,
        process::facts::{Facts, Nonce},
        segment::Unreceived,
        sys::identity::ProcessId,
    };

    #[test]
    fn a_child_that_was_lost_has_ended_and_what_was_to_run_then_is_not_lost() {
        let family = Family::new().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let parent = ProcessId { pid: 1, start: 2 };
        let call =
            Call::create(Facts::new(Nonce::new([1; 16]), parent, [2; 32], 3, 4), b"", Unreceived::default())
                .unwrap();
        let (tell, hear) = mpsc::channel();
        let request = Request {
            name: "lost".to_owned(),
            call,
            arguments: vec![],
            environment: vec![],
            on_end: Some(Box::new(move || tell.send(()).unwrap())),
        };
        let lost = family.watch(child.id(), request).unwrap();
        hear.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(family.lock().here.is_empty());
        assert!(lost.wait_for_end(Deadline::NOW).unwrap().is_err());
        assert!(lost.pidfd().is_none());
        lost.signal(|_| panic!("there is nobody to signal")).unwrap();
        let mut sources = [PollFd::from_borrowed_fd((*lost).as_fd(), PollFlags::IN)];
        assert_eq!(poll(&mut sources, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap(), 1);
    }
}
