//! Who is killed by the kernel for want of memory hands on what it held, and a pool says what its task
//! died of.
//!
//! These tests make memory control groups, which needs the right to do so; they say where it is missing.

mod common;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use common::{
    memory_group::{MemoryGroup, enter, exhaust},
    processes::no_core_file,
    scene::{Scene, end_of},
    workers::bounded,
};
use commons::{Exit, Pool, Process, TaskErrorKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

commons::init_in_tests!();

fn group(what: &str) -> Option<MemoryGroup> {
    MemoryGroup::new(what).inspect_err(|why| println!("not run: {why}")).ok()
}

#[test]
fn a_holder_that_takes_too_much_memory_hands_on() {
    let Some(group) = group("holder") else { return };
    let scene = Scene::new();
    let worker = commons::spawn(scene.clone(), |scene| {
        scene.hold_all(|| {
            scene.reach(1);
            scene.await_cue(1);
            exhaust()
        })
    });
    let worker: Process<()> = worker.unwrap();
    scene.expect(1);
    enter(group.path(), worker.id());
    scene.cue(1);
    scene.assert_handed_on();
    assert_eq!(end_of(&worker), Exit::Signal(9));
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Moment {
    Decoding,
    Running,
    Encoding,
}

/// An argument and a result; at its moment it takes all memory of its group.
#[derive(Clone, Debug, PartialEq)]
struct Hungry(u32, Option<(Moment, PathBuf)>);

impl Hungry {
    fn begin(&self, moment: Moment) {
        if let Some((at, group)) = &self.1
            && *at == moment
        {
            no_core_file();
            enter(group, std::process::id());
            exhaust();
        }
    }
}

impl Serialize for Hungry {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if commons::parent().is_some() {
            self.begin(Moment::Encoding);
        }
        (self.0, &self.1).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Hungry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (task, wrong) = Deserialize::deserialize(from)?;
        let hungry = Self(task, wrong);
        if commons::parent().is_some() {
            hungry.begin(Moment::Decoding);
        }
        Ok(hungry)
    }
}

/// The error of a task that was killed is there by then.
const SOON: Duration = Duration::from_secs(2);

const TASKS: u32 = 40;
const BAD: u32 = 13;

#[test]
fn a_task_that_the_kernel_kills_for_want_of_memory_is_told_as_that() {
    let Some(group) = group("task") else { return };
    let _bound = bounded("a task that the kernel kills for want of memory");
    let pool = Pool::new(2).unwrap();
    for moment in [Moment::Decoding, Moment::Running, Moment::Encoding] {
        let wrong = |task| (task == BAD).then(|| (moment, group.path().to_owned()));
        let tasks = (0..TASKS).map(|task| Hungry(task, wrong(task)));
        let begin = Instant::now();
        let outcomes = pool.outcomes(tasks, |hungry| {
            hungry.begin(Moment::Running);
            hungry
        });
        assert!(begin.elapsed() < SOON, "{moment:?}: {:?}", begin.elapsed());
        for (task, outcome) in (0..).zip(outcomes) {
            match outcome {
                Ok(hungry) => assert_eq!((hungry, task == BAD), (Hungry(task, None), false)),
                Err(error) => {
                    let right = matches!(error.kind(), TaskErrorKind::OutOfMemory(Exit::Signal(9)));
                    assert!(right && task == BAD, "{moment:?}: task {task}: {error}");
                }
            }
        }
    }
}
