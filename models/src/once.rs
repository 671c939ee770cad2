//! Done once, by one that lives to the end of it.

use crate::{
    deadline::Deadline,
    guarded::Guarded,
    raw::once::RawOnce,
    scene::{Death, deaths, schedules, spawn},
};

impl Guarded<RawOnce> {
    fn call(&self) -> u32 {
        if self.machine.begin(Deadline::NEVER).unwrap() {
            self.count();
            self.machine.finish();
        }
        self.look()
    }
}

/// One does it, and both see what it did.
#[test]
fn it_is_done_once() {
    schedules(|| {
        let guarded = Guarded::by(RawOnce::new());
        let other = spawn({
            let guarded = guarded.clone();
            move || guarded.call()
        });
        assert_eq!(guarded.call(), 1);
        assert_eq!(other.join().unwrap(), 1);
    });
}

/// If the one who does it dies, the other does it; after `done` nobody does.
#[test]
fn another_does_what_a_dead_one_did_not() {
    deaths(Death::Marked, |victim| {
        let guarded = Guarded::by(RawOnce::new());
        let dying = victim.spawn({
            let guarded = guarded.clone();
            move || guarded.call()
        });
        let times = guarded.call();
        assert!(guarded.machine.is_done());
        let died = dying.join().unwrap().is_none();
        assert!(times == 1 || died && times == 2);
        assert_eq!(guarded.call(), times);
    });
}
