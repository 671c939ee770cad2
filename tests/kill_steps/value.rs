//! A value and a versioned field: the old value or the new one, never a mixture.

use std::time::{Duration, Instant};

use commons::{Shareable, Shared, Value, sync::Versioned};

use super::{
    harness::{Died, Scene, kill_after_every_instruction},
    ptrace::Marker,
};

pub(crate) type Wide = [u64; 8];

/// The next of the values that are written here: eight equal words.
pub(crate) fn next(value: &mut Wide) {
    *value = [value[0] + 1; 8];
}

/// Where the writer of `old + 1` died, if that is whole or the one before it is.
pub(crate) fn died(found: Wide, old: u64) -> Died {
    assert!(found == [old; 8] || found == [old + 1; 8], "neither {old} nor the next, but {found:?}");
    if found[0] == old { Died::Before } else { Died::After }
}

#[test]
fn a_value_is_old_or_new() {
    let value = Value::new([1; 8]).unwrap();
    let worker = |value: Value<Wide>| {
        let marker = Marker::when_traced();
        value.update(next);
        marker.hit();
        value.update(next);
        marker.hit();
    };
    let (handle, mut known) = (value.clone(), 1);
    kill_after_every_instruction("Value::update", &handle, worker, &mut || {
        let seen = value.get();
        let guard = value.try_lock().expect("the dead worker holds the lock");
        assert_eq!(*guard, seen, "without and with the lock");
        drop(guard);
        let died = died(seen, known + 1);
        value.update(next);
        known = seen[0] + 1;
        assert_eq!(value.get(), [known; 8]);
        died
    });
}

#[derive(Shareable)]
#[repr(C)]
struct Fields {
    left: Versioned<Wide>,
    right: Versioned<Wide>,
}

/// A waiter sleeps this long before it asks whether the owner lives; so a lock that the kernel has
/// not marked takes longer.
const FIRST_SLICE: Duration = Duration::from_millis(1);

struct Set {
    fields: Shared<Fields>,
    known: u64,
    slow: u32,
}

impl Scene for Set {
    fn check(&mut self) -> Died {
        let Fields { left, right } = &*self.fields;
        assert_eq!(left.get(), [self.known + 1; 8], "the other field");
        let (seen, start) = (right.get(), Instant::now());
        right.update(next);
        let took = start.elapsed();
        self.slow = if took < FIRST_SLICE { 0 } else { self.slow + 1 };
        assert!(self.slow < 5, "the dead worker holds the lock: the next update took {took:?}, five times");
        let died = died(seen, self.known + 1);
        self.known = seen[0] + 1;
        left.set([self.known; 8]);
        assert_eq!(right.get(), [self.known; 8]);
        died
    }

    fn again(&mut self) -> bool {
        self.slow != 0
    }
}

#[test]
fn a_field_of_a_structure_is_old_or_new() {
    let field = || Versioned::new([1; 8]);
    let fields = Shared::new(Fields { left: field(), right: field() }).unwrap();
    // The lock before the steps is another one, so that the kernel must be told of this.
    let worker = |fields: Shared<Fields>| {
        let marker = Marker::when_traced();
        let mut value = fields.right.get();
        next(&mut value);
        fields.right.set(value);
        fields.left.set(value);
        next(&mut value);
        marker.hit();
        fields.right.set(value);
        marker.hit();
    };
    let mut scene = Set { fields: fields.clone(), known: 1, slow: 0 };
    kill_after_every_instruction("Versioned::set", &fields, worker, &mut scene);
}
