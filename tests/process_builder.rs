//! Processes with names and variables of their own; who is whose child and parent.

#![allow(unsafe_code)]

mod common;

use std::{
    env, fs,
    io::{Read, Write},
    os::{
        fd::AsFd,
        linux::net::SocketAddrExt,
        unix::{
            net::{SocketAddr, UnixListener, UnixStream},
            process::parent_id,
        },
    },
    thread,
    time::Duration,
};

use common::{
    eventually,
    forks::{How, end_of, fork, in_child},
    unique,
    workers::{LONG, bounded, has, join, kill},
};
use commons::{ChildInfo, ErrorKind, Process, ProcessBuilder};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

commons::init_in_tests!();

fn park(_: ()) {
    loop {
        thread::park();
    }
}

fn comm(_: ()) -> String {
    fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned()
}

#[test]
fn variables_are_set_in_the_child_only_and_replace_those_of_the_name() {
    let builder = Process::builder().env("COMMONS_TEST_ENV", "no").env("COMMONS_TEST_ENV", "tea = good");
    let seen = |()| (env::var("COMMONS_TEST_ENV").ok(), env::var("HOME").ok(), env::var("PATH").ok());
    let seen = join(builder.env("HOME", "/nowhere").spawn((), seen));
    assert_eq!(seen, (Some("tea = good".into()), Some("/nowhere".into()), env::var("PATH").ok()));
    assert!(env::var("COMMONS_TEST_ENV").is_err());
    let names = |()| env::vars_os().filter(|(name, _)| name == "HOME").count();
    assert_eq!(join(Process::builder().env("HOME", "").spawn((), names)), 1);
}

#[test]
fn a_builder_starts_many_and_results_have_any_type() {
    let builder = Process::builder().env("COMMONS_TEST_MANY", "x");
    let number = builder.spawn(4, |n: u32| n + 1);
    let text = builder.spawn("a".to_owned(), |text| text + &env::var("COMMONS_TEST_MANY").unwrap());
    assert_eq!((join(number), join(text)), (5, "ax".to_owned()));
}

#[test]
fn a_name_is_shown_in_lists_of_processes() {
    assert_eq!(join(Process::builder().name("w").spawn((), comm)), "w");
    assert_eq!(join(Process::builder().name("spaces (and) more of it").spawn((), comm)), "spaces (and) mo");
    let arguments = |()| env::args().collect::<Vec<_>>();
    let arguments = join(Process::builder().name("the whole of a long name").spawn((), arguments));
    assert_eq!(arguments[0], env::args().next().unwrap());
    assert_eq!(arguments.last().unwrap(), "the whole of a long name");
}

#[test]
fn what_the_system_cannot_take_is_refused() {
    let refused = |builder: ProcessBuilder, parts: &[&str]| {
        let error = builder.spawn((), |()| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        has(error, parts);
    };
    let new = Process::builder;
    refused(new().name("a\0b"), &["name", "a\\0b", "NUL"]);
    refused(new().env("", "x"), &["environment variable", "no name"]);
    refused(new().env("a=b", "x"), &["\"a=b\"", "`=`"]);
    refused(new().env("a\0b", "x"), &["a\\0b", "NUL in its name"]);
    refused(new().env("TEA", "a\0b"), &["\"TEA\"", "NUL in its value"]);
}

#[test]
fn children_are_active_until_they_end() {
    // In a process of its own, where no other test starts any.
    join(commons::spawn((), |()| {
        assert_eq!(commons::active_children(), []);
        let program = comm(());
        let first = Process::builder().name("first").spawn((), park).unwrap();
        let second = commons::spawn((), park).unwrap();
        let active = commons::active_children();
        assert_eq!(active.iter().map(|child| child.id).collect::<Vec<_>>(), [first.id(), second.id()]);
        assert_eq!(active[0].name, "first");
        assert!(active[1].name.starts_with(&program), "{active:?}");
        kill(&first);
        let ids = || commons::active_children().iter().map(|child| child.id).collect::<Vec<_>>();
        assert_eq!(ids(), [second.id()]);
        // Those without a handle count too; those that others start do not.
        let id = second.id();
        drop(second);
        std::process::Command::new("true").status().unwrap();
        assert_eq!(ids(), [id]);
        // SAFETY: nobody else in this process takes locks that the child needs.
        let child = fork(How::Fork);
        if child.is_none() {
            in_child(|| assert_eq!(commons::active_children(), Vec::<ChildInfo>::new()));
        }
        assert_eq!(end_of(child.unwrap()), Ok(0));
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(id.cast_signed()).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        eventually("the last one is gone", || ids().is_empty());
    }));
}

#[test]
fn a_worker_has_a_parent_and_others_have_none() {
    let _bounded = bounded("a_worker_has_a_parent_and_others_have_none");
    assert!(commons::parent().is_none());
    let id = join(commons::spawn((), |()| {
        let parent = commons::parent().unwrap();
        assert!(parent.is_alive());
        assert!(!parent.wait_timeout(Duration::ZERO) && !parent.wait_timeout(Duration::from_millis(20)));
        assert_eq!(parent.id(), parent_id());
        // A forked process has the worker as its parent, which did not start it by `spawn`.
        let child = fork(How::Fork);
        if child.is_none() {
            in_child(|| assert!(commons::parent().is_none() && parent.is_alive()));
        }
        assert_eq!(end_of(child.unwrap()), Ok(0));
        parent.id()
    }));
    assert_eq!(id, std::process::id());
}

#[test]
fn the_end_of_a_parent_is_seen() {
    let name = unique("parent");
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let parent = commons::spawn(name, |name| -> () {
        let _child = commons::spawn(name, |name| {
            let mut line = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
            let parent = commons::parent().unwrap();
            // The worker ends with its parent; one that is forked from it sees it.
            if fork(How::Fork).is_none() {
                in_child(|| {
                    line.write_all(&parent.id().to_ne_bytes()).unwrap();
                    let seen = parent.wait_timeout(LONG) && !parent.is_alive();
                    line.write_all(&[u8::from(seen)]).unwrap();
                });
            }
            park(());
        });
        park(());
    });
    let parent = parent.unwrap();
    let mut line = None;
    eventually("the grandchild calls in", || {
        line = listener.accept().ok();
        line.is_some()
    });
    let mut line = line.unwrap().0;
    line.set_nonblocking(false).unwrap();
    line.set_read_timeout(Some(LONG)).unwrap();
    let mut id = [0; 4];
    line.read_exact(&mut id).unwrap();
    assert_eq!(u32::from_ne_bytes(id), parent.id());
    kill(&parent);
    let mut seen = [0];
    line.read_exact(&mut seen).unwrap();
    assert_eq!(seen, [1]);
}

#[test]
fn the_descriptor_is_readable_from_the_end_on() {
    let process = commons::spawn((), park).unwrap();
    let readable = |seconds| {
        let mut sources = [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)];
        poll(&mut sources, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 })).unwrap()
    };
    assert_eq!(readable(0), 0);
    process.kill().unwrap();
    assert_eq!(readable(60), 1);
    assert!(process.wait_timeout(LONG).unwrap().is_some());
    assert_eq!(readable(0), 1);
}

#[test]
fn the_descriptor_of_one_that_nobody_collects_is_readable_too() {
    join(commons::spawn((), |()| {
        // SAFETY: a disposition, no handler.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        let process = commons::spawn((), |()| ()).unwrap();
        let mut sources = [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)];
        assert_eq!(poll(&mut sources, Some(&Timespec { tv_sec: 60, tv_nsec: 0 })).unwrap(), 1);
        process.wait_timeout(LONG).unwrap_err();
        process.kill_tree().unwrap();
    }));
}
