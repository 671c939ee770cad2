//! Waiting across processes: woken in time, no earlier than promised, and undisturbed by signals
//! and by the death of other sleepers.
//!
//! # Safety
//! Installs a signal handler and a timer.

#![allow(unsafe_code)]

mod common;

use std::{
    os::unix::process::CommandExt,
    process::Command,
    ptr,
    sync::atomic::{AtomicU64, Ordering::*},
    thread,
    time::{Duration, Instant},
};

use common::{
    chance::{Chance, seed},
    scene::{SOON, Scene, end_of, join, takes},
};
use commons::{ErrorKind, Exit, Process, Value, sync::TryLockError};

commons::init_in_tests!();

#[test]
fn two_processes_take_turns() {
    const TURNS: u64 = 1000;
    let turn = Value::new(0u64).unwrap();
    let take = |turn: &Value<u64>, mine: u64| {
        while turn.get() < TURNS {
            turn.wait_until_timeout(|&turn| turn % 2 == mine || turn >= TURNS, SOON).expect("its turn comes");
            turn.update(|turn| *turn += 1);
        }
    };
    let other = commons::spawn(turn.clone(), |turn| {
        while turn.get() < TURNS {
            turn.wait_until(|&turn| turn % 2 == 1 || turn >= TURNS);
            turn.update(|turn| *turn += 1);
        }
    });
    let start = Instant::now();
    take(&turn, 0);
    join(other.unwrap());
    assert!(start.elapsed() < SOON, "nobody is woken: {TURNS} turns took {:?}", start.elapsed());
    println!("{TURNS} turns in {:?}", start.elapsed());
}

#[test]
fn every_sleeper_wakes_for_what_it_waits_for() {
    let stage = Value::new(0u64).unwrap();
    let waiters: Vec<Process<u64>> = (1..=4)
        .map(|wanted| commons::spawn((stage.clone(), wanted), |(stage, n)| stage.wait_until(|&s| s >= n)))
        .map(Result::unwrap)
        .collect();
    for (wanted, waiter) in (1..).zip(waiters) {
        stage.set(wanted);
        assert_eq!(join(waiter), wanted);
    }
}

/// Every wait that can be timed, on a scene where another thread or process holds everything.
fn assert_timeouts(scene: &Scene, time: Duration) {
    let start = Instant::now();
    let error = takes(time, || scene.value.wait_until_timeout(|value| value[3] == 1, time)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(takes(time, || scene.value.lock_timeout(time)).is_none());
    let mutex = takes(time, || scene.stage.mutex.lock_timeout(time));
    assert!(matches!(mutex, Err(TryLockError::TimedOut)), "{mutex:?}");
    let claim = takes(time, || scene.array.claim_timeout(0..1, time));
    assert_eq!(claim.unwrap_err().kind(), ErrorKind::TimedOut);
    let share = takes(time, || scene.array.share_timeout(0..1, time));
    assert_eq!(share.unwrap_err().kind(), ErrorKind::TimedOut);
    let late = start.elapsed() - 5 * time;
    assert!(late < SOON, "five waits of {time:?} were {late:?} late");
}

/// A worker that holds everything until it is told or killed.
fn holder(scene: &Scene) -> Process<()> {
    let worker = commons::spawn(scene.clone(), |scene| {
        scene.hold_all(|| {
            scene.reach(1);
            scene.await_cue(1);
        });
    });
    scene.expect(1);
    worker.unwrap()
}

#[test]
fn timeouts_are_kept() {
    let scene = Scene::new();
    let worker = holder(&scene);
    for micros in [0, 1, 100, 1_000, 3_000, 20_000, 70_000] {
        assert_timeouts(&scene, Duration::from_micros(micros));
    }
    scene.cue(1);
    join(worker);
}

#[test]
fn huge_timeouts_wait_until_it_is_so() {
    for time in [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::from_secs(1 << 40)] {
        let scene = Scene::new();
        let worker = holder(&scene);
        thread::scope(|scope| {
            scope.spawn(|| drop(scene.value.lock_timeout(time).unwrap()));
            scope.spawn(|| drop(scene.stage.mutex.lock_timeout(time).unwrap()));
            scope.spawn(|| drop(scene.array.claim_timeout(.., time).unwrap()));
            scope.spawn(|| scene.value.wait_until_timeout(|value| value[1] == 7, time).unwrap());
            scene.cue(1);
        });
        join(worker);
        let now = scene.value.wait_until_timeout(|value| value[1] == 7, Duration::ZERO);
        assert_eq!(now.unwrap()[1], 7, "it is asked once, and it is so");
    }
}

static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: libc::c_int) {
    SIGNALS.fetch_add(1, Relaxed);
}

/// From now on a signal comes about every 50 µs, and interrupts what can be interrupted.
fn storm() {
    let handler: extern "C" fn(libc::c_int) = count;
    // SAFETY: all zeroes is a `sigaction` without flags and mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: the handler does nothing but count.
    assert_eq!(unsafe { libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()) }, 0);
    let every = libc::timeval { tv_sec: 0, tv_usec: 50 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: reads the timer.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) }, 0);
}

/// Does it in a worker under a storm of signals; how many came.
fn in_a_storm(scene: &Scene, wait: Wait) -> Process<u64> {
    let worker = commons::spawn((scene.clone(), wait), |(scene, wait)| {
        storm();
        match wait {
            Wait::TimeOut => time_out(scene),
            Wait::ForAll => wait_for_all(scene),
        }
        SIGNALS.load(Relaxed)
    });
    worker.unwrap()
}

#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
enum Wait {
    TimeOut,
    ForAll,
}

fn time_out(scene: Scene) {
    for millis in [0, 2, 30] {
        assert_timeouts(&scene, Duration::from_millis(millis));
    }
}

fn wait_for_all(scene: Scene) {
    scene.reach(2);
    thread::scope(|scope| {
        // Only the first thread gets the signals, so it does all but one.
        scope.spawn(|| scene.value.wait_until(|value| value[1] == 7));
        scene.assert_released();
        scene.value.wait_until(|value| value[1] == 7);
    });
}

#[test]
fn signals_do_not_shorten_waits() {
    let scene = Scene::new();
    let worker = holder(&scene);
    let signals = join(in_a_storm(&scene, Wait::TimeOut));
    scene.cue(1);
    join(worker);
    println!("{signals} signals");
    assert!(signals > 50, "only {signals} signals came");
}

#[test]
fn signals_do_not_lose_wakes() {
    let scene = Scene::new();
    let worker = holder(&scene);
    let waiter = in_a_storm(&scene, Wait::ForAll);
    scene.expect(2);
    // So long that it sleeps.
    assert!(!common::scene::takes(Duration::from_millis(60), || {
        let _ = waiter.wait_timeout(Duration::from_millis(60));
        waiter.is_finished()
    }));
    scene.cue(1);
    join(worker);
    let signals = join(waiter);
    println!("{signals} signals");
    assert!(signals > 50, "only {signals} signals came");
}

#[test]
fn signals_do_not_hide_a_death_that_must_be_proven() {
    let scene = Scene::new();
    let holder = commons::spawn(scene.clone(), |scene| -> () {
        thread::scope(|scope| {
            scope.spawn(|| {
                scene.hold_all(|| {
                    scene.reach(1);
                    scene.await_cue(1);
                    // The kernel cannot mark what this thread holds: it has another id afterwards.
                    Command::new("/bin/sleep").arg("60").exec()
                })
            });
        });
    });
    let holder = holder.unwrap();
    scene.expect(1);
    let waiter = commons::spawn(scene.clone(), |scene| {
        storm();
        scene.reach(2);
        scene.assert_handed_on();
    });
    scene.expect(2);
    scene.cue(1);
    join(waiter.unwrap());
    assert_eq!(holder.exit(), None, "the other program runs");
    holder.kill().unwrap();
    end_of(&holder);
}

#[test]
fn killed_sleepers_disturb_nobody() {
    let mut chance = Chance::new(seed("waiting"));
    let scene = Scene::new();
    let worker = holder(&scene);
    let sleep = |scene: Scene| {
        scene.stage.facts[0].fetch_add(1, SeqCst);
        thread::scope(|scope| {
            scope.spawn(|| drop(scene.value.lock()));
            scope.spawn(|| scene.value.wait_until(|value| value[1] == 7));
            scope.spawn(|| drop(scene.stage.mutex.lock()));
            scope.spawn(|| drop(scene.array.claim(0..1)));
        });
    };
    let mut sleepers: Vec<_> = (0..6).map(|_| commons::spawn(scene.clone(), sleep).unwrap()).collect();
    common::eventually("all have started", || scene.fact(0) == 6);
    chance.shuffle(&mut sleepers);
    let survivors = sleepers.split_off(3);
    for sleeper in sleepers {
        sleeper.kill().unwrap();
        assert_eq!(end_of(&sleeper), Exit::Signal(9));
    }
    scene.cue(1);
    let start = Instant::now();
    join(worker);
    survivors.into_iter().for_each(join);
    assert!(start.elapsed() < SOON, "the others woke after {:?}", start.elapsed());
    scene.assert_released();
    println!("the others woke within {:?}", start.elapsed());
}

#[test]
fn a_killed_waker_leaves_nobody_asleep() {
    // Killed anywhere between its commit and its wake-up, too.
    let mut chance = Chance::new(seed("waiting"));
    for _ in 0..40 {
        let count = Value::new(0u64).unwrap();
        let writer = commons::spawn(count.clone(), |count| -> () {
            loop {
                count.update(|count| *count += 1);
            }
        });
        let writer = writer.unwrap();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let (mut seen, stop) = (0, 1 << 60);
                while seen < stop {
                    seen = count.wait_until_timeout(|&now| now > seen, SOON).expect("it is woken");
                }
            });
            thread::sleep(Duration::from_micros(chance.below(4000) as u64));
            writer.kill().unwrap();
            end_of(&writer);
            count.set(1 << 60);
            waiter.join().unwrap();
        });
    }
}
