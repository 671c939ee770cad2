//! A signal handler that runs again and again while its thread waits changes nothing: what is waited
//! for comes, nothing else does, and a timeout is neither early nor late.
//!
//! # Safety
//! Installs two handlers that only count, and sends their signals to threads of this process.

#![allow(unsafe_code)]

mod common;

use std::{
    ptr,
    sync::{
        atomic::{AtomicU64, Ordering::*},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use common::{
    unique,
    workers::{LONG, bounded},
};
use commons::{
    Array, Connection, ErrorKind, Listener, Queue, RecvTimeoutError, Select, SendTimeoutError, Shareable,
    Shared, Value,
    sync::{
        Barrier, BarrierError, Condvar, Event, Mutex, Once, ReentrantLock, RwLock, Semaphore, TryLockError,
    },
};
use rustix::thread::gettid;

commons::init_in_tests!();

/// What a wait with a timeout is given.
const TIME: Duration = Duration::from_millis(40);

/// Such a wait has ended by then, on a busy machine too.
const LATE: Duration = Duration::from_secs(5);

/// So many handlers have run in a wait before it is ended.
const ENOUGH: u64 = 60;

/// Whether the system calls that a handler interrupts go on by themselves.
#[derive(Clone, Copy, Debug)]
enum Handler {
    Interrupts,
    Restarts,
}

static HANDLED: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

extern "C" fn count_interrupting(_: libc::c_int) {
    HANDLED[0].fetch_add(1, Relaxed);
}

extern "C" fn count_restarting(_: libc::c_int) {
    HANDLED[1].fetch_add(1, Relaxed);
}

impl Handler {
    fn signal(self) -> libc::c_int {
        match self {
            Self::Interrupts => libc::SIGUSR1,
            Self::Restarts => libc::SIGUSR2,
        }
    }

    fn install(self) {
        let (handler, flags): (extern "C" fn(libc::c_int), _) = match self {
            Self::Interrupts => (count_interrupting, 0),
            Self::Restarts => (count_restarting, libc::SA_RESTART),
        };
        // SAFETY: all zeroes is a `sigaction` without flags and with an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = flags;
        // SAFETY: the action is complete, and its handler only counts.
        assert_eq!(unsafe { libc::sigaction(self.signal(), &raw const action, ptr::null_mut()) }, 0);
    }

    fn handled(self) -> u64 {
        HANDLED[self as usize].load(Relaxed)
    }
}

/// Runs `wait` in a thread under signals; `meanwhile` runs once it has been interrupted often.
fn under_signals<R: Send>(handler: Handler, wait: impl FnOnce() -> R + Send, meanwhile: impl FnOnce()) -> R {
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            tell.send(gettid().as_raw_nonzero().get()).unwrap();
            wait()
        });
        let thread = told.recv().unwrap();
        let (before, mut meanwhile) = (handler.handled(), Some(meanwhile));
        while !waiter.is_finished() {
            // SAFETY: three numbers; the thread is this process's or, after its end, nobody's.
            unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), thread, handler.signal()) };
            thread::sleep(Duration::from_micros(50));
            if handler.handled() >= before + ENOUGH
                && let Some(meanwhile) = meanwhile.take()
            {
                meanwhile();
            }
        }
        waiter.join().unwrap()
    })
}

/// One kind of wait: with a timeout that passes, and then one that ends with `wake`. Both say whether
/// they ended as they should.
fn check(
    handler: Handler,
    name: &str,
    timed: impl FnOnce(Duration) -> bool + Send,
    wait: impl FnOnce() -> bool + Send,
    wake: impl FnOnce(),
) {
    let (start, before) = (Instant::now(), handler.handled());
    assert!(under_signals(handler, || timed(TIME), || {}), "{name}, {handler:?}: no timeout");
    let took = start.elapsed();
    assert!(took >= TIME && took < LATE, "{name}, {handler:?}: {TIME:?} took {took:?}");
    assert!(handler.handled() > before, "{name}, {handler:?}: no handler has run");
    let mut woken = None;
    let ended = under_signals(
        handler,
        || (wait(), Instant::now()),
        || {
            woken = Some(Instant::now());
            wake();
        },
    );
    assert!(ended.0, "{name}, {handler:?}: not what was waited for");
    let woken = woken.unwrap_or_else(|| panic!("{name}, {handler:?}: it ended before it was woken"));
    assert!(ended.1 >= woken, "{name}, {handler:?}: it ended before it was woken");
    let late = ended.1.saturating_duration_since(woken);
    assert!(late < LATE, "{name}, {handler:?}: it went on after {late:?}");
}

#[derive(Default, Shareable)]
#[repr(C)]
struct Locks {
    mutex: Mutex<u64>,
    rwlock: RwLock<u64>,
    nested: ReentrantLock<u64>,
    changed: Condvar,
    event: Event,
    once: Once,
}

fn timed_out<G>(result: Result<G, TryLockError<G>>) -> bool {
    matches!(result, Err(TryLockError::TimedOut))
}

fn locks(handler: Handler) {
    handler.install();
    let locks = Shared::new(Locks::default()).unwrap();
    let Locks { mutex, rwlock, nested, changed, event, once } = &*locks;
    let held = mutex.lock().unwrap();
    let timed = |time| timed_out(mutex.lock_timeout(time));
    check(handler, "Mutex", timed, || mutex.lock().is_ok(), || drop(held));
    let held = rwlock.write().unwrap();
    let timed = |time| timed_out(rwlock.read_timeout(time));
    check(handler, "RwLock::read", timed, || rwlock.read().is_ok(), || drop(held));
    let held = rwlock.read().unwrap();
    let timed = |time| timed_out(rwlock.write_timeout(time));
    check(handler, "RwLock::write", timed, || rwlock.write().is_ok(), || drop(held));
    let held = nested.lock().unwrap();
    let timed = |time| timed_out(nested.lock_timeout(time));
    check(handler, "ReentrantLock", timed, || nested.lock().is_ok(), || drop(held));
    let timed = |time| changed.wait_timeout(mutex.lock().unwrap(), time).unwrap().1.timed_out();
    let wait = || changed.wait(mutex.lock().unwrap()).is_ok();
    check(handler, "Condvar", timed, wait, || {
        drop(mutex.lock());
        changed.notify_one();
    });
    let timed =
        |time| changed.wait_timeout_while(mutex.lock().unwrap(), time, |_| true).unwrap().1.timed_out();
    let wait = || changed.wait_while(mutex.lock().unwrap(), |n| *n == 0).is_ok();
    check(handler, "Condvar::wait_while", timed, wait, || {
        *mutex.lock().unwrap() = 1;
        changed.notify_all();
    });
    check(handler, "Event", |time| !event.wait_timeout(time), || event.wait_timeout(LONG), || event.set());
    let (finish, finished) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            once.call_once(|| {
                begin.send(()).unwrap();
                let _ = finished.recv();
            });
        });
        begun.recv().unwrap();
        let not_again = || {
            once.call_once(|| panic!("it is done already"));
            once.is_completed()
        };
        // It has no timeout of its own.
        let timed = |time| {
            thread::sleep(time);
            true
        };
        check(handler, "Once", timed, not_again, || drop(finish));
    });
}

fn counted(handler: Handler) {
    handler.install();
    let semaphore = Shared::new(Semaphore::new(1)).unwrap();
    let permit = semaphore.acquire();
    let timed = |time| semaphore.acquire_timeout(time).is_none();
    check(handler, "Semaphore", timed, || semaphore.acquire_timeout(LONG).is_some(), || drop(permit));
    let barrier = Shared::new(Barrier::new(2)).unwrap();
    let timed = |time| {
        let broken = barrier.wait_timeout(time) == Err(BarrierError::Broken);
        barrier.reset();
        broken
    };
    check(handler, "Barrier", timed, || barrier.wait().is_ok(), || _ = barrier.wait());
    let value = Value::new(0u64).unwrap();
    let timed = |time| value.wait_until_timeout(|&n| n == 1, time).is_err();
    check(handler, "Value", timed, || value.wait_until(|&n| n == 1) == 1, || value.set(1));
    let array = Array::<u64>::new(4).unwrap();
    let claim = array.claim(0..2).unwrap();
    let timed = |time| array.claim_timeout(.., time).is_err();
    check(handler, "Array", timed, || array.claim(..).is_ok(), || drop(claim));
}

fn messages(handler: Handler) {
    handler.install();
    let queue = Queue::<u32>::bounded(1).unwrap();
    let timed = |time| matches!(queue.recv_timeout(time), Err(RecvTimeoutError::TimedOut));
    check(handler, "Queue::recv", timed, || queue.recv().unwrap() == 1, || queue.send(&1).unwrap());
    let timed = |time| matches!(queue.lease_timeout(time).map(drop), Err(RecvTimeoutError::TimedOut));
    let lease = || queue.lease().unwrap().done().is_ok();
    check(handler, "Queue::lease", timed, lease, || queue.send(&1).unwrap());
    queue.send(&2).unwrap();
    let timed = |time| matches!(queue.send_timeout(&3, time), Err(SendTimeoutError::TimedOut));
    check(handler, "Queue::send", timed, || queue.send(&3).is_ok(), || assert_eq!(queue.recv().unwrap(), 2));
    let wait = || queue.join_timeout(LONG).is_ok();
    let timed = |time| queue.join_timeout(time).is_err();
    check(handler, "Queue::join", timed, wait, || assert_eq!(queue.recv().unwrap(), 3));
    let (sender, receiver) = commons::channel::<u32>(1).unwrap();
    let timed = |time| matches!(receiver.recv_timeout(time), Err(RecvTimeoutError::TimedOut));
    check(handler, "Receiver", timed, || receiver.recv().unwrap() == 4, || sender.send(&4).unwrap());
    sender.send(&5).unwrap();
    let timed = |time| matches!(sender.send_timeout(&6, time), Err(SendTimeoutError::TimedOut));
    check(handler, "Sender", timed, || sender.send(&6).is_ok(), || assert_eq!(receiver.recv().unwrap(), 5));
    let (near, far) = commons::pipe::<u32, u32>().unwrap();
    let timed = |time| matches!(near.recv_timeout(time), Err(RecvTimeoutError::TimedOut));
    check(handler, "Connection::recv", timed, || near.recv().unwrap() == 7, || far.send(&7).unwrap());
    let wait = || near.poll_timeout(LONG);
    check(handler, "Connection::poll", |time| !near.poll_timeout(time), wait, || far.send(&8).unwrap());
    near.recv().unwrap();
    let event = Event::new();
    let select = || Select::new().on(&queue).on(&near).on(&event);
    let timed = |time| select().wait_timeout(time).is_err_and(|error| error.kind() == ErrorKind::TimedOut);
    check(handler, "Select", timed, || select().wait().unwrap() == [1], || far.send(&9).unwrap());
}

/// Memory that a queue takes when it grows, and what is in no ring.
fn large_messages(handler: Handler) {
    handler.install();
    let queue = Queue::<Vec<u8>>::unbounded().unwrap();
    let lens = [60_000, 200_000, 1 << 20, 16 << 20, 80 << 20];
    let arrived = under_signals(
        handler,
        || {
            lens.iter().for_each(|&len| queue.send(&vec![7; len]).unwrap());
            lens.iter().all(|&len| queue.recv().unwrap() == vec![7; len])
        },
        || {},
    );
    assert!(arrived);
}

fn processes(handler: Handler) {
    handler.install();
    let event = Shared::new(Event::new()).unwrap();
    let process = commons::spawn(event.clone(), |event| {
        event.wait();
        7
    });
    let process = process.unwrap();
    let timed = |time| process.wait_timeout(time).unwrap().is_none();
    check(handler, "Process::wait", timed, || process.wait().is_ok(), || event.set());
    event.clear();
    let process = commons::spawn(event.clone(), |event| {
        event.wait();
        8
    });
    let process = process.unwrap();
    let timed = |time| Select::new().on(&process).wait_timeout(time).is_err();
    check(
        handler,
        "Select of a process",
        timed,
        || Select::new().on(&process).wait().is_ok(),
        || event.set(),
    );
    assert_eq!(under_signals(handler, || process.join().unwrap(), || {}), 8);
    let name = unique("signals");
    let listener = Listener::bind(&name).unwrap();
    let timed =
        |time| listener.accept_timeout::<u8, u8>(time).is_err_and(|e| e.kind() == ErrorKind::TimedOut);
    thread::scope(|scope| {
        let connect = || drop(scope.spawn(|| Connection::<u8, u8>::connect(&name).unwrap()));
        check(handler, "Listener", timed, || listener.accept::<u8, u8>().is_ok(), connect);
    });
    let connect = || Connection::<u8, u8>::connect(&name).is_ok();
    let connected = thread::scope(|scope| {
        let connected = scope.spawn(|| under_signals(handler, connect, || {}));
        listener.accept_timeout::<u8, u8>(LONG).unwrap();
        connected.join().unwrap()
    });
    assert!(connected);
}

macro_rules! tests {
    ($($name:ident: $what:ident, $handler:expr;)*) => {$(
        #[test]
        fn $name() {
            let _guard = bounded(stringify!($name));
            $what($handler);
        }
    )*};
}

tests! {
    locks_under_a_handler: locks, Handler::Interrupts;
    locks_under_a_restarting_handler: locks, Handler::Restarts;
    counted_under_a_handler: counted, Handler::Interrupts;
    counted_under_a_restarting_handler: counted, Handler::Restarts;
    messages_under_a_handler: messages, Handler::Interrupts;
    messages_under_a_restarting_handler: messages, Handler::Restarts;
    large_messages_under_a_handler: large_messages, Handler::Interrupts;
    large_messages_under_a_restarting_handler: large_messages, Handler::Restarts;
    processes_under_a_handler: processes, Handler::Interrupts;
    processes_under_a_restarting_handler: processes, Handler::Restarts;
}
