//! Values that are changed in place: clean, or the next owner is told.

use commons::{
    Shareable, Shared,
    sync::{Mutex, MutexGuard, TryLockError},
};

use super::{
    harness::{Died, kill_after_every_instruction},
    ptrace::Marker,
};

type Words = [u64; 4];

/// Each word is one more. The compiler sees only one at a time, as a longer change would be.
fn change(words: &mut Words) {
    words.iter_mut().for_each(|word| *word = std::hint::black_box(*word) + 1);
}

/// Where the one that changed `old` died, by what the next owner is told. Leaves the lock clean and
/// `new` in it.
fn died(mutex: &Mutex<Words>, old: u64, new: u64) -> Died {
    let died = match mutex.try_lock() {
        Ok(guard) if *guard == [old; 4] => Died::Before,
        Ok(guard) if *guard == [old + 1; 4] => Died::After,
        Ok(guard) => panic!("neither {old} nor the next, and nobody was told: {:?}", *guard),
        Err(TryLockError::OwnerDied(died)) => {
            let words = **died.get_ref();
            assert!(words.iter().all(|&word| word == old || word == old + 1), "never written: {words:?}");
            Died::Inside
        }
        Err(refused) => panic!("the dead worker holds the lock: {refused}"),
    };
    if died == Died::Inside {
        let Err(TryLockError::OwnerDied(still)) = mutex.try_lock() else {
            panic!("nobody has marked the value consistent, and the next owner is not told")
        };
        MutexGuard::mark_consistent(&mut still.into_guard());
    }
    let mut guard = mutex.try_lock().expect("it was marked consistent");
    *guard = [new; 4];
    died
}

#[test]
fn the_next_owner_of_a_mutex_is_told() {
    let mutex = Shared::new(Mutex::new([1; 4])).unwrap();
    let worker = |mutex: Shared<Mutex<Words>>| {
        let marker = Marker::when_traced();
        change(&mut mutex.lock().unwrap());
        marker.hit();
        change(&mut mutex.lock().unwrap());
        marker.hit();
    };
    let mut known = 1;
    kill_after_every_instruction("Mutex", &mutex.clone(), worker, &mut || {
        let died = died(&mutex, known + 1, known + 3);
        known += 3;
        died
    });
}

#[derive(Shareable)]
#[repr(C)]
struct Three {
    first: Mutex<Words>,
    second: Mutex<Words>,
    third: Mutex<Words>,
}

/// Takes three locks and releases the middle one first, then the oldest.
fn change_three(Three { first, second, third }: &Three) {
    let mut one = first.lock().unwrap();
    let mut two = second.lock().unwrap();
    let mut three = third.lock().unwrap();
    change(&mut one);
    change(&mut two);
    change(&mut three);
    drop(two);
    drop(one);
    drop(three);
}

#[test]
fn nested_locks_are_released_in_any_order() {
    let lock = || Mutex::new([1; 4]);
    let three = Shared::new(Three { first: lock(), second: lock(), third: lock() }).unwrap();
    let worker = |three: Shared<Three>| {
        let marker = Marker::when_traced();
        change_three(&three);
        marker.hit();
        change_three(&three);
        marker.hit();
    };
    let mut known = 1;
    kill_after_every_instruction("three locks", &three.clone(), worker, &mut || {
        let locks = [&three.first, &three.second, &three.third];
        let died = locks.map(|lock| died(lock, known + 1, known + 3));
        known += 3;
        if died == [died[0]; 3] { died[0] } else { Died::Inside }
    });
}
