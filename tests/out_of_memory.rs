//! A holder that the kernel kills for want of memory hands on what it held.
//!
//! `COMMONS_MEMORY_GROUP` names the directory of a memory control group with a small limit and
//! without swap, which the test may put a worker into.

mod common;

use std::{fs, path::PathBuf};

use common::scene::{Scene, end_of};
use commons::{Exit, Process};

commons::init_in_tests!();

#[test]
fn a_holder_that_takes_too_much_memory_hands_on() {
    let Some(group) = std::env::var_os("COMMONS_MEMORY_GROUP").map(PathBuf::from) else {
        println!("not run: COMMONS_MEMORY_GROUP names no control group with a limit");
        return;
    };
    let scene = Scene::new();
    let worker = commons::spawn(scene.clone(), |scene| {
        scene.hold_all(|| {
            scene.reach(1);
            scene.await_cue(1);
            let mut taken = Vec::new();
            while taken.len() < 4096 {
                taken.push(std::hint::black_box(vec![1u8; 1 << 20]));
            }
            panic!("the group has no limit below 4 GiB");
        })
    });
    let worker: Process<()> = worker.unwrap();
    scene.expect(1);
    if let Err(error) = fs::write(group.join("cgroup.procs"), worker.id().to_string()) {
        println!("not run: no process may be put into {}: {error}", group.display());
        worker.kill().unwrap();
        end_of(&worker);
        return;
    }
    scene.cue(1);
    scene.assert_handed_on();
    assert_eq!(end_of(&worker), Exit::Signal(9));
}
