//! Runs the examples that `cargo test` has built.

use std::{
    env, fs,
    path::Path,
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
};

use super::PATIENCE;

/// The command that runs an example; quiet, and not on a terminal.
pub fn example(name: &str) -> Command {
    // target/PROFILE/deps/TEST, target/PROFILE/examples/NAME
    let test = env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples").join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name).with_extension("rs");
    let made = |file: &Path| fs::metadata(file).and_then(|file| file.modified()).ok();
    assert!(made(&program) > made(&source), "example {name} is not built: `cargo build --examples` does it");
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end, which comes in time.
pub fn output(command: &mut Command) -> Output {
    let child = command.spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let (sender, output) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
    output.recv_timeout(2 * PATIENCE).unwrap_or_else(|_| {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        panic!("{command:?} does not end")
    })
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
