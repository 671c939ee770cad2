//! Who is stopped is alive: nobody takes its locks, and it goes on where it was.

mod common;

use std::{
    fs,
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use common::{
    chance::{Chance, number, seed},
    scene::{SOON, Scene, end_of, join},
    watchdog::watchdog,
};
use commons::{Exit, Process, sync::TryLockError};
use rustix::process::{Pid, Signal, kill_process};

commons::init_in_tests!();

fn signal<R>(process: &Process<R>, signal: Signal) {
    kill_process(Pid::from_raw(process.id().cast_signed()).unwrap(), signal).unwrap();
}

fn stop<R>(process: &Process<R>) {
    signal(process, Signal::STOP);
    let stat = format!("/proc/{}/stat", process.id());
    common::eventually("it is stopped", || {
        fs::read_to_string(&stat).unwrap().rsplit_once(") ").unwrap().1.starts_with('T')
    });
}

#[test]
fn nobody_takes_the_locks_of_a_stopped_holder() {
    let scene = Scene::new();
    let worker = commons::spawn(scene.clone(), |scene| {
        scene.hold_all(|| {
            scene.reach(1);
            scene.await_cue(1);
        });
    });
    let worker = worker.unwrap();
    scene.expect(1);
    stop(&worker);
    // Many slices after which a waiter asks whether the owner lives.
    scene.assert_held(Duration::from_millis(350));
    scene.cue(1);
    signal(&worker, Signal::CONT);
    join(worker);
    scene.assert_released();
}

/// Changes everything in small steps until it is told to stop; counts what it should never be told.
fn hammer((scene, lane): (Scene, usize)) {
    let died = 2;
    while scene.fact(3) == 0 {
        scene.value.update(|counts| counts[lane] += 1);
        match scene.stage.mutex.lock() {
            Ok(mut guard) => guard[lane] += 1,
            Err(_) => _ = scene.stage.facts[died].fetch_add(1, SeqCst),
        }
        scene.array.claim(0..2).unwrap()[lane] += 1;
        scene.stage.facts[lane].fetch_add(1, SeqCst);
    }
}

#[test]
fn nobody_takes_locks_wherever_somebody_is_stopped() {
    let (stops, seed) = (number("COMMONS_STOPS", 300), seed("stopped"));
    let _watchdog = watchdog("stopped", Duration::from_millis(60_000 + 200 * stops));
    let mut chance = Chance::new(seed);
    let scene = Scene::new();
    // Two, so that a lock was the other's before it was its owner's.
    let workers: [Process<()>; 2] = [0, 1].map(|lane| commons::spawn((scene.clone(), lane), hammer).unwrap());
    let (mut held, start) = (0, Instant::now());
    for _ in 0..stops {
        let worker = &workers[chance.below(2)];
        let count = scene.fact(0) + scene.fact(1);
        common::eventually("somebody goes on", || scene.fact(0) + scene.fact(1) > count + 10);
        for _ in 0..chance.below(3000) {
            std::hint::spin_loop();
        }
        stop(worker);
        let time = Duration::from_millis(8);
        let value = scene.value.lock_timeout(time).map(drop);
        let mutex = scene.stage.mutex.lock_timeout(time).map(drop);
        assert!(!matches!(mutex, Err(TryLockError::OwnerDied(_))), "a lock was taken from a stopped owner");
        let claim = scene.array.claim_timeout(.., time).map(drop);
        held += u32::from(value.is_none() || mutex.is_err() || claim.is_err());
        signal(worker, Signal::CONT);
    }
    scene.set_fact(3, 1);
    for worker in workers {
        assert_eq!(end_of(&worker), Exit::Code(0));
    }
    assert_eq!(scene.fact(2), 0, "a worker took a lock from a stopped owner");
    let counts = [scene.fact(0), scene.fact(1)];
    assert_eq!(scene.value.get()[..2], counts);
    assert_eq!(*scene.stage.mutex.lock_timeout(SOON).unwrap(), counts);
    assert_eq!(scene.array.claim_timeout(0..2, SOON).unwrap()[..], counts);
    println!("{stops} stops, {held} of a holder, {counts:?} changes, {:?}", start.elapsed());
}
