//! Values that are changed in place: clean, or the next owner is told.

use commons::{
    Shareable, Shared,
    sync::{Mutex, MutexGuard, TryLockError},
};

use super::{
    harness::{Died, kill_after_every_instruction},
    ptrace::Marker,
};

/// Each word is one more. The compiler sees one at a time, as in a longer change.
fn change<const N: usize>(words: &mut [u64; N]) {
    words.iter_mut().for_each(|word| *word = std::hint::black_box(*word) + 1);
}

/// Where the one that changed `old` died, by what the next owner is told. Leaves the lock clean and
/// `new` in it.
fn died<const N: usize>(mutex: &Mutex<[u64; N]>, old: u64, new: u64) -> Died {
    let died = match mutex.try_lock() {
        Ok(guard) if *guard == [old; N] => Died::Before,
        Ok(guard) if *guard == [old + 1; N] => Died::After,
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
    *guard = [new; N];
    died
}

#[test]
fn the_next_owner_of_a_mutex_is_told() {
    let mutex = Shared::new(Mutex::new([1; 4])).unwrap();
    let worker = |mutex: Shared<Mutex<[u64; 4]>>| {
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
    first: Mutex<[u64; 1]>,
    second: Mutex<[u64; 1]>,
    third: Mutex<[u64; 1]>,
}

/// Takes three locks, releases the middle one and takes it again, which makes it the newest; then
/// releases the oldest first.
fn change_three(Three { first, second, third }: &Three) {
    let mut one = first.lock().unwrap();
    let mut two = second.lock().unwrap();
    let mut three = third.lock().unwrap();
    change(&mut one);
    change(&mut two);
    change(&mut three);
    drop(two);
    let two = second.lock().unwrap();
    drop(one);
    drop(three);
    drop(two);
}

#[test]
fn nested_locks_are_released_in_any_order() {
    let lock = || Mutex::new([1]);
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
