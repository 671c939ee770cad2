//! Many readers or one writer.

use std::{cell::Cell, rc::Rc};

use crate::{
    deadline::Deadline,
    guarded::Guarded,
    raw::rwlock::RawRwLock,
    scene::{Death, deaths, schedules, spawn},
};

type Lock = RawRwLock<2>;

impl Guarded<Lock> {
    fn write(&self) {
        self.machine.write(Deadline::NEVER).unwrap();
        self.count();
        self.machine.release_writer();
    }

    /// What it read, and whether that was whole.
    fn read(&self) -> (u32, bool) {
        let cell = self.machine.read(Deadline::NEVER).unwrap();
        let read = (self.look(), self.machine.is_consistent());
        self.machine.release_reader(cell);
        read
    }
}

/// A writer has it to itself, and a reader sees all or nothing of what it writes.
#[test]
fn a_writer_keeps_readers_out() {
    schedules(|| {
        let guarded = Guarded::by(Lock::new());
        let reading = spawn({
            let guarded = guarded.clone();
            move || guarded.read()
        });
        guarded.write();
        assert!(reading.join().unwrap().0 <= 1);
        assert_eq!(guarded.read(), (1, true));
    });
}

/// So do two writers with a reader beside them.
#[test]
fn writers_keep_each_other_out() {
    schedules(|| {
        let guarded = Guarded::by(Lock::new());
        let writing = spawn({
            let guarded = guarded.clone();
            move || guarded.write()
        });
        guarded.write();
        writing.join().unwrap();
        assert_eq!(guarded.look(), 2);
    });
}

/// Readers do not wait for each other.
#[test]
fn readers_share_it() {
    schedules(|| {
        let guarded = Guarded::by(Lock::new());
        let inside = guarded.machine.read(Deadline::NEVER).unwrap();
        let reading = spawn({
            let guarded = guarded.clone();
            move || guarded.read()
        });
        reading.join().unwrap();
        guarded.machine.release_reader(inside);
    });
}

fn the_note_says_where_the_writer_died(death: Death) {
    deaths(death, |victim| {
        let guarded = Guarded::by(Lock::new());
        let inside = Rc::new(Cell::new(false));
        let dying = victim.spawn({
            let (guarded, inside) = (guarded.clone(), inside.clone());
            move || {
                guarded.machine.write(Deadline::NEVER).unwrap();
                inside.set(true);
                guarded.count();
                guarded.machine.set_consistent(true);
                inside.set(false);
                guarded.machine.release_writer();
            }
        });
        guarded.read();
        let died = dying.join().unwrap().is_none();
        let (_, consistent) = guarded.read();
        assert!(consistent || died);
        assert!(!consistent || !inside.get());
        guarded.write();
    });
}

/// After a writer's death inside, every reader hears that the value may be half-changed; after one
/// outside, none.
#[test]
fn a_dead_writer_leaves_a_note() {
    the_note_says_where_the_writer_died(Death::Marked);
}

/// The same where the kernel has no list: who waits for the writer proves its death.
#[test]
fn a_dead_writer_is_found_without_the_kernel() {
    the_note_says_where_the_writer_died(Death::Unseen);
}

/// A reader that dies keeps no writer waiting.
#[test]
fn a_dead_reader_is_gone() {
    deaths(Death::Marked, |victim| {
        let guarded = Guarded::by(Lock::new());
        let dying = victim.spawn({
            let guarded = guarded.clone();
            move || guarded.read()
        });
        guarded.write();
        dying.join().unwrap();
        assert_eq!(guarded.read(), (1, true));
    });
}
