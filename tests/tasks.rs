//! Tasks as futures: under a plain `block_on` and under tokio, without threads of their own.

mod common;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::*},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use common::{
    Peer, play,
    processes::threads,
    say,
    workers::{LONG, Stage, await_stage, bounded, panic_of},
};
use commons::{Exit, Pool, Task, TaskErrorKind, Value, as_completed, wait_any};

commons::init_in_tests!();

#[test]
fn role() {
    play(&[("plain", plain), ("tokio_threads", tokio_threads), ("tokio_alone", tokio_alone)]);
}

/// Wakes the thread that polls.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// As simple as can be: one future, one thread.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// All of them, polled together.
async fn all<R>(mut tasks: Vec<Task<R>>) -> Vec<R>
where
    Task<R>: Future<Output = Result<R, commons::TaskError>> + Unpin,
{
    let mut results: Vec<Option<R>> = tasks.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (task, result) in tasks.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(done) = Pin::new(task).poll(context)
            {
                *result = Some(done.unwrap());
            }
        }
        if results.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}

const TASKS: u32 = 1000;

/// So many tasks that wait until `open`.
fn gated(pool: &Pool, open: &Stage) -> Vec<Task<u32>> {
    let task = |n| {
        pool.submit((n, open.clone()), |(n, open)| {
            await_stage(&open, 1);
            n
        })
    };
    (0..TASKS).map(|n| task(n).unwrap()).collect()
}

/// Runs `wait` on tasks; while all are awaited this process has hardly more threads than before.
fn awaiting(pool: &Pool, most: usize, wait: impl FnOnce(Vec<Task<u32>>) -> Vec<u32> + Send) {
    let open = Value::new(0u32).unwrap();
    let tasks = gated(pool, &open);
    let before = threads();
    let (begin, begun) = mpsc::channel();
    thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            begin.send(()).unwrap();
            wait(tasks)
        });
        begun.recv_timeout(LONG).unwrap();
        // That they are all polled takes a moment, at any of which there are few threads.
        let mut seen = 0;
        for _ in 0..100 {
            seen = seen.max(threads());
            thread::yield_now();
        }
        open.set(1);
        while !waiter.is_finished() {
            seen = seen.max(threads());
            thread::yield_now();
        }
        say(format_args!("{before} threads before, {seen} at most while {TASKS} tasks were awaited"));
        assert!(seen <= before + 1 + most, "{before} threads became {seen}");
        assert!(waiter.join().unwrap().into_iter().eq(0..TASKS));
    });
}

fn plain() {
    let _bounded = bounded("plain");
    for pool in [Pool::new(2).unwrap(), Pool::threads(2).unwrap()] {
        awaiting(&pool, 0, |tasks| tasks.into_iter().map(block_on).map(Result::unwrap).collect());
        awaiting(&pool, 0, |tasks| block_on(all(tasks)));
    }
}

async fn spawn_all(tasks: Vec<Task<u32>>) -> Vec<u32> {
    let handles: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut results = Vec::new();
    for handle in handles {
        results.push(handle.await.unwrap().unwrap());
    }
    results
}

fn tokio_threads() {
    let _bounded = bounded("tokio_threads");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for pool in [Pool::new(2).unwrap(), Pool::threads(2).unwrap()] {
        awaiting(&pool, 2, |tasks| runtime.block_on(spawn_all(tasks)));
        awaiting(&pool, 2, |tasks| runtime.block_on(all(tasks)));
    }
}

fn tokio_alone() {
    let _bounded = bounded("tokio_alone");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let pool = Pool::new(2).unwrap();
    awaiting(&pool, 0, |tasks| runtime.block_on(spawn_all(tasks)));
}

fn in_a_process(role: &str) {
    assert!(Peer::new(role, &[]).ends_well_at_last(), "{role} failed");
}

#[test]
fn many_tasks_under_a_plain_block_on() {
    in_a_process("plain");
}

#[test]
fn many_tasks_under_tokio() {
    in_a_process("tokio_threads");
}

#[test]
fn many_tasks_under_tokio_on_one_thread() {
    in_a_process("tokio_alone");
}

#[tokio::test]
async fn a_tokio_test_awaits_a_task_and_its_error() {
    let _bounded = bounded("a_tokio_test_awaits_a_task_and_its_error");
    let pool = Pool::new(2).unwrap();
    assert_eq!(pool.submit(6u32, |n| n * 7).unwrap().await.unwrap(), 42);
    let error = pool.submit(6u32, |_| -> u32 { std::process::abort() }).unwrap().await.unwrap_err();
    assert!(matches!(error.kind(), TaskErrorKind::Exit(_)), "{error}");
    let slow = pool
        .submit((), |()| -> u32 {
            loop {
                thread::park()
            }
        })
        .unwrap();
    let quick = pool.submit(5u32, |n| n).unwrap();
    tokio::pin!(slow);
    tokio::select! {
        done = quick => assert_eq!(done.unwrap(), 5),
        done = &mut slow => panic!("{done:?}"),
    }
    pool.terminate();
    let error = slow.await.unwrap_err();
    assert!(
        matches!(error.kind(), TaskErrorKind::Exit(Exit::Signal(9)) | TaskErrorKind::Cancelled),
        "{error}"
    );
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn the_last_waker_is_woken_and_a_task_is_ready_once() {
    let _bounded = bounded("the_last_waker_is_woken_and_a_task_is_ready_once");
    let (pool, open) = (Pool::new(1).unwrap(), Value::new(0u32).unwrap());
    let mut task = pool.submit(open.clone(), |open| await_stage(&open, 1)).unwrap();
    let counts = [(); 3].map(|()| Arc::new(Count::default()));
    for count in &counts {
        let waker = Waker::from(count.clone());
        for _ in 0..3 {
            assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
        }
    }
    assert_eq!(counts.each_ref().map(|count| count.0.load(SeqCst)), [0; 3]);
    open.set(1);
    task.wait_timeout(LONG).unwrap();
    common::eventually("the last waker is woken", || counts[2].0.load(SeqCst) == 1);
    let waker = Waker::from(counts[0].clone());
    let ready = Pin::new(&mut task).poll(&mut Context::from_waker(&waker));
    assert!(matches!(ready, Poll::Ready(Ok(()))));
    let said = panic_of(|| Pin::new(&mut task).poll(&mut Context::from_waker(&waker)));
    assert!(said.contains("taken once"), "{said}");
}

#[test]
fn a_task_that_nobody_awaits_any_more_runs_on() {
    let _bounded = bounded("a_task_that_nobody_awaits_any_more_runs_on");
    let (pool, open, ran) = (Pool::new(2).unwrap(), Value::new(0u32).unwrap(), Value::new(0u32).unwrap());
    for _ in 0..10 {
        let mut task = pool
            .submit((open.clone(), ran.clone()), |(open, ran)| {
                await_stage(&open, 1);
                ran.update(|ran| *ran += 1);
            })
            .unwrap();
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    open.set(1);
    pool.shutdown().unwrap();
    assert_eq!(ran.get(), 10);
}

#[test]
fn tasks_come_as_they_are_completed() {
    let _bounded = bounded("tasks_come_as_they_are_completed");
    for pool in [Pool::new(2).unwrap(), Pool::threads(2).unwrap()] {
        let open = Value::new(0u32).unwrap();
        let task = |(wait, open): (bool, Stage)| {
            if wait {
                await_stage(&open, 1);
            }
            wait
        };
        let slow = pool.submit((true, open.clone()), task).unwrap();
        let mut tasks = vec![slow];
        tasks.extend((0..20).map(|_| pool.submit((false, open.clone()), task).unwrap()));
        assert_ne!(wait_any(&tasks), 0);
        let mut order = as_completed(tasks);
        assert_eq!(order.size_hint(), (21, Some(21)));
        let quick: Vec<bool> = order.by_ref().take(20).map(|task| task.join().unwrap()).collect();
        assert_eq!(quick, [false; 20]);
        open.set(1);
        assert!(order.next().unwrap().join().unwrap());
        assert!(order.next().is_none());
    }
    assert!(panic_of(|| wait_any::<u8>(&[])).contains("found none"));
}

/// A waker may do anything, also begin a task of the same pool.
#[test]
fn a_waker_may_use_the_pool() {
    struct Submits(Pool, AtomicBool, mpsc::SyncSender<Task<u8>>);
    impl Wake for Submits {
        fn wake(self: Arc<Self>) {
            if !self.1.swap(true, SeqCst) {
                self.2.send(self.0.submit(9u8, |n| n).unwrap()).unwrap();
            }
        }
    }
    let _bounded = bounded("a_waker_may_use_the_pool");
    let (pool, open) = (Pool::new(1).unwrap(), Value::new(0u32).unwrap());
    let mut task = pool.submit(open.clone(), |open| await_stage(&open, 1)).unwrap();
    let (tell, told) = mpsc::sync_channel(1);
    let submits = Arc::new(Submits(pool, AtomicBool::new(false), tell));
    let waker = Waker::from(submits.clone());
    assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
    open.set(1);
    assert_eq!(told.recv_timeout(LONG).unwrap().join().unwrap(), 9);
    assert!(block_on(task).is_ok());
}
