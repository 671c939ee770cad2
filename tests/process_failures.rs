//! Processes that do not give their result: each way is told apart.

#![allow(unsafe_code)]

use std::{
    fs::File,
    panic::{panic_any, resume_unwind},
    time::Duration,
};

use commons::{Error, ErrorKind, Exit, Message, Pool, Process, ProcessError};
use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

commons::init_in_tests!();

fn failure<R: Message + std::fmt::Debug>(process: commons::Result<Process<R>>) -> ProcessError {
    let process = process.unwrap();
    let id = process.id();
    assert!(process.wait_timeout(Duration::from_secs(60)).unwrap().is_some(), "{process:?} does not end");
    let error = process.join().unwrap_err();
    assert!(error.to_string().contains(&id.to_string()), "{error} does not name the process");
    assert_eq!(format!("{error:?}"), error.to_string());
    assert_eq!(Error::from(error.clone()).to_string(), error.to_string());
    error
}

fn no_core_file() {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
}

#[test]
fn a_panic_comes_home_with_message_location_and_backtrace() {
    let process = commons::spawn((), |()| -> () { panic!("no tea") });
    let error = failure(process);
    let ProcessError::Panicked { message, location, backtrace, .. } = &error else { panic!("{error}") };
    assert_eq!(message, "no tea");
    assert!(location.contains("process_failures.rs:"), "{location}");
    assert!(backtrace.contains("process_failures"), "{backtrace}");
    assert!(error.to_string().contains("no tea") && error.to_string().contains(location.as_str()));
    assert_eq!(Error::from(error).kind(), ErrorKind::Process);
}

#[test]
fn a_formatted_panic_and_other_payloads_come_home() {
    let error = failure(commons::spawn(3, |n: u32| -> () { panic!("{n} cups") }));
    assert!(matches!(&error, ProcessError::Panicked { message, .. } if message == "3 cups"), "{error}");
    let error = failure(commons::spawn((), |()| -> () { panic_any(7u8) }));
    assert!(
        matches!(&error, ProcessError::Panicked { message, location, .. }
            if message.contains("not a string") && location.contains("process_failures.rs")),
        "{error}"
    );
}

#[test]
fn a_panic_handed_on_from_a_thread_keeps_its_place() {
    let error = failure(commons::spawn((), |()| {
        let thread = std::thread::spawn(|| -> () { panic!("from a thread") });
        let () = thread.join().unwrap_or_else(|payload| resume_unwind(payload));
    }));
    assert!(
        matches!(&error, ProcessError::Panicked { message, location, .. }
            if message == "from a thread" && location.contains("process_failures.rs")),
        "{error}"
    );
}

#[test]
fn a_caught_panic_is_no_failure() {
    let process = commons::spawn((), |()| std::panic::catch_unwind(|| -> () { panic!("caught") }).is_err());
    assert!(process.unwrap().join().unwrap());
}

#[test]
fn a_panic_is_an_exit_of_its_own() {
    let process = commons::spawn((), |()| -> () { panic!("told apart from exit(101)") }).unwrap();
    assert_eq!(process.wait().unwrap(), Exit::Panicked);
    let process = commons::spawn((), |()| -> () { std::process::exit(101) }).unwrap();
    assert_eq!(process.wait().unwrap(), Exit::Code(101));
}

#[test]
fn exits_and_signals_are_told() {
    let cases: [(fn(()), Exit); 6] = [
        (|()| std::process::exit(0), Exit::Code(0)),
        (|()| std::process::exit(3), Exit::Code(3)),
        (|()| std::process::exit(255), Exit::Code(255)),
        (|()| kill_process(getpid(), Signal::KILL).unwrap(), Exit::Signal(9)),
        (
            |()| {
                no_core_file();
                std::process::abort()
            },
            Exit::Signal(6),
        ),
        (
            |()| {
                no_core_file();
                // SAFETY: not memory of this process, which is what this process is to die of.
                unsafe { std::ptr::without_provenance_mut::<u8>(16).write_volatile(1) }
            },
            Exit::Signal(11),
        ),
    ];
    for (function, expected) in cases {
        let error = failure(commons::spawn((), function));
        assert!(matches!(error, ProcessError::Exited { exit, .. } if exit == expected), "{error}");
    }
}

/// Can be sent, but not received.
#[derive(Debug)]
struct OneWay;

impl Serialize for OneWay {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for OneWay {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("never"))
    }
}

/// Cannot be sent.
#[derive(Debug, Deserialize)]
struct Stuck;

impl Serialize for Stuck {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom("never"))
    }
}

#[test]
fn what_cannot_cross_is_told() {
    let error = failure(commons::spawn(OneWay, |_| ()));
    assert!(matches!(error, ProcessError::Decode { .. }) && error.to_string().contains("OneWay"), "{error}");
    let error = failure(commons::spawn((), |()| OneWay));
    assert!(matches!(error, ProcessError::Decode { .. }) && error.to_string().contains("OneWay"), "{error}");
    let error = failure(commons::spawn((), |()| Stuck));
    assert!(matches!(error, ProcessError::Encode { .. }) && error.to_string().contains("Stuck"), "{error}");
    assert_eq!(Error::from(error).kind(), ErrorKind::Encode);
    let error = commons::spawn(Stuck, |_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
}

#[test]
fn a_function_of_a_library_is_refused_before_a_process_exists() {
    // SAFETY: the name is a C string, and this handle is always valid.
    let abs = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"abs".as_ptr()) };
    assert!(!abs.is_null());
    // SAFETY: a function pointer, never called as one of this type.
    let abs = unsafe { std::mem::transmute::<*mut libc::c_void, fn(i32) -> i32>(abs) };
    let error = commons::spawn(-3, abs).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("libc"), "{error}");
    assert!(error.to_string().contains("fn(i32) -> i32"), "{error}");
}

/// Uses up the descriptors that the soft limit allows.
fn use_up_descriptors() -> Vec<File> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limit }).unwrap();
    let all: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(all.len() > 32);
    all
}

#[test]
fn used_up_descriptors_are_no_wall() {
    let process = commons::spawn((), |()| {
        let _used = use_up_descriptors();
        commons::spawn(20, |n: u32| n + 1).unwrap().join().unwrap()
    });
    assert_eq!(process.unwrap().join().unwrap(), 21);
    let with_a_pool = commons::spawn((), |()| {
        let _used = use_up_descriptors();
        Pool::new(2).unwrap().map(0..10u32, |n| n * n).unwrap()
    });
    assert_eq!(with_a_pool.unwrap().join().unwrap().iter().sum::<u32>(), 285);
    let in_the_middle = commons::spawn((), |()| {
        let mut used = Vec::new();
        let start = |n: u32| commons::spawn(n, |n| n + 1).unwrap();
        let first = start(1);
        used.extend(use_up_descriptors());
        [first.join().unwrap(), start(2).join().unwrap()]
    });
    assert_eq!(in_the_middle.unwrap().join().unwrap(), [2, 3]);
}
