//! Whoever speaks to a listener, or is taken for one, without being of this crate: who says nothing,
//! who says nonsense, who goes away, and who is another user.

#![allow(unsafe_code, reason = "a child changes its user")]

mod common;

use std::{
    io::{Read, Write},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            net::{SocketAddr, UnixListener, UnixStream},
            process::CommandExt,
        },
    },
    thread,
    time::{Duration, Instant},
};

use common::{
    Peer,
    chance::{Chance, seed},
    command, hear, play, say, unique,
    workers::{LONG, bounded, has},
};
use commons::{Connection, ErrorKind, Listener};

commons::init_in_tests!();

#[test]
fn role() {
    play(&[("connect", connect)]);
}

fn address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(format!("commons.{}.{name}", common::user())).unwrap()
}

fn stranger(name: &str) -> UnixStream {
    UnixStream::connect_addr(&address(name)).unwrap()
}

/// An honest client, which must get its connection whoever was there before.
fn honest(name: &str) -> thread::JoinHandle<u32> {
    let name = name.to_owned();
    thread::spawn(move || {
        let server = Connection::<String, u32>::connect(&name).unwrap();
        server.send(&"seven".to_owned()).unwrap();
        server.recv().unwrap()
    })
}

fn serve(connection: &Connection<u32, String>) {
    connection.send(&(connection.recv().unwrap().len() as u32)).unwrap();
}

#[test]
fn who_goes_away_or_says_nonsense_is_passed_over() {
    let _guard = bounded("strangers at a listener");
    let name = unique("strangers");
    let listener = Listener::bind(&name).unwrap();
    for _ in 0..5 {
        // At once, after a part of what it is given, and without having listened.
        drop(stranger(&name));
        let mut reader = stranger(&name);
        let reads = thread::spawn(move || reader.read_exact(&mut [0; 6]));
        let mut talker = stranger(&name);
        talker.write_all(b"nonsense").unwrap();
        let client = honest(&name);
        serve(&listener.accept_timeout::<u32, String>(LONG).unwrap());
        assert_eq!(client.join().unwrap(), 5);
        reads.join().unwrap().unwrap();
    }
    assert_eq!(listener.try_accept::<u32, String>().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn who_is_silent_delays_others_for_a_bounded_time() {
    let _guard = bounded("a silent stranger");
    let name = unique("silent");
    let listener = Listener::bind(&name).unwrap();
    let silent = stranger(&name);
    let client = honest(&name);
    serve(&listener.accept_timeout::<u32, String>(Duration::from_secs(20)).unwrap());
    assert_eq!(client.join().unwrap(), 5);
    let another = stranger(&name);
    let start = Instant::now();
    let late = listener.accept_timeout::<u32, String>(Duration::from_millis(200));
    assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    let another_one = stranger(&name);
    assert_eq!(listener.try_accept::<u32, String>().unwrap_err().kind(), ErrorKind::WouldBlock);
    let took = start.elapsed();
    assert!(took < Duration::from_millis(900), "a time that was over soon took {took:?}");
    drop((silent, another, another_one));
}

/// What a client makes of a listener that says this and goes away.
fn answer_to(bytes: Vec<u8>) -> commons::Error {
    let name = unique("impostor");
    let impostor = UnixListener::bind_addr(&address(&name)).unwrap();
    let speaks = thread::spawn(move || {
        let (mut stream, _) = impostor.accept().unwrap();
        // The client may be gone already.
        let _ = stream.write_all(&bytes);
    });
    let start = Instant::now();
    let error = Connection::<u32, u32>::connect(&name).expect_err("that was no listener");
    assert!(start.elapsed() < Duration::from_secs(20));
    speaks.join().unwrap();
    error
}

#[test]
fn a_false_listener_is_an_error() {
    let _guard = bounded("a false listener");
    assert_eq!(answer_to(Vec::new()).kind(), ErrorKind::Gone);
    assert_eq!(answer_to(vec![1, 0]).kind(), ErrorKind::Gone);
    assert_eq!(answer_to(vec![9, 0, 0, 0, 1, 2]).kind(), ErrorKind::Gone);
    assert_eq!(answer_to(vec![0; 4]).kind(), ErrorKind::Decode);
    assert_eq!(answer_to(vec![0xff; 80]).kind(), ErrorKind::Decode);
    let mut chance = Chance::new(seed("a_false_listener"));
    for _ in 0..200 {
        let len = chance.below(200);
        let mut bytes = (len as u32).to_le_bytes().to_vec();
        bytes.extend((0..len).map(|_| chance.next() as u8));
        let error = answer_to(bytes);
        let kinds = [ErrorKind::Decode, ErrorKind::Gone, ErrorKind::Mismatch, ErrorKind::Corrupt];
        assert!(kinds.contains(&error.kind()), "{:?}: {error}", error.kind());
    }
}

#[test]
fn other_types_are_an_error_for_who_connects() {
    let _guard = bounded("other types");
    let name = unique("types");
    let listener = Listener::bind(&name).unwrap();
    let client = {
        let name = name.clone();
        thread::spawn(move || {
            let wrong = Connection::<u8, Vec<u8>>::connect(&name).unwrap_err();
            has(&wrong, &["u8"]);
            let right = Connection::<String, u32>::connect(&name).unwrap();
            right.send(&"seven".to_owned()).unwrap();
            (wrong.kind(), right.recv().unwrap())
        })
    };
    serve(&listener.accept_timeout::<u32, String>(LONG).unwrap());
    assert_eq!(client.join().unwrap(), (ErrorKind::Mismatch, 5));
}

/// Connects to the listener of another user, by the name that this user would have.
fn connect() {
    say(common::user());
    let name = hear();
    say(format!("{:?}", Connection::<u8, u8>::connect(&name).unwrap_err().kind()));
    // As the kernel has it: whoever knows the rules of the other user's names.
    let owner: u32 = hear().parse().unwrap();
    let address = SocketAddr::from_abstract_name(format!("commons.{owner}.{name}")).unwrap();
    let mut stream = UnixStream::connect_addr(&address).unwrap();
    say("connected");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    say(answer.len());
}

#[test]
fn another_user_gets_no_connection() {
    const NOBODY: u32 = 65_534;
    let _guard = bounded("another user");
    if common::user() != 0 {
        return println!("not run: only root can be another user");
    }
    let name = unique("users");
    let listener = Listener::bind(&name).unwrap();
    let mut other = Peer::start(command("connect").uid(NOBODY).gid(NOBODY));
    assert_eq!(other.line(), NOBODY.to_string());
    other.tell(&name);
    assert_eq!(other.line(), "NotFound", "users have names of their own");
    other.tell(common::user());
    assert_eq!(other.line(), "connected");
    let accepted = listener.accept_timeout::<u8, u8>(Duration::from_millis(200));
    assert_eq!(accepted.unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(other.line(), "0", "it was told nothing");
    assert!(other.ends_well());

    // A listener of another user in the place of one's own.
    let name = unique("usurped");
    // SAFETY: a call with numbers: this thread alone gets another user until it ends.
    let become_other = move || unsafe { libc::syscall(libc::SYS_setresuid, -1, NOBODY, -1) };
    let (tell, told) = std::sync::mpsc::channel();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let at = address(&name);
    let usurper = thread::spawn(move || {
        assert_eq!(become_other(), 0);
        let listens = UnixListener::bind_addr(&at).unwrap();
        tell.send(()).unwrap();
        let _ = wait.recv();
        drop(listens);
    });
    told.recv().unwrap();
    let error = Connection::<u8, u8>::connect(&name).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    has(&error, &[&name, "another user"]);
    drop(done);
    usurper.join().unwrap();
}
