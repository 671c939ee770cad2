//! A connected pair of sockets, whose waits are the kernel's.

use std::{
    io::{Read, Write},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    thread,
    time::Duration,
};

use crate::{
    crew::{Crew, Post},
    groups::pipe::{Job, pair, pause, without_gaps},
    measure::Made,
};

/// A number there and back, with a gap before each that is not counted.
pub(crate) fn round_trip(gap: Duration) -> Made {
    let name = format!("versus-{}", std::process::id());
    let crew = Crew::processes(pair((name.clone(), gap), name), work)?;
    Ok(without_gaps(gap, crew.contestant(1)?))
}

fn work((post, job): (Post, Job<(String, Duration), String>)) {
    match job {
        Job::Ask((name, gap)) => {
            let listener = UnixListener::bind_addr(&address(&name)).expect("the name is free");
            let (mut end, _) = listener.accept().expect("the other end comes");
            post.attend(|turn| {
                for n in 0..turn.count() {
                    pause(gap);
                    end.write_all(&n.to_ne_bytes()).expect("the other end is there");
                    assert_eq!(read(&mut end), n + 1);
                }
            });
        }
        Job::Answer(name) => {
            let mut end = loop {
                match UnixStream::connect_addr(&address(&name)) {
                    Ok(end) => break end,
                    Err(_) => thread::yield_now(),
                }
            };
            post.attend(|turn| {
                for _ in 0..turn.count() {
                    let n = read(&mut end);
                    end.write_all(&(n + 1).to_ne_bytes()).expect("the other end is there");
                }
            });
        }
    }
}

fn address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(name).expect("a short name")
}

fn read(end: &mut UnixStream) -> u64 {
    let mut bytes = [0; 8];
    end.read_exact(&mut bytes).expect("the other end is there");
    u64::from_ne_bytes(bytes)
}
