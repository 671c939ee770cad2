//! What is refused, in which words, and that a refusal leaves nothing behind and touches nothing.

#![allow(unsafe_code)]

mod common;

use std::{
    fs::{self, File, OpenOptions},
    os::unix::{
        fs::{FileExt, PermissionsExt, symlink},
        net::UnixListener,
        process::CommandExt,
    },
    sync::atomic::{AtomicU16, AtomicU32, AtomicU64},
};

use common::{Directory, Peer, command, descriptors, file_of, user};
use commons::{Atomic, AtomicArray, Error, ErrorKind, Shared, catalog};

#[test]
fn role() {
    common::play(&[
        ("bad_names", bad_names),
        ("other_layouts", other_layouts),
        ("damaged_files", damaged_files),
        ("no_segments", no_segments),
        ("full", full),
        ("missing_directory", missing_directory),
        ("crowd", crowd),
        ("few_descriptors", few_descriptors),
        ("no_descriptors", no_descriptors),
        ("outer_namespace", outer_namespace),
        ("inner_namespace", inner_namespace),
    ]);
}

/// Asserts that it fails like this, says these words, and leaves no descriptor behind.
#[track_caller]
fn refused<T: std::fmt::Debug>(kind: ErrorKind, words: &[&str], act: impl FnOnce() -> Result<T, Error>) {
    let before = descriptors();
    let error = act().expect_err("this is refused");
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
    assert_eq!(descriptors(), before, "after: {error}");
}

fn open(name: &str) -> Result<Atomic<u64>, Error> {
    Atomic::open(name)
}

#[test]
fn names_are_checked() {
    Directory::new("names").run("bad_names");
}

fn bad_names() {
    refused(ErrorKind::NotFound, &["\"missing\"", "does not exist"], || open("missing"));
    refused(ErrorKind::NotFound, &["missing"], || catalog::inspect("missing"));
    refused(ErrorKind::NotFound, &["missing"], || catalog::remove("missing"));
    for (name, words) in
        [("", "empty"), ("a/b", "`/`"), ("../x", "`/`"), ("a\0b", "NUL"), (&"n".repeat(201), "201")]
    {
        refused(ErrorKind::InvalidName, &[words], || open(name));
        refused(ErrorKind::InvalidName, &[words], || Atomic::create(name, 0u64));
        refused(ErrorKind::InvalidName, &[words], || Atomic::open_or_create(name, 0u64));
        refused(ErrorKind::InvalidName, &[words], || catalog::remove(name));
        refused(ErrorKind::InvalidName, &[words], || catalog::inspect(name));
    }
    for mode in [0, 0o444, 0o200, 0o777, 0o4600] {
        refused(ErrorKind::InvalidInput, &["mode"], || Atomic::options().mode(mode).create("mode", 0u64));
    }
    let longest = Atomic::create(&"n".repeat(200), 1u64).unwrap();
    let odd = Atomic::create(".. ☂\n%s", 2u64).unwrap();
    refused(ErrorKind::AlreadyExists, &["taken", "open_or_create"], || Atomic::create(".. ☂\n%s", 2u64));
    assert_eq!(
        (open(longest.name().unwrap()).unwrap().load(), open(odd.name().unwrap()).unwrap().load()),
        (1, 2)
    );
}

#[test]
fn what_differs_is_named_on_both_sides() {
    Directory::new("layouts").run("other_layouts");
}

fn other_layouts() {
    let mismatch = ErrorKind::Mismatch;
    let _word = Atomic::create("word", 0u64).unwrap();
    refused(mismatch, &["\"word\"", "u64", "f64"], || Atomic::<f64>::open("word"));
    refused(mismatch, &["u64 (8 bytes", "u32 (4 bytes"], || Atomic::<u32>::open("word"));
    refused(mismatch, &["Atomic of u64", "AtomicArray of u64"], || AtomicArray::<u64>::open("word"));
    refused(mismatch, &["Atomic of u64", "Shared of AtomicU64"], || Shared::<AtomicU64>::open("word"));
    refused(mismatch, &["u64", "u8"], || Atomic::open_or_create("word", 0u8));

    let _lanes = AtomicArray::<u32>::create("lanes", 4).unwrap();
    refused(mismatch, &["4 elements", "5 elements"], || AtomicArray::<u32>::open_or_create("lanes", 5));

    // The same size; the same size and alignment; the same size, other alignment.
    let _pair = Shared::create("pair", [const { AtomicU32::new(0) }; 2]).unwrap();
    refused(mismatch, &["[AtomicU32; 2]", "[AtomicU16; 4]"], || Shared::<[AtomicU16; 4]>::open("pair"));
    refused(mismatch, &["alignment 4", "alignment 8"], || Shared::<AtomicU64>::open("pair"));
    refused(mismatch, &["at byte 0, 2 times", "at byte 0, 3 times"], || {
        Shared::<[AtomicU32; 3]>::open("pair")
    });

    // A handle written for one type is refused by another, with the same words.
    let bytes = postcard::to_stdvec(&Shared::<[AtomicU32; 2]>::open("pair").unwrap()).unwrap();
    assert!(postcard::from_bytes::<Shared<AtomicU64>>(&bytes).is_err());
}

#[test]
fn damaged_and_foreign_files_are_told() {
    Directory::new("damaged").run("damaged_files");
}

fn damaged_files() {
    let corrupt = ErrorKind::Corrupt;
    let make = || {
        drop(Atomic::options().persist(true).create("file", 7u64).unwrap());
        OpenOptions::new().write(true).open(file_of("file")).unwrap()
    };
    let all_refuse = |kind, words: &str| {
        refused(kind, &["\"file\"", words], || open("file"));
        refused(kind, &["\"file\"", words], || catalog::inspect("file"));
        refused(kind, &["\"file\"", words], || Atomic::open_or_create("file", 0u64));
        refused(ErrorKind::AlreadyExists, &["\"file\"", words], || Atomic::create("file", 0u64));
        assert_eq!(catalog::sweep().unwrap(), [""; 0], "what cannot be understood is not ours to remove");
        assert_eq!(catalog::list().unwrap().len(), 0);
        assert_eq!(catalog::names().unwrap(), ["file"]);
        catalog::remove("file").unwrap();
    };
    for len in [0, 1, 255, 256, 6399, 6400, 6407] {
        make().set_len(len).unwrap();
        all_refuse(corrupt, &len.to_string());
    }
    fs::write(file_of("file"), vec![b'x'; 100_000]).unwrap();
    all_refuse(corrupt, "not ours");
    for (at, bytes, kind, words) in [
        (0, &[0u8][..], corrupt, "does not begin"),
        (8, &[9], ErrorKind::Mismatch, "format version 9"),
        (12, &[32], ErrorKind::Mismatch, "32-bit"),
        (13, &[2], ErrorKind::Mismatch, "endianness"),
        (14, &[99, 3], ErrorKind::Mismatch, "kind 867"),
        (88, &[1], corrupt, "cannot begin"),
        (95, &[0xff], corrupt, "does not fit"),
        (103, &[0x80], corrupt, "does not fit"),
        (96, &[7], ErrorKind::Mismatch, "7 bytes"),
        (104, &[7], corrupt, "7 bytes"),
        (112, &[3], corrupt, "aligned to 3"),
        (120, &[2], corrupt, "2 elements"),
        (128, &[1], ErrorKind::Mismatch, "holds u64"),
        (136, &[9], corrupt, "9 dimensions"),
        (140, &[0xff; 4], corrupt, "schema"),
        (208, &[0xff], corrupt, "no text"),
    ] {
        make().write_all_at(bytes, at).unwrap();
        let error = open("file").unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains(words)), (kind, true), "{at}: {error}");
        refused(kind, &[words], || open("file"));
        catalog::remove("file").unwrap();
    }
    assert!(catalog::names().unwrap().is_empty());
}

#[test]
fn files_that_are_no_segments_are_not_touched() {
    Directory::new("others").run("no_segments");
}

fn no_segments() {
    let path = file_of("it");
    let all_refuse = |words: &str| {
        refused(ErrorKind::Denied, &["\"it\"", words, "not touched"], || open("it"));
        refused(ErrorKind::Denied, &["\"it\"", "not touched"], || catalog::inspect("it"));
        refused(ErrorKind::Denied, &[words], || catalog::remove("it"));
        refused(ErrorKind::AlreadyExists, &[words], || Atomic::create("it", 0u64));
        refused(ErrorKind::Denied, &[words], || Atomic::open_or_create("it", 0u64));
        assert_eq!(catalog::sweep().unwrap(), [""; 0]);
        assert!(path.symlink_metadata().is_ok());
    };
    let real = Atomic::create("real", 7u64).unwrap();

    symlink(file_of("real"), &path).unwrap();
    all_refuse("symbolic link");
    fs::remove_file(&path).unwrap();

    fs::create_dir(&path).unwrap();
    all_refuse("directory");
    fs::remove_dir(&path).unwrap();

    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    all_refuse("no regular file");
    fs::remove_file(&path).unwrap();

    drop(UnixListener::bind(&path).unwrap());
    all_refuse("socket");
    fs::remove_file(&path).unwrap();

    fs::hard_link(file_of("real"), &path).unwrap();
    all_refuse("2 names, and a segment has one");
    fs::remove_file(&path).unwrap();

    if user() == 0 {
        File::create(&path).unwrap();
        std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
        all_refuse("belongs to user 12345");
        fs::remove_file(&path).unwrap();
    } else {
        println!("not run: only root can give a file to another user");
        drop(UnixListener::bind("/nonexistent"));
    }
    assert_eq!(open("real").unwrap().load(), real.load());
}

#[test]
fn a_shared_name_is_another_than_a_private_one() {
    let directory = Directory::new("modes");
    let run = |role: &str| directory.run(role);
    run("bad_names"); // the directory is empty again afterwards
    assert_eq!(directory.entries(), [""; 0]);
    let name = common::unique("mode");
    let shared = Atomic::options().mode(0o666).create(&name, 5u64).unwrap();
    let path = format!("/dev/shm/commons.shared.{name}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o666, "whatever the umask");
    assert_eq!(open(&name).unwrap_err().kind(), ErrorKind::NotFound);
    let private = Atomic::create(&name, 6u64).unwrap();
    assert_eq!(fs::metadata(file_of(&name)).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(Atomic::<u64>::options().mode(0o660).open(&name).unwrap().load(), 5);
    assert_eq!(open(&name).unwrap().load(), 6);
    drop((shared, private));
    assert!(!fs::exists(&path).unwrap() && !fs::exists(file_of(&name)).unwrap());
}

#[test]
fn a_full_file_system_is_an_error_with_numbers() {
    let directory = Directory::new("full");
    let target = std::ffi::CString::new(directory.text()).unwrap();
    let mut command = command("full");
    command.env("COMMONS_DIR", directory.text());
    let mount = move || {
        let check = |answer: i32| if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) };
        let (none, slash, tmpfs) = (c"none".as_ptr(), c"/".as_ptr(), c"tmpfs".as_ptr());
        // SAFETY: takes a number.
        check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
        let private = libc::MS_REC | libc::MS_PRIVATE;
        // SAFETY: C strings, and no data.
        check(unsafe { libc::mount(none, slash, none, private, std::ptr::null()) })?;
        // SAFETY: C strings, one of them as the data.
        check(unsafe { libc::mount(tmpfs, target.as_ptr(), tmpfs, 0, c"size=1m".as_ptr().cast()) })
    };
    if user() != 0 {
        println!("not run: only root can mount a small tmpfs");
        return;
    }
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(mount) };
    assert!(Peer::start(&mut command).ends_well());
}

fn full() {
    refused(ErrorKind::NoSpace, &["\"big\"", "needs 2103552 bytes", "1048576 are free"], || {
        AtomicArray::<u8>::create("big", 2_097_152)
    });
    let _half = AtomicArray::<u8>::create("half", 600_000).unwrap();
    refused(ErrorKind::NoSpace, &["\"other\""], || AtomicArray::<u8>::create("other", 600_000));
    refused(ErrorKind::NoSpace, &["\"other\""], || AtomicArray::<u8>::open_or_create("other", 600_000));
    assert_eq!(catalog::names().unwrap(), ["half"], "a failed creation leaves nothing");
    let _rest = AtomicArray::<u8>::create("rest", 300_000).unwrap();
    refused(ErrorKind::NoSpace, &["bytes"], || AtomicArray::<u64>::create("huge", usize::MAX));
    refused(ErrorKind::NoSpace, &["bytes"], || AtomicArray::<u64>::new(usize::MAX / 16));
    refused(ErrorKind::NoSpace, &["bytes"], || AtomicArray::<u8>::new(1 << 50));
}

#[test]
fn a_missing_directory_is_told() {
    let peer = Peer::new("missing_directory", &[("COMMONS_DIR", "/nonexistent/directory")]);
    assert!(peer.ends_well());
}

fn missing_directory() {
    refused(ErrorKind::Os, &["/nonexistent/directory"], || Atomic::create("x", 0u64));
    refused(ErrorKind::NotFound, &["/nonexistent/directory"], || open("x"));
    refused(ErrorKind::Os, &["/nonexistent/directory"], || Atomic::open_or_create("x", 0u64));
    refused(ErrorKind::Os, &["/nonexistent/directory"], catalog::sweep);
    refused(ErrorKind::Os, &["/nonexistent/directory"], catalog::list);
    Atomic::new(0u64).expect("what has no name needs no directory");
}

#[test]
fn the_257th_process_is_refused() {
    Directory::new("crowd").run("crowd");
}

fn crowd() {
    drop(Atomic::options().persist(true).create("crowd", 7u64).unwrap());
    let file = OpenOptions::new().read(true).write(true).open(file_of("crowd")).unwrap();
    // One description that has all slots stands for 256 processes.
    let set = |kind: i32, start: i64, len: i64| {
        let (l_type, l_whence) = (kind as i16, libc::SEEK_SET as i16);
        let lock = libc::flock { l_type, l_whence, l_start: start, l_len: len, l_pid: 0 };
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file);
        // SAFETY: an open descriptor and a lock that lives during the call.
        assert_eq!(unsafe { libc::fcntl(descriptor, libc::F_OFD_SETLK, &lock) }, 0);
    };
    set(libc::F_RDLCK, 1 << 62, 1);
    set(libc::F_WRLCK, (1 << 62) + 1024, 256);
    refused(ErrorKind::NoSpace, &["256 processes"], || open("crowd"));
    set(libc::F_UNLCK, (1 << 62) + 1024 + 200, 1);
    let last = open("crowd").unwrap();
    assert_eq!((last.load(), last.info().attached), (7, vec![std::process::id()]));
}

#[test]
fn the_soft_limit_of_descriptors_is_no_wall() {
    Directory::new("few").run("few_descriptors");
    Directory::new("none").run("no_descriptors");
}

fn limit_descriptors(current: u64, maximum: u64) {
    let limit = rustix::process::Rlimit { current: Some(current), maximum: Some(maximum) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
}

fn few_descriptors() {
    limit_descriptors(40, 400);
    let many: Vec<_> = (0..100u64).map(|i| Atomic::new(i).unwrap()).collect();
    let named: Vec<_> = (0..100u64).map(|i| Atomic::create(&format!("n{i}"), i).unwrap()).collect();
    assert!(many.iter().zip(&named).all(|(a, b)| a.load() == b.load()));
}

fn no_descriptors() {
    limit_descriptors(40, 40);
    let _named = Atomic::create("named", 1u64).unwrap();
    drop(Atomic::options().persist(true).create("other", 1u64).unwrap());
    let mut many = Vec::new();
    let error = loop {
        match Atomic::new(0u64) {
            Ok(atomic) => many.push(atomic),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Os, "{error}");
    let refuses = |error: Error| assert_eq!(error.kind(), ErrorKind::Os, "{error}");
    refuses(Atomic::create("new", 0u64).unwrap_err());
    refuses(open("other").unwrap_err());
    refuses(catalog::remove("other").unwrap_err());
    drop(many);
    assert_eq!(open("other").unwrap().load(), 1);
    catalog::remove("other").unwrap();
}

#[test]
fn another_pid_namespace_is_told_apart() {
    Directory::new("namespace").run("outer_namespace");
}

fn outer_namespace() {
    let held = Atomic::create("held", 1u64).unwrap();
    drop(Atomic::options().persist(true).create("free", 2u64).unwrap());
    // A thread whose children go elsewhere cannot start threads any more, so it is one of its own.
    let start = std::thread::spawn(|| {
        // SAFETY: takes a number; it moves the children that this thread starts from now on.
        let refused = unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0;
        if refused { None } else { Some(command("inner_namespace").spawn().unwrap()) }
    });
    let Some(inner) = start.join().unwrap() else {
        println!("not run: this user may not make a pid namespace");
        catalog::remove("free").unwrap();
        return;
    };
    let mut inner = Peer::adopt(inner);
    inner.tell(hex(&postcard::to_stdvec(&held).unwrap()));
    assert_eq!(inner.line(), "has taken `free` over");
    refused(ErrorKind::OtherNamespace, &["\"free\"", "pid namespace"], || open("free"));
    assert_eq!(catalog::inspect("free").unwrap().attached, [1], "looking is possible, in their numbers");
    inner.tell("go");
    assert!(inner.ends_well());
    assert_eq!(open("free").unwrap().load(), 3, "nobody uses it, so it comes home");
    catalog::remove("free").unwrap();
    assert_eq!(held.load(), 1);
}

fn inner_namespace() {
    let handle = common::hear();
    refused(ErrorKind::OtherNamespace, &["\"held\"", "pid namespace"], || open("held"));
    assert!(postcard::from_bytes::<Atomic<u64>>(&unhex(&handle)).is_err());
    let free = open("free").unwrap();
    free.fetch_add(1);
    common::say("has taken `free` over");
    common::hear();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}
