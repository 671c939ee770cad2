//! Programs that call `commons::init()` late, or never: a clear end at once, no fork bomb.
//!
//! Without the test harness: this file's own `main` plays these programs, as the variable says.

use std::{
    env,
    process::{Command, Output, exit},
    time::{Duration, Instant},
};

use commons::ProcessError;

const PART: &str = "COMMONS_TEST_PART";

fn main() {
    match env::var(PART).as_deref() {
        Ok("never") => never(),
        Ok("late") => late(),
        Ok("dies") => dies(),
        Ok("leaves") => leaves(),
        Ok("panics") => panics(),
        Ok("main") => main_only(),
        _ => judge(),
    }
}

fn is_worker() -> bool {
    env::args().nth(1).is_some_and(|argument| argument == "--commons-worker")
}

fn answer() -> commons::Result<u32> {
    let process = commons::spawn((), |()| 42)?;
    assert!(process.wait_timeout(Duration::from_secs(60))?.is_some(), "{process:?} does not end");
    Ok(process.join()?)
}

fn tell(result: commons::Result<u32>) {
    match result {
        Ok(number) => println!("{number}"),
        Err(error) => println!("{:?}: {error}", error.kind()),
    }
}

fn main_only() {
    commons::init();
    tell(answer());
}

fn never() {
    tell(answer());
}

/// The parent calls `init`, the worker reaches `spawn` without it.
fn late() {
    if !is_worker() {
        commons::init();
    }
    tell(answer());
}

fn dies() {
    if is_worker() {
        exit(7);
    }
    commons::init();
    let process = commons::spawn((), |()| ()).unwrap();
    match process.join() {
        Err(error @ ProcessError::NotStarted { .. }) => println!("{error}"),
        other => panic!("{other:?}"),
    }
}

/// A program that goes through its `main` again as a worker, and ends well.
fn leaves() {
    if is_worker() {
        return;
    }
    commons::init();
    tell(answer());
}

fn panics() {
    commons::init();
    let process = commons::spawn((), |()| -> () { panic!("seen by people too") }).unwrap();
    println!("{}", process.join().unwrap_err());
}

fn play(part: &str) -> (String, Output) {
    let start = Instant::now();
    let program = env::current_exe().unwrap();
    let output = Command::new(program).env(PART, part).output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(30), "{part} took {:?}", start.elapsed());
    (String::from_utf8(output.stdout.clone()).unwrap(), output)
}

fn judge() {
    let (said, output) = play("main");
    assert_eq!(said, "42\n", "{output:?}");

    let (said, output) = play("never");
    assert!(said.starts_with("NotInitialised: ") && said.contains("first line of main"), "{output:?}");

    let (said, output) = play("late");
    assert!(said.starts_with("Process: ") && said.contains("exit code 120"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("before commons::init()"), "{output:?}");

    let (said, output) = play("dies");
    assert!(said.contains("exit code 7") && said.contains("`commons::init()` the first line"), "{output:?}");

    let (said, output) = play("leaves");
    assert!(said.contains("exit code 0 before it took over"), "{output:?}");

    let (said, output) = play("panics");
    assert!(said.contains("seen by people too"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("seen by people too"), "{output:?}");

    // A worker's argument list without a worker's descriptor.
    let program = env::current_exe().unwrap();
    let output = Command::new(program).env(PART, "main").arg("--commons-worker").output().unwrap();
    assert_eq!(output.status.code(), Some(121), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("only commons::spawn"), "{output:?}");

    println!("programs that forget commons::init(): 7 played, none forked on");
}
