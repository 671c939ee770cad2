//! However a holder ends, what it held goes to the next one.
//!
//! # Safety
//! Makes a process fault on purpose.

#![allow(unsafe_code)]

mod common;

use std::{
    os::unix::process::CommandExt,
    process::Command,
    ptr, thread,
    time::{Duration, Instant},
};

use common::scene::{SOON, Scene, end_of};
use commons::{
    Exit, Process, Shared,
    sync::{Mutex, TryLockError},
};
use serde::{Deserialize, Serialize};

commons::init_in_tests!();

/// How a holder ends.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum End {
    Killed,
    Terminated,
    Fault,
    Abort,
    Exit,
    /// `exit` without destructors or hooks.
    ExitNow,
    Panic,
    /// A panic that cannot unwind, as every panic where `panic = "abort"`.
    PanicAborts,
}

/// Comes to this end, unless somebody else has to bring it.
fn come_to(end: End) {
    match end {
        End::Killed | End::Terminated => loop {
            thread::park();
        },
        End::Fault => fault(),
        End::Abort => std::process::abort(),
        End::Exit => std::process::exit(0),
        // SAFETY: ends the process, which takes no care of anything.
        End::ExitNow => unsafe { libc::_exit(0) },
        End::Panic => panic!("on purpose"),
        End::PanicAborts => panic_in_c(),
    }
}

fn fault() {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    // SAFETY: a new page at a free address.
    let page =
        unsafe { mmap_anonymous(ptr::null_mut(), 4096, ProtFlags::empty(), MapFlags::PRIVATE) }.unwrap();
    // SAFETY: aligned and mapped for a byte; that nobody may write there is the purpose.
    unsafe { page.cast::<u8>().write_volatile(1) };
}

extern "C" fn panic_in_c() {
    panic!("on purpose");
}

fn quietly() {
    std::panic::set_hook(Box::new(|_| {}));
}

/// A worker holds everything, another process sleeps for some of it, and the worker comes to its end.
fn holder_ends(end: End, expected: Exit) {
    let scene = Scene::new();
    let worker = commons::spawn((scene.clone(), end), |(scene, end)| {
        if matches!(end, End::PanicAborts) {
            quietly();
        }
        scene.hold_all(|| {
            scene.reach(1);
            scene.await_cue(1);
            come_to(end);
        });
    });
    let worker: Process<()> = worker.unwrap();
    scene.expect(1);
    scene.assert_held(Duration::from_millis(20));
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| drop(scene.value.lock_timeout(SOON).expect("a sleeper gets it")));
        scene.cue(1);
        match end {
            End::Killed => worker.kill().unwrap(),
            End::Terminated => worker.terminate().unwrap(),
            _ => {}
        }
        sleeper.join().unwrap();
    });
    scene.assert_handed_on();
    assert_eq!(end_of(&worker), expected);
}

#[test]
fn killed() {
    holder_ends(End::Killed, Exit::Signal(9));
}

#[test]
fn terminated() {
    holder_ends(End::Terminated, Exit::Signal(15));
}

#[test]
fn faulted() {
    holder_ends(End::Fault, Exit::Signal(11));
}

#[test]
fn aborted() {
    holder_ends(End::Abort, Exit::Signal(6));
}

#[test]
fn exited() {
    holder_ends(End::Exit, Exit::Code(0));
}

#[test]
fn exited_without_destructors() {
    holder_ends(End::ExitNow, Exit::Code(0));
}

#[test]
fn panicked() {
    holder_ends(End::Panic, Exit::Panicked);
}

#[test]
fn panicked_without_unwinding() {
    holder_ends(End::PanicAborts, Exit::Signal(6));
}

#[test]
fn a_panic_that_is_caught_hands_on_too() {
    let scene = Scene::new();
    let caught = thread::scope(|scope| {
        let inside = || scene.hold_all(|| std::panic::panic_any("on purpose"));
        scope.spawn(inside).join()
    });
    assert!(caught.is_err());
    scene.assert_handed_on();
}

/// Which thread holds, and which becomes another program.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
enum Thread {
    Main,
    Second,
}

fn become_sleep() {
    let error = Command::new("/bin/sleep").arg("60").exec();
    panic!("cannot become another program: {error}");
}

/// The process of a holder goes on as another program, which knows nothing of locks.
fn becomes_another_program(holder: Thread, execer: Thread) {
    let scene = Scene::new();
    let worker = commons::spawn((scene.clone(), holder, execer), |(scene, holder, execer)| {
        let hold = || {
            scene.hold_all(|| {
                scene.reach(1);
                scene.await_cue(1);
                if holder == execer {
                    become_sleep();
                }
                loop {
                    thread::park();
                }
            })
        };
        let exec = || {
            if holder != execer {
                scene.expect(1);
                scene.await_cue(1);
                become_sleep();
            }
        };
        thread::scope(|scope| match (holder, execer) {
            (Thread::Main, _) => {
                scope.spawn(exec);
                hold();
            }
            (Thread::Second, _) => {
                scope.spawn(hold);
                exec();
            }
        });
    });
    let worker: Process<()> = worker.unwrap();
    scene.expect(1);
    scene.assert_held(Duration::from_millis(20));
    scene.cue(1);
    let comm = format!("/proc/{}/comm", worker.id());
    common::eventually("it is another program", || std::fs::read_to_string(&comm).unwrap().trim() == "sleep");
    let start = Instant::now();
    scene.assert_handed_on();
    println!("{holder:?} held, {execer:?} became another program: handed on after {:?}", start.elapsed());
    assert_eq!(worker.exit(), None, "the other program still runs");
    worker.kill().unwrap();
    end_of(&worker);
}

#[test]
fn became_another_program() {
    becomes_another_program(Thread::Main, Thread::Main);
}

#[test]
fn became_another_program_from_its_second_thread() {
    // Under its old id no thread exists any more, and the kernel marks nothing: waiters prove it.
    becomes_another_program(Thread::Second, Thread::Second);
}

#[test]
fn became_another_program_through_another_thread() {
    becomes_another_program(Thread::Main, Thread::Second);
    becomes_another_program(Thread::Second, Thread::Main);
}

const MOST: usize = 1024;
const CELLS: usize = MOST + 76;

type Cells = Shared<[Mutex<u64>; CELLS]>;

#[test]
fn a_thread_holds_1024_locks_and_its_death_hands_all_on() {
    let cells: Cells = Shared::new(std::array::from_fn(|_| Mutex::new(0))).unwrap();
    let scene = Scene::new();
    let worker = commons::spawn((cells.clone(), scene.clone()), |(cells, scene)| {
        let guards: Vec<_> = cells.iter().take(MOST).map(|cell| cell.lock().unwrap()).collect();
        quietly();
        let sentence = |attempt: &dyn Fn()| {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt)).unwrap_err();
            panic.downcast::<String>().unwrap().contains("1024 locks")
        };
        assert!(sentence(&|| drop(cells[MOST].lock())));
        assert!(sentence(&|| drop(cells[MOST].try_lock())));
        assert!(sentence(&|| drop(scene.value.lock())));
        assert!(scene.array.claim(..).unwrap_err().to_string().contains("1024 locks"));
        assert_eq!(scene.value.get(), [0; 4], "reading takes no lock");
        // Another thread has its own thousand.
        thread::scope(|scope| scope.spawn(|| drop(cells[MOST].lock().unwrap())).join().unwrap());
        scene.reach(1);
        scene.await_cue(1);
        drop(guards);
    });
    let worker: Process<()> = worker.unwrap();
    scene.expect(1);
    worker.kill().unwrap();
    assert_eq!(end_of(&worker), Exit::Signal(9));
    for (index, cell) in cells.iter().enumerate() {
        // Without a wait: the kernel itself has marked each.
        match cell.try_lock() {
            Err(TryLockError::OwnerDied(_)) => assert!(index < MOST, "lock {index} was not held"),
            other => assert!(index >= MOST && other.is_ok(), "lock {index} was held: {other:?}"),
        }
    }
}
