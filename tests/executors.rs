//! Tasks in this process: what is dropped, by whom, and when, and panics of what is dropped.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle, ThreadId},
    time::Duration,
};

use commons::{Atomic, Backend, Executor, Parallel, Pool, TaskErrorKind, Value};
use serde::{Deserialize, Serialize};

commons::init_in_tests!();

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

type Task = Box<dyn FnOnce() + Send>;

/// One thread, which is joined by who drops this.
struct Joining(Option<Sender<Task>>, Option<JoinHandle<()>>);

impl Joining {
    fn new() -> Self {
        let (tasks, rest) = channel::<Task>();
        Self(Some(tasks), Some(thread::spawn(move || rest.into_iter().for_each(|task| task()))))
    }
}

impl Executor for Joining {
    fn workers(&self) -> usize {
        1
    }

    fn execute(&self, task: Task) {
        self.0.as_ref().unwrap().send(task).unwrap();
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        drop(self.0.take());
        self.1.take().unwrap().join().unwrap();
    }
}

/// A thread for each task, which begins when the gate is open. Tells whether a task ended without a panic,
/// and which thread has dropped this.
struct Gated {
    gate: Arc<Mutex<()>>,
    ended: Sender<bool>,
    dropped: Sender<ThreadId>,
}

impl Gated {
    fn new() -> (Self, Receiver<bool>, Receiver<ThreadId>) {
        let ((ended, all), (dropped, by)) = (channel(), channel());
        (Self { gate: Arc::default(), ended, dropped }, all, by)
    }
}

impl Executor for Gated {
    fn workers(&self) -> usize {
        2
    }

    fn execute(&self, task: Task) {
        let (gate, ended) = (self.gate.clone(), self.ended.clone());
        thread::spawn(move || {
            drop(gate.lock());
            let _ = ended.send(catch_unwind(AssertUnwindSafe(task)).is_ok());
        });
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        let _ = self.dropped.send(thread::current().id());
    }
}

/// Its end is a panic.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, SeqCst);
        panic!("on purpose, by a drop");
    }
}

/// Bombs of this process.
static DROPPED: AtomicU32 = AtomicU32::new(0);

/// Runs `f` in a process of its own, which may be ended by it.
fn apart(f: fn(())) {
    let process = commons::spawn((), f).unwrap();
    assert!(process.wait_timeout(LONG).unwrap().is_some(), "it does not end");
    process.join().unwrap();
}

/// Counts states that are made and dropped.
struct Counted(Atomic<u64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1);
    }
}

fn counted((made, dropped): (Atomic<u64>, Atomic<u64>)) -> Counted {
    made.fetch_add(1);
    Counted(dropped)
}

fn counters() -> (Atomic<u64>, Atomic<u64>) {
    (Atomic::new(0).unwrap(), Atomic::new(0).unwrap())
}

#[test]
fn states_are_dropped_with_their_call() {
    let usual = || Parallel::new().jobs(2);
    let one = [Parallel::new().jobs(1), usual().backend(Backend::sequential())];
    for (parallel, most) in
        one.into_iter().map(|one| (one, 1)).chain([(usual().backend(Backend::threads()), 2)])
    {
        for round in 0..20 {
            let (made, dropped) = counters();
            let call = parallel.clone().init((made.clone(), dropped.clone()), counted);
            assert!(call.map(0..50u64, |_, n| n).unwrap().into_iter().eq(0..50));
            assert!((1..=most).contains(&made.load()), "{parallel:?} made {}", made.load());
            assert_eq!(dropped.load(), made.load(), "{parallel:?}, round {round}");
        }
    }
    let (made, dropped) = counters();
    let mut results =
        Parallel::new().jobs(1).init((made.clone(), dropped.clone()), counted).map_iter(0.., |_, n| n);
    assert_eq!(results.next(), Some(Ok(0)));
    assert_eq!((made.load(), dropped.load()), (1, 0));
    drop(results);
    assert_eq!((made.load(), dropped.load()), (1, 1));
}

#[test]
fn a_name_that_a_state_has_is_free_after_the_call() {
    for parallel in [Parallel::new().jobs(1), Parallel::new().jobs(2).backend(Backend::threads())] {
        for round in 0..5u32 {
            let made = Value::new(0).unwrap();
            let call = parallel.clone().init((made, std::process::id()), |(made, id)| {
                let which = made.update(|made| {
                    *made += 1;
                    *made
                });
                Value::create(&format!("executors-{id}-{which}"), 0u32).unwrap()
            });
            let results = call.map(0..9u32, |value, n| {
                value.set(n);
                value.get()
            });
            assert!(results.unwrap().into_iter().eq(0..9), "{parallel:?}, round {round}");
        }
    }
}

#[test]
fn calls_that_go_on_together_keep_their_states() {
    let ((made, dropped), backend) = (counters(), Backend::custom(Joining::new()).unwrap());
    let call = || {
        let parallel = Parallel::new().backend(backend.clone()).max_look_ahead(1);
        parallel.init((made.clone(), dropped.clone()), counted).map_iter(0..100u32, |_, n| n)
    };
    let (mut one, mut other) = (call(), call());
    for n in 0..100 {
        assert_eq!((one.next(), other.next()), (Some(Ok(n)), Some(Ok(n))));
    }
    assert_eq!((made.load(), dropped.load()), (2, 0));
    drop((one, other));
    let next = Parallel::new().backend(backend.clone()).with(dropped.clone());
    let seen = next.map([()], |dropped, ()| dropped.load()).unwrap();
    assert_eq!(seen, [2], "a thread's next task finds none of calls that are over");
}

#[test]
fn a_panic_of_a_states_drop_is_nobodys() {
    apart(|()| {
        let backends = [Backend::sequential(), Backend::threads(), Backend::custom(Joining::new()).unwrap()];
        for backend in backends {
            DROPPED.store(0, SeqCst);
            // Threads are not asked whether they end well, but one that does not takes the process with it.
            let call = move || {
                let parallel = || Parallel::new().jobs(2).backend(backend.clone()).init((), |()| Bomb);
                assert!(parallel().map(0..20u32, |_, n| n).unwrap().into_iter().eq(0..20));
                let failed = parallel().outcomes(0..4u32, |_, n| assert!(n == 4, "on purpose, by a task"));
                for error in failed.into_iter().map(Result::unwrap_err) {
                    assert!(error.to_string().contains("by a task"), "{error}");
                }
            };
            thread::spawn(call).join().unwrap();
            assert!(DROPPED.load(SeqCst) >= 2);
        }
    });
}

#[test]
fn a_panic_of_an_inner_states_drop_is_not_the_outer_tasks() {
    apart(|()| {
        let inner = || Parallel::new().jobs(1).init((), |()| Bomb).map(0..3u32, |_, n| n).unwrap();
        assert_eq!(inner(), [0, 1, 2]);
        let outer = Parallel::new().jobs(1).init((), |()| 7u32).map(0..4u32, |seven, n| {
            let inner = Parallel::new().jobs(1).init((), |()| Bomb).map(0..3u32, |_, n| n).unwrap();
            inner.into_iter().sum::<u32>() + *seven + n
        });
        assert_eq!(outer.unwrap(), [10, 11, 12, 13]);
        assert_eq!(DROPPED.load(SeqCst), 5);
    });
}

#[test]
fn an_executor_is_not_dropped_by_its_own_tasks() {
    let (executor, ended, dropped) = Gated::new();
    let gate = executor.gate.clone();
    let closed = gate.lock().unwrap();
    let backend = Backend::custom(executor).unwrap();
    let results = Parallel::new().backend(backend.clone()).max_look_ahead(2).map_iter(0..9u32, |n| n);
    drop(results);
    drop(backend);
    drop(closed);
    assert_eq!(dropped.recv_timeout(LONG), Ok(thread::current().id()));
    assert_eq!(ended.recv_timeout(LONG), Ok(true));
}

#[test]
fn an_item_that_panics_when_it_is_called_off_is_nobodys() {
    let (executor, ended, _dropped) = Gated::new();
    let gate = executor.gate.clone();
    let closed = gate.lock().unwrap();
    let backend = Backend::custom(executor).unwrap();
    let items = std::iter::repeat_with(|| Bomb);
    drop(Parallel::new().backend(backend).max_look_ahead(2).map_iter(items, |bomb| bomb));
    drop(closed);
    assert_eq!((ended.recv_timeout(LONG), ended.recv_timeout(LONG)), (Ok(true), Ok(true)));

    // Threads of rayon's end the process with a panic.
    apart(|()| {
        static MEETING: Barrier = Barrier::new(2);
        let pool = Pool::threads(1).unwrap();
        let first = pool.submit((), |()| _ = MEETING.wait()).unwrap();
        let off: Vec<_> = (0..3).map(|_| pool.submit(Bomb, drop).unwrap()).collect();
        assert!(off.iter().all(|task| task.cancel()));
        MEETING.wait();
        assert!(off.into_iter().all(|task| task.join().is_err()));
        first.join().unwrap();
        pool.shutdown().unwrap();
        assert_eq!(DROPPED.load(SeqCst), 3);
    });
}

#[test]
fn an_item_that_panics_when_its_task_is_dropped_is_nobodys() {
    struct Forgetful;
    impl Executor for Forgetful {
        fn workers(&self) -> usize {
            1
        }
        fn execute(&self, task: Task) {
            drop(task);
        }
    }
    let error = Pool::custom(Forgetful).unwrap().map([Bomb], drop).unwrap_err();
    assert!(matches!(error.kind(), TaskErrorKind::Refused(_)), "{error}");
}

#[test]
fn results_that_nobody_takes_may_panic() {
    static MEETING: Barrier = Barrier::new(2);
    apart(|()| {
        let (executor, ended, _dropped) = Gated::new();
        let backend = Backend::custom(executor).unwrap();
        let parallel = || Parallel::new().backend(backend.clone());
        let results = parallel().max_look_ahead(2).map_iter(0..2u32, |n| {
            if n == 1 {
                MEETING.wait();
                MEETING.wait();
            }
            Bomb
        });
        MEETING.wait();
        assert_eq!(ended.recv_timeout(LONG), Ok(true));
        drop(results);
        MEETING.wait();
        assert_eq!(ended.recv_timeout(LONG), Ok(true));
        assert_eq!(DROPPED.load(SeqCst), 2);

        let mut late = parallel().timeout(Duration::from_millis(20)).outcomes([()], |()| {
            MEETING.wait();
            Bomb
        });
        assert_eq!(late.pop().unwrap().unwrap_err().kind(), &TaskErrorKind::TimedOut);
        MEETING.wait();
        assert_eq!(ended.recv_timeout(LONG), Ok(true));
        assert_eq!(DROPPED.load(SeqCst), 3);
    });
}

/// The only handle on a pool.
static HELD: Mutex<Option<Pool>> = Mutex::new(None);

#[test]
fn a_pool_of_threads_may_end_in_its_own_task() {
    let pool = Pool::threads(2).unwrap();
    let ends = |n: u32| {
        drop(HELD.lock().unwrap().take());
        n
    };
    let mut held = HELD.lock().unwrap();
    let task = pool.submit(7, ends).unwrap();
    *held = Some(pool);
    drop(held);
    task.wait_timeout(LONG).unwrap();
    assert_eq!(task.join().unwrap(), 7);
}
