//! Processes that run functions: results, handles, signals.

use std::time::{Duration, Instant};

use commons::{Exit, Message, Process, ProcessError};

commons::init_in_tests!();

/// Longer than anything here takes, so that a bug is a failure and not a hang.
const LONG: Duration = Duration::from_secs(60);

fn join<R: Message>(process: Process<R>) -> Result<R, ProcessError> {
    assert!(process.wait_timeout(LONG).unwrap().is_some(), "{process:?} does not end");
    process.join()
}

fn sleep_for_ever() -> commons::Result<Process<()>> {
    commons::spawn((), |()| {
        loop {
            std::thread::park();
        }
    })
}

#[test]
fn a_result_comes_back() {
    let process = commons::spawn((2, 3), |(a, b)| a + b).unwrap();
    assert_eq!(join(process).unwrap(), 5);
}

#[test]
fn it_is_another_process_of_this_one() {
    let process = commons::spawn((), |()| (std::process::id(), std::os::unix::process::parent_id())).unwrap();
    let id = process.id();
    assert_eq!(join(process).unwrap(), (id, std::process::id()));
}

#[test]
fn arguments_and_results_may_be_nothing() {
    join(commons::spawn((), |()| ()).unwrap()).unwrap();
    let nothing = join(commons::spawn([(); 0], |_| Vec::<()>::new()).unwrap()).unwrap();
    assert!(nothing.is_empty());
}

#[test]
fn arguments_and_results_may_be_large() {
    let text = "abcdefgh".repeat(8 << 20);
    let process = commons::spawn(text, |mut text| {
        text.replace_range(0..1, "x");
        text
    });
    let text = join(process.unwrap()).unwrap();
    assert_eq!((text.len(), &text[..3], &text[text.len() - 2..]), (64 << 20, "xbc", "gh"));
}

#[test]
fn the_environment_and_directory_are_the_same() {
    let here = |()| (std::env::var("PATH").ok(), std::env::current_dir().unwrap());
    assert_eq!(join(commons::spawn((), here).unwrap()).unwrap(), here(()));
}

#[test]
fn a_worker_is_called_like_its_parent() {
    let name = |()| std::fs::read_to_string("/proc/self/comm").unwrap();
    let program = std::env::args().next().unwrap();
    let program = std::path::Path::new(&program).file_name().unwrap().to_str().unwrap();
    let name = join(commons::spawn((), name).unwrap()).unwrap();
    assert!(!name.trim().is_empty() && program.starts_with(name.trim()), "{name} is not {program}");
}

#[test]
fn init_may_be_called_again_in_a_worker() {
    let process = commons::spawn(4, |n: u32| {
        commons::init();
        n + 1
    });
    assert_eq!(join(process.unwrap()).unwrap(), 5);
}

#[test]
fn wait_tells_how_it_ended_and_join_still_gives_the_result() {
    let process = commons::spawn(7, |n: u8| n).unwrap();
    assert_eq!(process.wait_timeout(LONG).unwrap(), Some(Exit::Code(0)));
    assert_eq!(process.wait().unwrap(), Exit::Code(0));
    assert_eq!(process.exit(), Some(Exit::Code(0)));
    assert!(process.is_finished());
    assert_eq!(process.join().unwrap(), 7);
}

#[test]
fn wait_timeout_comes_back_while_it_runs() {
    let process = sleep_for_ever().unwrap();
    assert_eq!(process.wait_timeout(Duration::ZERO).unwrap(), None);
    assert_eq!(process.wait_timeout(Duration::from_millis(30)).unwrap(), None);
    assert_eq!(process.exit(), None);
    assert!(!process.is_finished());
    process.kill().unwrap();
    assert_eq!(process.wait_timeout(LONG).unwrap(), Some(Exit::Signal(9)));
}

#[test]
fn terminate_and_kill_end_it_and_are_fine_afterwards() {
    let process = sleep_for_ever().unwrap();
    process.terminate().unwrap();
    assert_eq!(process.wait_timeout(LONG).unwrap(), Some(Exit::Signal(15)));
    process.terminate().unwrap();
    process.kill().unwrap();
    let error = process.join().unwrap_err();
    assert!(matches!(error, ProcessError::Exited { exit: Exit::Signal(15), .. }), "{error}");
    assert!(error.to_string().contains("SIGTERM"), "{error}");
}

#[test]
fn many_threads_wait_for_one_process() {
    let process = sleep_for_ever().unwrap();
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..4).map(|_| scope.spawn(|| process.wait_timeout(LONG).unwrap())).collect();
        process.kill().unwrap();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Some(Exit::Signal(9)));
        }
    });
}

#[test]
fn a_handle_prints_its_process() {
    let process = sleep_for_ever().unwrap();
    assert!(format!("{process:?}").contains(&process.id().to_string()));
    process.kill().unwrap();
    process.wait_timeout(LONG).unwrap();
    assert!(format!("{process:?}").contains("Signal(9)"));
}

#[test]
fn waiting_before_joining_loses_nothing() {
    let make = |()| commons::Value::new(7u64).unwrap();
    for wait in [
        |process: &Process<_>| assert_eq!(process.wait().unwrap(), Exit::Code(0)),
        |process: &Process<_>| assert!(process.wait_timeout(LONG).unwrap().is_some()),
        |process: &Process<_>| {
            while !process.is_finished() {
                std::thread::yield_now();
            }
        },
        |process: &Process<_>| {
            while process.exit().is_none() {
                std::thread::yield_now();
            }
        },
    ] {
        // The worker keeps the value for the one who waits, for some seconds and not for ever.
        let start = Instant::now();
        let process: Process<commons::Value<u64>> = commons::spawn((), make).unwrap();
        wait(&process);
        assert_eq!(process.join().unwrap().get(), 7);
        assert!(start.elapsed() < Duration::from_secs(9), "it waited for its result to be taken");
    }
}
