//! The one thread of a process that starts its children and collects them.
//!
//! The kernel tells a child that its parent died when the *thread* that started it ends, so all are
//! started on one thread, which lives as long as the process. A forked child makes its own.

use std::{
    collections::HashMap,
    ffi::CString,
    io,
    os::fd::AsFd,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
    time::Duration,
};

use crate::{
    process::{call::Call, started::Started},
    sys::{
        events::{Bell, Events},
        per_process::PerProcess,
        pidfd, signals,
        spawn::spawn_myself,
    },
};

/// What is needed to start a child.
pub(super) struct Request {
    pub(super) call: Call,
    pub(super) arguments: Vec<CString>,
    pub(super) environment: Vec<CString>,
}

type Answer = SyncSender<io::Result<Arc<Started>>>;

/// The way to that thread.
struct Spawner {
    requests: Sender<(Request, Answer)>,
    bell: Arc<Bell>,
}

/// Starts a child on the thread for it.
pub(super) fn start(request: Request) -> io::Result<Arc<Started>> {
    static SPAWNER: PerProcess<Spawner> = PerProcess::new();
    let spawner = SPAWNER.get_or_try_init(Spawner::new)?;
    let (answer, answered) = sync_channel(1);
    let gone = || io::Error::other("the thread that starts processes is gone");
    spawner.requests.send((request, answer)).map_err(|_| gone())?;
    spawner.bell.ring();
    answered.recv().map_err(|_| gone())?
}

impl Spawner {
    fn new() -> io::Result<Self> {
        let (requests, received) = channel();
        let bell = Arc::new(Bell::new()?);
        let events = Events::new()?;
        events.add(&*bell, BELL)?;
        let children = HashMap::new();
        let reaper = Reaper { requests: received, bell: bell.clone(), events, children, next: BELL + 1 };
        thread::Builder::new().name("commons-spawner".into()).spawn(move || reaper.run())?;
        Ok(Self { requests, bell })
    }
}

/// The event of a new request; children count up from here.
const BELL: u64 = 0;

/// What that thread owns.
struct Reaper {
    requests: Receiver<(Request, Answer)>,
    bell: Arc<Bell>,
    events: Events,
    children: HashMap<u64, Arc<Started>>,
    next: u64,
}

impl Reaper {
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
            // Nobody there to hear: the child runs on, as that of a dropped handle does.
            let _ = answer.send(self.start(request));
        }
    }

    fn start(&mut self, request: Request) -> io::Result<Arc<Started>> {
        let Request { call, arguments, environment } = request;
        let id = spawn_myself(&arguments, &environment, call.as_fd())?;
        // A child that can be neither watched nor collected must not stay.
        let kill = |_: &io::Error| pidfd::kill_without(id);
        let pidfd = match pidfd::open(id) {
            Err(error) if pidfd::is_gone(&error) => return Ok(Arc::new(Started::lost(id, call))),
            opened => opened.inspect_err(kill)?,
        };
        self.events.add(&pidfd, self.next).inspect_err(kill)?;
        let started = Arc::new(Started::new(id, pidfd, call));
        self.children.insert(self.next, started.clone());
        self.next += 1;
        Ok(started)
    }

    fn collect(&mut self, key: u64) {
        let Some(child) = self.children.get(&key) else { return };
        if !child.reap() {
            // Ended, but a debugger sees it first. The event stays, so do not run in circles.
            thread::sleep(Duration::from_millis(1));
            return;
        }
        let removed = child.pidfd().map(|pidfd| self.events.remove(pidfd));
        debug_assert!(matches!(removed, Some(Ok(()))), "a child that was watched is not: {removed:?}");
        self.children.remove(&key);
    }
}
