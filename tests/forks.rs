//! Forked children: what they inherit is their parent's, what they lock is their own, and whoever
//! dies first takes nothing with it.

mod common;

use std::time::Duration;

use common::{
    forks::{BOTH, How, end_of, fork, in_child},
    scene::{SOON, Scene, join},
};
use commons::{Exit, Process, sync::TryLockError};
use rustix::process::{Signal, kill_process};

commons::init_in_tests!();

const A_MOMENT: Duration = Duration::from_millis(30);

/// Runs a worker that forks, once in each way, beside a test that does its part.
fn each_way(worker: fn((Scene, How)), test: impl Fn(&Scene, &Process<()>, How)) {
    for how in BOTH {
        let scene = Scene::new();
        let process = commons::spawn((scene.clone(), how), worker).unwrap();
        test(&scene, &process, how);
    }
}

fn ends_well(_: &Scene, worker: &Process<()>, how: How) {
    let exit = common::scene::end_of(worker);
    assert_eq!(exit, Exit::Code(0), "{how:?}");
}

fn kill(worker: &Process<()>) {
    worker.kill().unwrap();
    assert_eq!(common::scene::end_of(worker), Exit::Signal(9));
}

#[test]
fn inherited_guards_release_and_commit_nothing() {
    each_way(
        |(scene, how)| {
            let mut value = scene.value.lock();
            let mut mutex = scene.stage.mutex.lock().unwrap();
            let mut claim = scene.array.claim(0..4).unwrap();
            (value[0], mutex[0], claim[0]) = (7, 7, 7);
            let Some(child) = fork(how) else {
                in_child(|| {
                    value[1] = 8;
                    drop(mutex);
                    drop((value, claim));
                    assert_eq!(scene.value.get(), [0; 4], "an inherited guard committed");
                    scene.assert_held(A_MOMENT);
                })
            };
            assert_eq!(end_of(child), Ok(0), "{how:?}");
            assert_eq!(scene.value.get(), [0; 4]);
            (value[1], mutex[1], claim[1]) = (7, 7, 7);
            drop((value, mutex, claim));
            scene.assert_released();
        },
        ends_well,
    );
}

#[test]
fn an_inherited_guard_that_panics_poisons_nothing() {
    each_way(
        |(scene, how)| {
            let value = scene.value.lock();
            let mutex = scene.stage.mutex.lock().unwrap();
            let Some(child) = fork(how) else {
                in_child(|| {
                    let _both = (value, mutex);
                    std::panic::resume_unwind(Box::new("on purpose"));
                })
            };
            assert_eq!(end_of(child), Ok(1), "{how:?}");
            assert!(matches!(scene.stage.mutex.try_lock(), Err(TryLockError::WouldBlock)));
            drop((value, mutex));
            assert!(scene.stage.mutex.try_lock().is_ok(), "a child's panic is no panic of the owner");
        },
        ends_well,
    );
}

#[test]
fn a_child_locks_for_itself() {
    each_way(
        |(scene, how)| {
            let Some(child) = fork(how) else {
                in_child(|| {
                    scene.hold_all(|| {
                        scene.reach(1);
                        scene.await_cue(1);
                    });
                })
            };
            scene.expect(1);
            scene.assert_held(A_MOMENT);
            assert_eq!(scene.value.info().attached.len(), 3, "the test, this worker and the child");
            scene.cue(1);
            assert_eq!(end_of(child), Ok(0), "{how:?}");
            scene.assert_released();
        },
        ends_well,
    );
}

/// A child that holds everything and waits for its end.
fn holding_child(scene: &Scene, how: How) -> rustix::process::Pid {
    let Some(child) = fork(how) else {
        in_child(|| {
            scene.hold_all(|| {
                scene.reach(1);
                scene.await_cue(9);
            });
        })
    };
    scene.expect(1);
    child
}

#[test]
fn a_childs_death_hands_on_to_its_parent_at_once() {
    each_way(
        |(scene, how)| {
            let child = holding_child(&scene, how);
            scene.assert_held(A_MOMENT);
            kill_process(child, Signal::KILL).unwrap();
            // Before anybody has collected it.
            scene.assert_handed_on();
            assert_eq!(end_of(child), Err(9));
        },
        ends_well,
    );
}

#[test]
fn a_childs_death_hands_on_to_others() {
    each_way(
        |(scene, how)| {
            let child = holding_child(&scene, how);
            scene.await_cue(1);
            kill_process(child, Signal::KILL).unwrap();
            scene.reach(2);
            scene.await_cue(2);
            assert_eq!(end_of(child), Err(9));
        },
        |scene, worker, how| {
            scene.expect(1);
            scene.assert_held(A_MOMENT);
            scene.cue(1);
            scene.expect(2);
            scene.assert_handed_on();
            scene.cue(2);
            ends_well(scene, worker, how);
        },
    );
}

/// A parent that holds everything, with a child that has inherited it.
fn holding_parent((scene, how): (Scene, How)) {
    let mut value = scene.value.lock();
    let mut mutex = scene.stage.mutex.lock().unwrap();
    let mut claim = scene.array.claim(0..4).unwrap();
    (value[0], mutex[0], claim[0]) = (7, 7, 7);
    let Some(child) = fork(how) else {
        in_child(|| {
            scene.set_fact(0, u64::from(std::process::id()));
            scene.reach(1);
            scene.await_cue(1);
            // By now they belong to the test.
            drop((value, mutex, claim));
            assert!(scene.value.try_lock().is_none(), "an inherited guard released what another holds");
            assert!(matches!(scene.stage.mutex.try_lock(), Err(TryLockError::WouldBlock)));
            assert!(scene.array.try_claim(0..1).is_err());
            scene.reach(2);
        })
    };
    scene.await_cue(8);
    end_of(child).unwrap();
}

#[test]
fn a_parents_death_hands_on_although_its_child_lives() {
    each_way(holding_parent, |scene, worker, _| {
        scene.expect(1);
        kill(worker);
        scene.assert_handed_on();
        scene.hold_all(|| {
            scene.cue(1);
            scene.expect(2);
            scene.assert_held_here();
        });
    });
}

#[test]
fn a_parent_holds_on_when_its_child_dies_first() {
    each_way(holding_parent, |scene, worker, _| {
        scene.expect(1);
        let child = rustix::process::Pid::from_raw(scene.fact(0) as i32).unwrap();
        kill_process(child, Signal::KILL).unwrap();
        scene.assert_held(Duration::from_millis(120));
        kill(worker);
        scene.assert_handed_on();
    });
}

#[test]
fn a_child_holds_on_when_its_parent_dies() {
    each_way(
        |(scene, how)| {
            let Some(_) = fork(how) else {
                in_child(|| {
                    scene.hold_all(|| {
                        scene.reach(1);
                        scene.await_cue(1);
                    });
                    scene.reach(2);
                })
            };
            scene.await_cue(9);
        },
        |scene, worker, _| {
            scene.expect(1);
            kill(worker);
            scene.assert_held(Duration::from_millis(120));
            scene.cue(1);
            scene.expect(2);
            scene.assert_released();
        },
    );
}

#[test]
fn many_children_leave_no_trace() {
    each_way(
        |(scene, how)| {
            for round in 1..=40 {
                let Some(child) = fork(how) else {
                    in_child(|| {
                        scene.value.update(|value| value[0] += 1);
                        scene.stage.mutex.lock_timeout(SOON).unwrap()[0] += 1;
                        scene.array.claim_timeout(.., SOON).unwrap()[0] += 1;
                    })
                };
                assert_eq!(end_of(child), Ok(0), "{how:?}, round {round}");
            }
            assert_eq!(scene.value.get()[0], 40);
            assert_eq!(scene.stage.mutex.lock().unwrap()[0], 40);
            assert_eq!(scene.array.get(0), Some(40));
            assert_eq!(scene.value.info().attached.len(), 2, "the test and this worker");
        },
        ends_well,
    );
}

#[test]
fn a_worker_forks_while_its_threads_lock() {
    each_way_of_libc(|(scene, how)| {
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while scene.fact(1) == 0 {
                        scene.value.update(|value| value[0] += 1);
                        scene.stage.mutex.lock_timeout(SOON).unwrap()[0] += 1;
                    }
                });
            }
            for round in 1..=40 {
                let Some(child) = fork(how) else {
                    in_child(|| {
                        scene.value.update(|value| value[1] += 1);
                        scene.stage.mutex.lock_timeout(SOON).unwrap()[1] += 1;
                    })
                };
                assert_eq!(end_of(child), Ok(0), "round {round}");
            }
            scene.set_fact(1, 1);
        });
        assert_eq!(scene.value.get()[1], 40);
        assert_eq!(scene.stage.mutex.lock().unwrap()[1], 40);
    });
}

/// By `fork` alone: a raw `clone` beside running threads may copy locked heaps.
fn each_way_of_libc(worker: fn((Scene, How))) {
    join(commons::spawn((Scene::new(), How::Fork), worker).unwrap());
}
