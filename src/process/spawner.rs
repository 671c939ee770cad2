//! The one thread of a process that starts its children and collects them.
//!
//! The kernel tells a child that its parent died when the *thread* that started it ends, so all are
//! started on one thread, which lives as long as the process. A forked child makes its own.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::CString,
    io, mem,
    os::fd::AsFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
    time::Duration,
};

use crate::{
    process::{call::Call, started::Started},
    segment::with_descriptors,
    sys::{
        events::{Bell, Events},
        per_process::PerProcess,
        pidfd, signals,
        spawn::spawn_myself,
    },
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

type Answer = SyncSender<io::Result<Arc<Started>>>;

/// The children that were not collected yet, by their events, so in the order of their starts.
type Children = Mutex<BTreeMap<u64, Arc<Started>>>;

/// The way to that thread.
struct Spawner {
    requests: Sender<(Request, Answer)>,
    bell: Arc<Bell>,
    children: Arc<Children>,
}

static SPAWNER: PerProcess<Spawner> = PerProcess::new();

/// Starts a child on the thread for it.
pub(super) fn start(request: Request) -> io::Result<Arc<Started>> {
    let spawner = SPAWNER.get_or_try_init(Spawner::new)?;
    let (answer, answered) = sync_channel(1);
    let gone = || io::Error::other("the thread that starts processes is gone");
    spawner.requests.send((request, answer)).map_err(|_| gone())?;
    spawner.bell.ring();
    answered.recv().map_err(|_| gone())?
}

/// The children of this process that were not collected yet, oldest first.
pub(super) fn children() -> Vec<Arc<Started>> {
    SPAWNER.if_made().map_or(Vec::new(), |spawner| lock(&spawner.children).values().cloned().collect())
}

fn lock(children: &Children) -> MutexGuard<'_, BTreeMap<u64, Arc<Started>>> {
    children.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Spawner {
    fn new() -> io::Result<Self> {
        let (requests, received) = channel();
        let bell = Arc::new(with_descriptors(Bell::new)?);
        let events = with_descriptors(Events::new)?;
        events.add(&*bell, BELL)?;
        let children = Arc::new(Children::default());
        let reaper = Reaper::new(received, bell.clone(), events, children.clone());
        thread::Builder::new().name("commons-spawner".into()).spawn(move || reaper.run())?;
        Ok(Self { requests, bell, children })
    }
}

/// The event of a new request; children count up from here.
const BELL: u64 = 0;

/// What that thread owns.
struct Reaper {
    requests: Receiver<(Request, Answer)>,
    bell: Arc<Bell>,
    events: Events,
    children: Arc<Children>,
    /// What is to run when a child has ended, by its event.
    on_end: HashMap<u64, OnEnd>,
    next: u64,
}

impl Reaper {
    fn new(
        requests: Receiver<(Request, Answer)>,
        bell: Arc<Bell>,
        events: Events,
        children: Arc<Children>,
    ) -> Self {
        Self { requests, bell, events, children, on_end: HashMap::new(), next: BELL + 1 }
    }

    fn run(mut self) {
        signals::block_in_this_thread();
        loop {
            let Ok(events) = self.events.wait() else {
                // Out of memory, at worst; nothing is lost, look again soon.
                thread::sleep(Duration::from_millis(100));
                continue;
            };
            for event in events {
                match event {
                    BELL => self.answer(),
                    child => self.collect(child),
                }
            }
        }
    }

    fn answer(&mut self) {
        // Quiet first: a request that comes later rings again.
        self.bell.quiet();
        while let Ok((request, answer)) = self.requests.try_recv() {
            let (started, on_end) = match self.start(request) {
                Ok((started, on_end)) => (Ok(started), on_end),
                Err(error) => (Err(error), None),
            };
            // Nobody there to hear: the child runs on, as that of a dropped handle does.
            let _ = answer.send(started);
            on_end.into_iter().for_each(run);
        }
    }

    /// A new child; if it is gone already, with what is to run now.
    fn start(&mut self, request: Request) -> io::Result<(Arc<Started>, Option<OnEnd>)> {
        let Request { name, call, arguments, environment, on_end } = request;
        let id = spawn_myself(&arguments, &environment, call.as_fd())?;
        self.watch(id, name, call, on_end)
    }

    fn watch(
        &mut self,
        id: u32,
        name: String,
        call: Call,
        on_end: Option<OnEnd>,
    ) -> io::Result<(Arc<Started>, Option<OnEnd>)> {
        // A child that can be neither watched nor collected must not stay.
        let kill = |_: &io::Error| pidfd::kill_without(id);
        let pidfd = match with_descriptors(|| pidfd::open_child(id)) {
            Err(error) if pidfd::is_gone(&error) => {
                return Ok((Arc::new(Started::lost(id, name, call)?), on_end));
            }
            opened => opened.inspect_err(kill)?,
        };
        self.events.add(&pidfd, self.next).inspect_err(kill)?;
        let started = Arc::new(Started::new(id, name, pidfd, call));
        lock(&self.children).insert(self.next, started.clone());
        self.on_end.extend(on_end.map(|on_end| (self.next, on_end)));
        self.next += 1;
        Ok((started, None))
    }

    fn collect(&mut self, key: u64) {
        let Some(child) = lock(&self.children).get(&key).cloned() else { return };
        if !child.reap() {
            // Ended, but a debugger sees it first. The event stays, so do not run in circles.
            thread::sleep(Duration::from_millis(1));
            return;
        }
        let removed = child.pidfd().map(|pidfd| self.events.remove(pidfd));
        debug_assert!(matches!(removed, Some(Ok(()))), "a child that was watched is not: {removed:?}");
        lock(&self.children).remove(&key);
        drop(child);
        self.on_end.remove(&key).into_iter().for_each(run);
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
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;
    use crate::{
        deadline::Deadline,
        process::facts::{Facts, Nonce},
        sys::identity::ProcessId,
    };

    #[test]
    fn a_child_that_was_lost_has_ended_and_what_was_to_run_then_is_not_lost() {
        let (bell, events) = (Arc::new(Bell::new().unwrap()), Events::new().unwrap());
        let mut reaper = Reaper::new(channel().1, bell, events, Arc::default());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let parent = ProcessId { pid: 1, start: 2 };
        let call = Call::create(Facts::new(Nonce::new([1; 16]), parent, [2; 32], 3, 4), b"").unwrap();
        let watched = reaper.watch(child.id(), "lost".to_owned(), call, Some(Box::new(|| ())));
        let (lost, on_end) = watched.unwrap();
        assert!(on_end.is_some() && lock(&reaper.children).is_empty());
        assert!(lost.wait_for_end(Deadline::NOW).unwrap().is_err());
        assert!(lost.pidfd().is_none());
        lost.signal(|_| panic!("there is nobody to signal")).unwrap();
        let mut sources = [PollFd::from_borrowed_fd((*lost).as_fd(), PollFlags::IN)];
        assert_eq!(poll(&mut sources, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap(), 1);
    }
}
