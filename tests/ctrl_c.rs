//! Ctrl-C in a real terminal while workers work.

#![allow(unsafe_code)]

mod common;

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use common::{
    Directory, PATIENCE, Peer, command, eventually, examples::example, hear, play, processes::children_of,
    say, unique,
};
use commons::{ErrorKind, Parallel, Pool, TaskErrorKind, Value};
use image::{Rgb, RgbImage};
use rustix::{
    process::{Pid, Signal, getpid, kill_process, test_kill_process},
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
};

commons::init_in_tests!();

#[test]
fn role() {
    play(&[
        ("endless", endless),
        ("own handler", own_handler),
        ("switched off", switched_off),
        ("late", late),
        ("own names", own_names),
    ]);
}

/// A program in a terminal of its own.
struct Terminal {
    master: File,
    child: Child,
    shown: thread::JoinHandle<String>,
    lines: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

impl Terminal {
    fn of(role: &str) -> Self {
        Self::around(command(role))
    }

    /// What the command says on its standard error is on the terminal.
    fn around(mut command: Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let terminal = ioctl_tiocgptpeer(&master, flags).unwrap();
        command.stderr(Stdio::from(terminal));
        // SAFETY: two system calls, which are allowed between fork and exec.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                rustix::process::ioctl_tiocsctty(std::io::stderr())?;
                Ok(())
            })
        };
        let mut child = command.spawn().unwrap();
        drop(command);
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let master = File::from(master);
        let mut reader = master.try_clone().unwrap();
        let shown = thread::spawn(move || {
            let (mut text, mut bytes) = (String::new(), [0; 4096]);
            // An error: nobody has the terminal any more.
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                text.push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
            text
        });
        Self { master, child, shown, lines }
    }

    /// The next thing that it says.
    fn line(&mut self) -> String {
        loop {
            let line = self.lines.next().expect("it says something").unwrap();
            if let Some(said) = line.strip_prefix("@@") {
                return said.to_owned();
            }
        }
    }

    fn ctrl_c(&mut self) {
        self.master.write_all(b"\x03").unwrap();
    }

    /// How it ended, after how long, and what was on the terminal.
    fn ends(mut self) -> (ExitStatus, Duration, String) {
        let begin = Instant::now();
        eventually("it ends", || self.child.try_wait().unwrap().is_some());
        let took = begin.elapsed();
        let status = self.child.wait().unwrap();
        (status, took, self.shown.join().unwrap())
    }
}

fn is_gone(pid: u32) -> bool {
    test_kill_process(Pid::from_raw(pid as i32).unwrap()).is_err()
}

#[test]
fn who_makes_thumbnails_gets_the_prompt_back() {
    // More pictures than can be made small while a test waits, in the place of one.
    let (directory, shared) = (Directory::new("pictures"), Directory::new("shared"));
    let out = directory.path().join("small");
    let picture = directory.path().join("0.png");
    RgbImage::from_fn(1000, 600, |x, y| Rgb([x as u8, y as u8, 100])).save(&picture).unwrap();
    for n in 1..20_000 {
        std::os::unix::fs::symlink(&picture, directory.path().join(format!("{n}.png"))).unwrap();
    }
    let mut thumbnails = example("thumbnails");
    thumbnails.args([directory.path(), &out]).env("COMMONS_DIR", shared.path());
    let mut terminal = Terminal::around(thumbnails);
    let made = || out.read_dir().map_or(0, Iterator::count);
    eventually("pictures are made", || made() > 2);
    let workers = children_of(terminal.child.id());
    assert!(!workers.is_empty());
    terminal.ctrl_c();
    let (status, took, shown) = terminal.ends();
    assert_eq!(status.signal(), Some(2), "{status} {shown}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(shown.contains("of 20000"), "{shown}");
    assert_eq!(shown.matches("interrupted").count(), 1, "{shown}");
    assert!(!shown.contains("panicked") && !shown.contains("task"), "{shown}");
    eventually("the workers are gone", || workers.iter().all(|&id| is_gone(id)));
    assert_eq!(shared.entries(), [""; 0]);
}

/// Tasks that never end; the first of each worker starts a process that is not ours.
fn endless() {
    let name = unique("ctrl-c");
    let named = Value::create(&name, [0u32; 4]).unwrap();
    say(&name);
    let _ = Parallel::new().jobs(2).progress(true).with(named).map(0..1000usize, |named, n| -> () {
        let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
        named.update(|ids| (ids[n % 2], ids[2 + n % 2]) = (std::process::id(), stranger.id()));
        stranger.wait().unwrap();
        loop {
            thread::park();
        }
    });
}

#[test]
fn everything_ends_with_one_message_and_nothing_is_left() {
    let mut terminal = Terminal::of("endless");
    let name = terminal.line();
    let named = Value::<[u32; 4]>::open(&name).unwrap();
    assert!(named.wait_until_timeout(|ids| ids.iter().all(|&id| id != 0), PATIENCE).is_ok());
    let ids = named.get();
    drop(named);
    terminal.ctrl_c();
    let (status, took, shown) = terminal.ends();
    assert_eq!(status.signal(), Some(2), "{status} {shown}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(shown.matches("interrupted").count(), 1, "{shown}");
    assert!(!shown.contains("panicked") && !shown.contains("cancelled"), "{shown}");
    eventually("workers and their children are gone", || ids.iter().all(|&id| is_gone(id)));
    eventually("the name is gone", || {
        Value::<[u32; 4]>::open(&name).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    });
}

#[test]
fn a_second_time_ends_it_at_once() {
    let mut terminal = Terminal::of("endless");
    let name = terminal.line();
    let named = Value::<[u32; 4]>::open(&name).unwrap();
    assert!(named.wait_until_timeout(|ids| ids.iter().all(|&id| id != 0), PATIENCE).is_ok());
    drop(named);
    terminal.ctrl_c();
    terminal.ctrl_c();
    assert_eq!(terminal.ends().0.signal(), Some(2));
}

/// Workers that have a name each, which nobody else uses.
fn own_names() {
    static OWN: OnceLock<Value<u32>> = OnceLock::new();
    let met = Value::new(0u32).unwrap();
    let pool = Pool::new(3).unwrap();
    let tasks = (0..3).map(|_| met.clone());
    let own = pool.map(tasks, |met| {
        OWN.get_or_init(|| Value::create(&format!("own-{}", std::process::id()), 0).unwrap());
        met.update(|met| *met += 1);
        met.wait_until(|&met| met == 3);
    });
    assert_eq!(own.unwrap().len(), 3);
    say("up");
    loop {
        pool.map(0..100u32, |n| n).unwrap();
    }
}

#[test]
fn names_that_only_workers_had_go_with_them() {
    let directory = Directory::new("own-names");
    for _ in 0..8 {
        let mut command = command("own names");
        command.env("COMMONS_DIR", directory.path());
        let mut terminal = Terminal::around(command);
        assert_eq!(terminal.line(), "up");
        assert_eq!(directory.entries().len(), 3);
        terminal.ctrl_c();
        let (status, _, shown) = terminal.ends();
        assert_eq!(status.signal(), Some(2), "{status} {shown}");
        assert_eq!(directory.entries(), [""; 0]);
    }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: libc::c_int) {
    INTERRUPTED.store(true, SeqCst);
}

fn handler() -> usize {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null action changes nothing, and the old one is written to our memory.
    unsafe { libc::sigaction(libc::SIGINT, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: written by the call.
    unsafe { action.assume_init() }.sa_sigaction
}

fn own_handler() {
    // SAFETY: the handler stores to an atomic.
    unsafe { libc::signal(libc::SIGINT, note as *const () as usize) };
    let own = handler();
    let begun = Value::new(0u32).unwrap();
    let pool = Pool::new(2).unwrap();
    assert_ne!(handler(), own);
    let task = pool
        .submit(begun.clone(), |begun| -> () {
            begun.set(1);
            loop {
                thread::park();
            }
        })
        .unwrap();
    begun.wait_until(|&begun| begun == 1);
    say("begun");
    let error = task.join().unwrap_err();
    assert!(matches!(error.kind(), TaskErrorKind::Cancelled | TaskErrorKind::Exit(_)), "{error}");
    let end = Instant::now() + PATIENCE;
    while !INTERRUPTED.load(SeqCst) && Instant::now() < end {
        thread::yield_now();
    }
    drop(pool);
    assert_eq!(handler(), own, "what was there is there again");
    say(format!("told {}", INTERRUPTED.load(SeqCst)));
    hear();
}

#[test]
fn who_has_a_handler_goes_on_without_the_workers() {
    let mut terminal = Terminal::of("own handler");
    assert_eq!(terminal.line(), "begun");
    terminal.ctrl_c();
    assert_eq!(terminal.line(), "told true");
    drop(terminal.child.stdin.take());
    let (status, _, shown) = terminal.ends();
    assert!(status.success(), "{shown}");
}

/// The signal is on its way while the call that would have caught it ends.
fn late() {
    // SAFETY: the handler stores to an atomic.
    unsafe { libc::signal(libc::SIGINT, note as *const () as usize) };
    let mine = Value::create(&unique("late"), 1u64).unwrap();
    for round in 0..200 {
        let signal = |n: &u64| {
            if *n == 3 {
                kill_process(getpid(), Signal::INT).unwrap()
            }
        };
        let _ = Parallel::new().jobs(2).map((0..4u64).inspect(signal), |n| n);
        eventually("the handler has run", || INTERRUPTED.swap(false, SeqCst));
        let open = Value::<u64>::open(mine.name().unwrap());
        assert!(open.is_ok(), "round {round}: {open:?}");
    }
}

#[test]
fn who_goes_on_keeps_its_names() {
    assert!(Peer::new("late", &[]).ends_well());
}

fn switched_off() {
    let before = handler();
    let pool = Pool::builder().workers(1).ctrl_c(false).build().unwrap();
    assert_eq!(handler(), before);
    assert_eq!(pool.map(0..3u32, |n| n).unwrap(), [0, 1, 2]);
    let guarded = Pool::new(1).unwrap();
    assert_ne!(handler(), before);
    drop(guarded);
    assert_eq!(handler(), before);
    say("done");
    hear();
}

#[test]
fn the_handler_is_there_only_while_it_is_wanted() {
    let mut terminal = Terminal::of("switched off");
    assert_eq!(terminal.line(), "done");
    drop(terminal.child.stdin.take());
    assert!(terminal.ends().0.success());
}
