//! The life of objects: handles, leftovers, exit, fork, handles in messages.

#![allow(unsafe_code)]

mod common;

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    os::unix::fs::MetadataExt,
    sync::atomic::{AtomicU64, Ordering::*},
    thread,
};

use common::{Directory, Peer, descriptors, eventually, file_of, hear, say, unique};
use commons::{Atomic, AtomicArray, ErrorKind, Shared, catalog};

#[test]
fn role() {
    common::play(&[
        ("holder", holder),
        ("exits", exits),
        ("leaker", leaker),
        ("receiver", receiver),
        ("leftovers", leftovers),
        ("races", races),
        ("racer", racer),
        ("forks", forks),
        ("orphan", orphan),
    ]);
}

fn open(name: &str) -> Result<Atomic<u64>, ErrorKind> {
    Atomic::open(name).map_err(|error| error.kind())
}

#[test]
fn a_name_goes_with_its_last_handle() {
    let name = unique("life");
    let before = descriptors().into_iter().filter(|link| link.contains(&name)).count();
    let first = Shared::create(&name, AtomicU64::new(7)).unwrap();
    let second = Shared::<AtomicU64>::open(&name).unwrap();
    first.fetch_add(1, Relaxed);
    assert_eq!((second.load(Relaxed), Shared::name(&second)), (8, Some(name.as_str())));
    assert!(std::ptr::eq(&raw const *first, &raw const *second), "one mapping in one process");
    drop(first);
    let third = Shared::<AtomicU64>::open(&name).unwrap();
    drop((second, third));
    assert_eq!(Shared::<AtomicU64>::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(descriptors().into_iter().filter(|link| link.contains(&name)).count(), before);
}

#[test]
fn what_persists_stays_until_it_is_removed() {
    let name = unique("persist");
    drop(Atomic::options().persist(true).create(&name, 5u64).unwrap());
    let again = Atomic::<u64>::open(&name).unwrap();
    again.fetch_add(1);
    drop(again);
    let info = catalog::inspect(&name).unwrap();
    assert!(info.persist && info.attached.is_empty());
    let holder = Atomic::<u64>::open(&name).unwrap();
    catalog::remove(&name).unwrap();
    assert_eq!((holder.load(), open(&name).unwrap_err()), (6, ErrorKind::NotFound));
    // The name is free, although the old object is in use.
    let new = Atomic::create(&name, 1u64).unwrap();
    drop(holder);
    assert_eq!(open(&name).unwrap().load(), new.load());
}

#[test]
fn info_tells_what_it_is_and_who_has_it() {
    let name = unique("info");
    let lanes = AtomicArray::<u32>::create(&name, 6).unwrap();
    let mut other = Peer::new("holder", &[("NAME", &name), ("KIND", "lanes")]);
    assert_eq!(other.line(), "open");
    let info = lanes.info();
    assert_eq!(
        (info.kind.as_str(), info.type_name.as_str(), info.shape.as_slice()),
        ("AtomicArray", "u32", &[6][..])
    );
    assert_eq!((info.element_size, info.element_align, info.payload_bytes), (4, 4, 24));
    assert_eq!((info.file_bytes, info.creator_pid), (6400 + 24, std::process::id()));
    assert_eq!(BTreeSet::from_iter(info.attached), BTreeSet::from([std::process::id(), other.pid()]));
    let fields = Shared::info(&Shared::new([const { AtomicU64::new(0) }; 3]).unwrap()).fields;
    assert_eq!((fields[0].name.as_str(), fields[0].count, fields[0].stride), ("[]", 3, 8));
    assert!(format!("{lanes:?}").contains("AtomicArray"));
    other.kill();
    assert_eq!(lanes.info().attached, [std::process::id()]);
}

/// Opens or creates what it is told, and keeps it until it is told to stop.
fn holder() {
    let name = std::env::var("NAME").unwrap();
    if std::env::var("KIND").is_ok_and(|kind| kind == "lanes") {
        let _lanes = AtomicArray::<u32>::open(&name).unwrap();
        say("open");
        hear();
        return;
    }
    let persist = std::env::var("KIND").is_ok_and(|kind| kind == "persist");
    let _held = Atomic::<u64>::options().persist(persist).open_or_create(&name, 9).unwrap();
    say("open");
    hear();
}

#[test]
fn killed_processes_leave_nothing_that_stays() {
    Directory::new("leftovers").run("leftovers");
}

fn leftovers() {
    let killed = |name: &str, kind: &str| {
        let mut holder = Peer::new("holder", &[("NAME", name), ("KIND", kind)]);
        assert_eq!(holder.line(), "open");
        assert_eq!(open(name).unwrap().load(), 9);
        holder.kill();
        assert!(file_of(name).exists());
    };
    killed("a", "");
    assert_eq!(open("a").unwrap_err(), ErrorKind::NotFound);
    assert!(!file_of("a").exists(), "open removes what is left of the name");

    killed("b", "");
    assert_eq!(Atomic::create("b", 1u64).unwrap().load(), 1, "create takes the name of the dead");

    killed("c", "");
    drop(Atomic::create("d", 1u64).unwrap());
    assert!(!file_of("c").exists(), "any create sweeps");

    killed("e", "");
    assert_eq!(Atomic::open_or_create("e", 2u64).unwrap().load(), 2);

    killed("g", "persist");
    killed("f", "");
    fs::write(common::file_of("x").with_file_name(format!(".commons.{}.0a", common::user())), "half")
        .unwrap();
    assert_eq!(catalog::inspect("f").unwrap().attached, [0; 0]);
    assert_eq!(catalog::sweep().unwrap(), ["f"]);
    assert_eq!(catalog::names().unwrap(), ["g"], "what persists outlives everybody");
    assert_eq!(open("g").unwrap().load(), 9);
    catalog::remove("g").unwrap();
    let directory = std::env::var("COMMONS_DIR").unwrap();
    assert_eq!(fs::read_dir(directory).unwrap().count(), 0, "hidden names of dead makers go too");
}

#[test]
fn a_handle_in_a_static_goes_at_exit() {
    Directory::new("exits").run("exits");
}

fn exits() {
    for (how, stays) in [("return", false), ("exit", false), ("panic", false), ("abort", true)] {
        let name = unique(how);
        let mut leaker = Peer::new("leaker", &[("NAME", &name), ("HOW", how)]);
        assert_eq!(leaker.line(), "made");
        assert!(file_of(&name).exists());
        leaker.tell("go");
        leaker.ends_well();
        assert_eq!(file_of(&name).exists(), stays, "{how}");
        assert_eq!(open(&name).unwrap_err(), ErrorKind::NotFound);
        assert!(!file_of(&name).exists());
    }
}

fn leaker() {
    let made = Atomic::create(&std::env::var("NAME").unwrap(), 1u64).unwrap();
    say("made");
    hear();
    match std::env::var("HOW").unwrap().as_str() {
        "panic" => {
            std::panic::set_hook(Box::new(|_| {}));
            panic!("the handle is dropped while unwinding");
        }
        "return" => std::mem::forget(made),
        "exit" => std::process::exit(made.load() as i32 - 1),
        _ => std::process::abort(),
    }
}

#[test]
fn many_make_one_object_together() {
    Directory::new("races").run("races");
}

fn races() {
    let mut racers: Vec<_> = (0..4).map(|_| Peer::new("racer", &[])).collect();
    racers.iter_mut().for_each(|racer| assert_eq!(racer.line(), "ready"));
    for round in 0..25 {
        racers.iter_mut().for_each(|racer| racer.tell(format!("round{round}")));
        let ids: BTreeSet<_> = racers.iter_mut().map(Peer::line).collect();
        assert_eq!(ids.len(), 1, "all have the same object: {ids:?}");
        racers.iter_mut().for_each(|racer| racer.tell("leave"));
        racers.iter_mut().for_each(|racer| assert_eq!(racer.line(), "left"));
        assert!(!file_of(&format!("round{round}")).exists(), "those who leave together leave nothing");
    }
}

/// Three threads open or create a name at the same time; whose object did they get?
fn racer() {
    let mark = u64::from(std::process::id()) << 32;
    say("ready");
    for count in 0.. {
        let name = hear();
        if name.is_empty() {
            return;
        }
        let get = |i| Atomic::open_or_create(&name, mark + 4 * count + i).unwrap();
        let got: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|i| scope.spawn(move || get(i))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(got.iter().all(|handle| handle.load() == got[0].load()));
        say(got[0].load());
        hear();
        thread::scope(|scope| got.into_iter().for_each(|handle| drop(scope.spawn(move || drop(handle)))));
        say("left");
    }
}

#[test]
fn handles_travel_in_messages() {
    let named = Atomic::create(&unique("travel"), 1u64).unwrap();
    let nameless = Atomic::new(2u64).unwrap();
    let group = Atomic::options().mode(0o660).create(&unique("group"), 3u64).unwrap();
    let bytes = postcard::to_stdvec(&(&named, &nameless, &group)).unwrap();
    let (a, b, c): (Atomic<u64>, Atomic<u64>, Atomic<u64>) = postcard::from_bytes(&bytes).unwrap();
    a.fetch_add(10);
    b.fetch_add(10);
    drop((a, b, c));
    assert_eq!((named.load(), nameless.load()), (11, 12));

    let mut peer = Peer::new("receiver", &[]);
    let send = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    peer.tell(send(&bytes));
    assert_eq!(peer.line(), format!("11 12 3 {:?}", named.name()));
    assert_eq!(nameless.info().attached.len(), 2);
    // What the receiver has outlives the sender's handles, and keeps the name.
    let name = named.name().unwrap().to_owned();
    drop((named, nameless, group));
    assert_eq!(open(&name).unwrap().load(), 11);
    peer.tell("add");
    assert_eq!(peer.line(), "12 13 4");

    // Nobody has the second and third any more, and a number that was given anew is another object.
    peer.tell("drop");
    assert_eq!(peer.line(), "dropped");
    assert!(!file_of(&name).exists());
    peer.tell(send(&bytes));
    assert_eq!(peer.line(), "gone");
    assert!(peer.ends_well());
}

fn receiver() {
    type Three = (Atomic<u64>, Atomic<u64>, Atomic<u64>);
    let receive = || {
        let text = hear();
        let bytes: Vec<_> =
            (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect();
        postcard::from_bytes::<Three>(&bytes)
    };
    let (a, b, c) = receive().unwrap();
    say(format!("{} {} {} {:?}", a.load(), b.load(), c.load(), a.name()));
    hear();
    [&a, &b, &c].into_iter().for_each(|handle| _ = handle.fetch_add(1));
    say(format!("{} {} {}", a.load(), b.load(), c.load()));
    hear();
    drop((a, b, c));
    say("dropped");
    let before = descriptors();
    assert!(receive().is_err());
    assert_eq!(descriptors(), before);
    say("gone");
}

#[test]
fn an_anonymous_object_cannot_be_shrunk_under_others() {
    let lanes = AtomicArray::<u64>::new(100_000).unwrap();
    let label = "memfd:commons.AtomicArray";
    let mut found = 0;
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let path = entry.unwrap().path();
        if fs::read_link(&path).is_ok_and(|link| link.to_string_lossy().contains(label)) {
            let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
            assert!(file.set_len(4096).is_err());
            found += usize::from(file.metadata().unwrap().size() >= 800_000);
        }
    }
    assert!(found >= 1);
    assert_eq!(lanes.load(99_999), 0);
}

#[test]
fn a_forked_child_attaches_for_itself() {
    Directory::new("forks").run("forks");
}

/// Runs `child` in a forked process.
fn forked(child: impl FnOnce()) -> Forked {
    // SAFETY: the role's process has no thread that could hold a lock which the child needs.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        std::process::exit(i32::from(ended.is_err()));
    }
    Forked(pid)
}

struct Forked(i32);

impl Forked {
    fn ends_well(self) -> bool {
        let mut status = 0;
        // SAFETY: the status lives during the call.
        unsafe { libc::waitpid(self.0, &raw mut status, 0) == self.0 && status == 0 }
    }
}

fn forks() {
    let me = std::process::id();
    let named = Atomic::create("forked", 1u64).unwrap();
    let nameless = Atomic::new(5u64).unwrap();
    let others = |handle: &Atomic<u64>| handle.info().attached.len() - 1;

    assert!(forked(|| ()).ends_well(), "a child that does nothing and exits");
    assert!(open("forked").is_ok() && others(&named) == 0);

    let go = Atomic::new(0u32).unwrap();
    let child = forked(|| {
        let own = std::process::id();
        assert_eq!(BTreeSet::from_iter(named.info().attached), BTreeSet::from([me, own]));
        assert_eq!(nameless.info().attached.len(), 2);
        named.fetch_add(1);
        assert_eq!(open("forked").unwrap().load(), 2);
        go.store(1);
        eventually("the parent has looked", || go.load() == 2);
    });
    eventually("the child has attached", || go.load() == 1);
    assert_eq!((others(&named), others(&nameless), named.load()), (1, 1, 2));
    go.store(2);
    assert!(child.ends_well());
    assert_eq!((others(&named), open("forked").unwrap().load()), (0, 2), "its exit left the parent's alone");

    // A child that drops handles it never used does not leave for its parent.
    let (name, clone) = (named.clone(), nameless.clone());
    assert!(forked(move || drop((name, clone))).ends_well());
    assert!(open("forked").is_ok());

    // The parent goes first; the child that uses the object keeps it, and takes the name with it.
    let child = forked(|| {
        let _ = named.info();
        go.store(4);
        eventually("the parent has left", || go.load() == 5);
        assert_eq!(open("forked").unwrap().load(), 2);
    });
    eventually("the child has attached", || go.load() == 4);
    drop(named);
    assert!(file_of("forked").exists());
    go.store(5);
    assert!(child.ends_well());
    assert!(!file_of("forked").exists());
}

#[test]
fn a_forked_child_keeps_what_its_killed_parent_had() {
    let name = unique("orphan");
    let mut parent = Peer::new("orphan", &[("NAME", &name)]);
    let child: u32 = parent.line().parse().unwrap();
    parent.kill();
    let found = Atomic::<u64>::open(&name).unwrap();
    assert_eq!(BTreeSet::from_iter(found.info().attached), BTreeSet::from([std::process::id(), child]));
    found.store(1);
    drop(found);
    eventually("the child takes the name with it", || !file_of(&name).exists());
}

fn orphan() {
    let held = Atomic::create(&std::env::var("NAME").unwrap(), 0u64).unwrap();
    let _ = forked(|| {
        let _ = held.info();
        say(std::process::id());
        eventually("the test says so", || held.load() == 1);
    });
    thread::park(); // until it is killed
}
