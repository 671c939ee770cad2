//! Parents, children, grandchildren: nobody is orphaned, and nothing is left behind.

#![allow(unsafe_code)]

use std::{
    cell::Cell,
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    os::{
        fd::AsRawFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    thread,
    time::{Duration, Instant},
};

use commons::{Message, Pool, Process, ProcessError, Value};
use rustix::{
    process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, waitpid},
    thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity},
};

commons::init_in_tests!();

const LONG: Duration = Duration::from_secs(60);

fn join<R: Message>(process: commons::Result<Process<R>>) -> R {
    let process = process.unwrap();
    assert!(process.wait_timeout(LONG).unwrap().is_some(), "{process:?} does not end");
    process.join().unwrap()
}

/// Looks until something is so, for a bounded time.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A place where a process of this test, however far down, calls in.
struct Door {
    name: String,
    listener: UnixListener,
}

impl Door {
    fn new(test: &str) -> Self {
        let name = format!("commons-test-{test}-{}", std::process::id());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { name, listener }
    }

    /// The next caller: its pid, and the line to it, which ends when the process does.
    fn caller(&self) -> (Pid, UnixStream) {
        let mut line = None;
        eventually("somebody calls in", || {
            line = self.listener.accept().ok();
            line.is_some()
        });
        let mut line = line.unwrap().0;
        line.set_nonblocking(false).unwrap();
        line.set_read_timeout(Some(LONG)).unwrap();
        let mut pid = [0; 4];
        line.read_exact(&mut pid).unwrap();
        (Pid::from_raw(i32::from_ne_bytes(pid)).unwrap(), line)
    }
}

/// Calls in at a door and waits for an answer.
fn call_in(name: String) -> u8 {
    let mut line = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
    line.write_all(&std::process::id().to_ne_bytes()).unwrap();
    let mut answer = [0];
    line.read_exact(&mut answer).map_or(0, |()| answer[0])
}

#[test]
fn a_worker_has_workers() {
    let process = commons::spawn(5, |n: u32| {
        let square = commons::spawn(n, |n| n * n).unwrap().join().unwrap();
        square + commons::spawn(n, |n| n + 1).unwrap().join().unwrap()
    });
    assert_eq!(join(process), 31);
}

#[test]
fn a_process_outlives_the_thread_that_started_it() {
    let door = Door::new("thread");
    let name = door.name.clone();
    let process = thread::spawn(|| commons::spawn(name, call_in)).join().unwrap();
    let (_, mut line) = door.caller();
    line.write_all(&[42]).unwrap();
    assert_eq!(join(process), 42);
}

/// Kills the parent of a worker, when the thread that started it has ended; the worker must be gone
/// within a second.
fn orphan(test: &str, meanwhile: impl Fn(Pid)) {
    let door = Door::new(test);
    let (tell, hear) = commons::channel(1).unwrap();
    let parent = commons::spawn((door.name.clone(), tell), |(name, tell)| -> () {
        let starter = || (commons::spawn(name, call_in).unwrap(), gettid());
        let (_child, starter) = thread::spawn(starter).join().unwrap();
        let task = format!("/proc/self/task/{}", starter.as_raw_pid());
        // The kernel wakes the worker then.
        eventually("the thread is gone", || !fs::exists(&task).unwrap());
        tell.send(&()).unwrap();
        loop {
            thread::park();
        }
    });
    let parent: Process<()> = parent.unwrap();
    let (child, mut line) = door.caller();
    hear.recv_timeout(LONG).unwrap();
    meanwhile(child);
    parent.kill().unwrap();
    line.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    match line.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("process {child:?} lives without its parent: {other:?}"),
    }
    parent.wait_timeout(LONG).unwrap();
}

thread_local! {
    /// More than the stack of a thread that only waits. Thread-locals lie on it.
    static BALLAST: Cell<[u8; 1 << 20]> = const { Cell::new([0; 1 << 20]) };
}

#[test]
fn a_worker_is_watched_however_large_its_thread_locals_are() {
    let watched = commons::spawn((), |()| {
        BALLAST.with(|ballast| std::hint::black_box(ballast.as_ptr()));
        let name = |task: std::io::Result<fs::DirEntry>| fs::read_to_string(task?.path().join("comm"));
        let is_watcher = |task| name(task).is_ok_and(|name| name == "commons-watcher\n");
        eventually("there is a watcher", || fs::read_dir("/proc/self/task").unwrap().any(is_watcher));
    });
    join(watched);
}

#[test]
fn a_worker_ends_with_its_parent() {
    orphan("orphan", |_| {});
}

#[test]
fn a_stopped_worker_ends_with_its_parent() {
    orphan("stopped", |child| {
        kill_process(child, Signal::STOP).unwrap();
        eventually("the worker stops", || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", child.as_raw_pid())).unwrap();
            stat.rsplit_once(") ").unwrap().1.starts_with('T')
        });
    });
}

#[test]
fn a_parent_killed_while_it_starts_workers_leaves_none() {
    // In a process of its own, which adopts whoever is orphaned and so sees it end.
    join(commons::spawn((), |()| {
        set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        let mut ended = 0;
        for round in 0..20 {
            let parent = commons::spawn((), |()| -> () {
                loop {
                    let _child = commons::spawn((), |()| -> () {
                        loop {
                            thread::park()
                        }
                    });
                }
            });
            let parent = parent.unwrap();
            // Somewhere else each time: before the first worker, in the start of one, between two.
            thread::sleep(Duration::from_micros(700 * round));
            parent.kill().unwrap();
            let _ = parent.wait_timeout(LONG);
            let start = Instant::now();
            eventually("the orphans end", || match waitpid(None, WaitOptions::NOHANG) {
                Err(error) => error == rustix::io::Errno::CHILD,
                Ok(orphan) => {
                    ended += usize::from(orphan.is_some());
                    false
                }
            });
            assert!(start.elapsed() < Duration::from_secs(1), "orphans lived for {:?}", start.elapsed());
        }
        println!("20 parents killed, {ended} orphans ended");
    }));
}

#[test]
fn a_worker_may_use_the_cpus_of_the_thread_that_starts_it() {
    let all = sched_getaffinity(None).unwrap();
    let last = (0..CpuSet::MAX_CPU).rev().find(|&cpu| all.is_set(cpu)).unwrap();
    let pinned = move || {
        let mut one = CpuSet::new();
        one.set(last);
        sched_setaffinity(None, &one).unwrap();
        join(commons::spawn((), |()| sched_getaffinity(None).unwrap().count()))
    };
    assert_eq!(thread::spawn(pinned).join().unwrap(), 1);
    assert_eq!(join(commons::spawn((), |()| sched_getaffinity(None).unwrap().count())), all.count());
}

#[test]
fn a_worker_inherits_no_stray_descriptors() {
    let stray = rustix::io::dup(File::open("/proc/self/exe").unwrap()).unwrap();
    assert!(rustix::io::fcntl_getfd(&stray).unwrap().is_empty(), "it would survive an exec");
    let open = join(commons::spawn((), |()| {
        let entries = fs::read_dir("/proc/self/fd").unwrap();
        let files = entries.map(|entry| fs::read_link(entry.unwrap().path()).unwrap_or_default());
        files.skip(3).map(|file| file.to_string_lossy().into_owned()).collect::<Vec<_>>()
    }));
    for file in open {
        let own = ["/memfd:commons-call", "anon_inode:[pidfd]", "/proc/", "pidfd:"];
        let own = file.is_empty() || own.iter().any(|name| file.starts_with(name));
        assert!(own, "{file} came from the parent, where {} is open", stray.as_raw_fd());
    }
}

fn count(directory: &str) -> usize {
    fs::read_dir(directory).unwrap().count()
}

#[test]
fn two_hundred_processes_leave_nothing() {
    // In a process of its own, where no other test opens files or starts processes.
    join(commons::spawn((), |()| {
        let round = |n: u64| assert_eq!(commons::spawn(n, |n| n + 1).unwrap().join().unwrap(), n + 1);
        round(0);
        let maps = || fs::read_to_string("/proc/self/maps").unwrap().matches("commons-call").count();
        // The spawner lets go just after it has told the joiner.
        let own = 1;
        eventually("the first is let go", || maps() == own);
        let before = (count("/proc/self/fd"), count("/proc/self/task"));
        (0..200).for_each(round);
        eventually("all are let go", || maps() == own);
        assert_eq!((count("/proc/self/fd"), count("/proc/self/task")), before);
        let none = waitpid(None, WaitOptions::NOHANG);
        assert_eq!(none.unwrap_err(), rustix::io::Errno::CHILD, "a child was not collected");
    }));
}

#[test]
fn a_process_whose_handle_is_dropped_runs_on_and_is_collected() {
    let door = Door::new("dropped");
    drop(commons::spawn(door.name.clone(), call_in).unwrap());
    let (pid, mut line) = door.caller();
    let proc = format!("/proc/{}", pid.as_raw_pid());
    assert!(fs::exists(&proc).unwrap());
    line.write_all(&[1]).unwrap();
    eventually("it is collected", || !fs::exists(&proc).unwrap());
}

#[test]
fn a_result_arrives_even_if_somebody_else_collects_the_process() {
    join(commons::spawn((), |()| {
        // SAFETY: a disposition, no handler.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        let process = commons::spawn(3, |n: u8| n).unwrap();
        let error = process.wait_timeout(LONG).unwrap_err();
        assert!(error.to_string().contains("SIGCHLD"), "{error}");
        assert!(process.is_finished());
        assert_eq!(process.exit(), None);
        assert_eq!(process.join().unwrap(), 3);
        let process = commons::spawn((), |()| -> () { std::process::exit(3) }).unwrap();
        let error = process.join().unwrap_err();
        assert!(matches!(error, ProcessError::Unknown { .. }), "{error}");
    }));
}

#[test]
fn a_forked_process_starts_its_own() {
    join(commons::spawn((), |()| {
        let inherited = commons::spawn(1, |n: u8| n).unwrap();
        // SAFETY: the child uses only what this test is about, and ends without destructors.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let own = commons::spawn(2, |n: u8| n).unwrap().join();
            let others = inherited.join();
            let good = matches!((own, others), (Ok(2), Err(ProcessError::Unknown { .. })));
            // SAFETY: ends the process.
            unsafe { libc::_exit(if good { 9 } else { 1 }) };
        }
        assert_eq!(inherited.join().unwrap(), 1);
        let (_, status) = waitpid(Pid::from_raw(pid), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(9));
    }));
}

#[test]
fn only_the_worker_itself_tells_the_result() {
    // A fork of the worker returns from the function first, with another result.
    let process = commons::spawn((), |()| {
        // SAFETY: both sides go on with code that allocates and writes only.
        let pid = unsafe { libc::fork() };
        if pid != 0 {
            waitpid(Pid::from_raw(pid), WaitOptions::empty()).unwrap();
        }
        pid != 0
    });
    assert!(join(process));
}

#[test]
fn a_name_in_arguments_is_free_when_their_process_has_ended() {
    // The loader lists the libraries and ends well, before any code of the program has run.
    let before_init = Process::builder().env("LD_TRACE_LOADED_OBJECTS", "1");
    for round in 0..50 {
        let name = format!("argument-{}", std::process::id());
        let value = Value::create(&name, round).unwrap();
        let process = if round % 2 == 0 {
            before_init.spawn(value, drop::<Value<u32>>)
        } else {
            commons::spawn(value, drop::<Value<u32>>)
        };
        process.unwrap().wait().unwrap();
        assert!(Value::<u32>::open(&name).is_err_and(|error| error.kind() == commons::ErrorKind::NotFound));
    }
}

#[test]
fn workers_of_a_pool_may_use_the_cpus_of_who_made_it() {
    let count = |()| sched_getaffinity(None).unwrap().count();
    // In a process of its own, which has no other children.
    let [all, pinned] = join(commons::spawn((), move |()| {
        let count = |()| sched_getaffinity(None).unwrap().count();
        let pool = Pool::builder().workers(1).idle_timeout(Duration::from_millis(20)).build().unwrap();
        eventually("its worker rests", || commons::active_children().is_empty());
        let submit = || {
            let mut one = CpuSet::new();
            let cpu = (0..CpuSet::MAX_CPU).find(|&cpu| sched_getaffinity(None).unwrap().is_set(cpu));
            one.set(cpu.unwrap());
            sched_setaffinity(None, &one).unwrap();
            pool.submit((), count).unwrap().join().unwrap()
        };
        [count(()), thread::scope(|scope| scope.spawn(submit).join().unwrap())]
    }));
    assert_eq!((all, pinned), (count(()), count(())));
}
