//! `Mutex`: in a segment of its own, in structures, and outside of segments.

mod common;

use std::{
    mem,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use bytemuck::{Pod, Zeroable};
use common::{
    chance::Chance,
    unique,
    workers::{Bytes, LONG, SHORT, Stage, await_stage, bounded, has, join, join_all, kill, panic_of},
};
use commons::{
    Array, Error, ErrorKind, Shareable, Shared, Value,
    sync::{LockResult, Mutex, MutexGuard, OwnerDied, TryLockError},
};

commons::init_in_tests!();

type Table = Shared<Mutex<[u64; 512]>>;

const DIED: [&str; 2] = ["an owner of the lock died or panicked", "mark_consistent"];

fn table() -> Table {
    Shared::new(Mutex::new([0u64; 512])).unwrap()
}

/// The guard in the news that an owner died.
#[track_caller]
fn died<'a, T: Pod + Send>(locked: LockResult<MutexGuard<'a, T>>) -> MutexGuard<'a, T> {
    locked.err().expect("an owner died").into_guard()
}

#[test]
fn a_guard_lends_the_value_in_place() {
    let table = table();
    {
        let mut guard = table.lock().unwrap();
        guard[0] += 1;
        guard[511] = 7;
        has(format!("{table:?}"), &["Mutex<[u64; 512]>"]);
    }
    let again = table.clone();
    let guard = again.try_lock().unwrap();
    assert_eq!((guard[0], guard[511]), (1, 7));
    drop(guard);
    assert_eq!(table.lock_timeout(Duration::ZERO).unwrap()[511], 7);
    assert_eq!(table.lock_timeout(Duration::MAX).unwrap()[511], 7);
}

#[test]
fn every_addition_counts_in_threads_of_processes() {
    const TIMES: u64 = 5_000;
    fn add(table: &Table) {
        for turn in 0..TIMES as usize {
            let mut guard = match turn % 3 {
                0 => table.lock().unwrap(),
                1 => table.lock_timeout(LONG).unwrap(),
                _ => loop {
                    match table.try_lock() {
                        Ok(guard) => break guard,
                        Err(TryLockError::WouldBlock) => thread::yield_now(),
                        Err(other) => panic!("{other}"),
                    }
                },
            };
            // In two steps, which others would see.
            let old = guard[turn % 512];
            guard[turn % 512] = old + 1;
        }
    }
    let _watch = bounded("counting in threads of processes");
    let table = table();
    let work = |table: Table| {
        thread::scope(|scope| {
            scope.spawn(|| add(&table));
            add(&table);
        });
    };
    let workers = [(); 2].map(|()| commons::spawn(table.clone(), work));
    work(table.clone());
    join_all(workers);
    assert_eq!(table.lock().unwrap().iter().sum::<u64>(), 6 * TIMES);
}

#[test]
fn others_wait_for_the_guard() {
    let _watch = bounded("a guard in another process");
    let (table, stage) = (table(), Stage::new(0).unwrap());
    let hold = |(table, stage): (Table, Stage)| {
        let mut guard = table.lock().unwrap();
        guard[3] = 5;
        stage.set(1);
        await_stage(&stage, 2);
    };
    let worker = commons::spawn((table.clone(), stage.clone()), hold);
    await_stage(&stage, 1);
    let busy = table.try_lock().unwrap_err();
    assert!(matches!(busy, TryLockError::WouldBlock));
    has(&busy, &["held by another thread or process"]);
    assert_eq!(Error::from(busy).kind(), ErrorKind::WouldBlock);
    let late = table.lock_timeout(SHORT).unwrap_err();
    assert!(matches!(late, TryLockError::TimedOut));
    has(&late, &["not released in the time given"]);
    assert_eq!(Error::from(late).kind(), ErrorKind::TimedOut);
    thread::scope(|scope| {
        let (sender, seen) = mpsc::channel();
        scope.spawn({
            let table = &table;
            move || sender.send(table.lock().unwrap()[3]).unwrap()
        });
        assert!(seen.recv_timeout(SHORT).is_err(), "it waits");
        stage.set(2);
        assert_eq!(seen.recv_timeout(LONG), Ok(5));
    });
    join(worker);
}

#[test]
fn nested_locking_panics_with_a_sentence_and_leaves_the_first_guard() {
    let _watch = bounded("nested locking");
    let segment = table();
    let boxed = Box::new(Mutex::new([0u64; 512]));
    for table in [&*segment, &*boxed] {
        let mut guard = table.lock().unwrap();
        let sentence = ["this thread holds the lock already", "drop the first guard"];
        has(panic_of(|| drop(table.lock())), &sentence);
        has(panic_of(|| drop(table.lock_timeout(LONG))), &sentence);
        assert!(matches!(table.try_lock(), Err(TryLockError::WouldBlock)));
        guard[0] = 1;
        drop(guard);
        assert_eq!(table.lock().expect("nobody panicked with the guard")[0], 1);
    }
}

#[test]
fn a_panic_inside_is_told_until_somebody_mends() {
    let _watch = bounded("a panic inside");
    let segment = table();
    let boxed = Box::new(Mutex::new([0u64; 512]));
    for table in [&*segment, &*boxed] {
        panic_of(|| {
            let mut guard = table.lock().unwrap();
            guard[0] = 1;
            panic!("in the middle");
        });
        // Every later locker is told, and has the lock.
        assert_eq!(died(table.lock())[0], 1);
        assert_eq!(died(table.lock())[0], 1);
        let mut news = table.lock().unwrap_err();
        has(&news, &DIED);
        has(format!("{news:?}"), &DIED);
        news.get_mut()[0] = 2;
        assert_eq!(news.get_ref()[0], 2);
        assert!(matches!(table.try_lock(), Err(TryLockError::WouldBlock)));
        assert_eq!(Error::from(news).kind(), ErrorKind::OwnerDied);
        let Err(TryLockError::OwnerDied(news)) = table.try_lock() else { panic!("it is not told") };
        drop(news);
        let error = table.lock_timeout(LONG).unwrap_err();
        has(&error, &DIED);
        assert_eq!(Error::from(error).kind(), ErrorKind::OwnerDied);
        has(format!("{table:?}"), &["owner_died: true"]);

        let mut guard = died(table.lock());
        guard.fill(0);
        MutexGuard::mark_consistent(&mut guard);
        drop(guard);
        assert_eq!(table.lock().unwrap()[0], 0);
    }
}

#[test]
fn a_guard_taken_while_the_thread_unwinds_is_no_panic_inside() {
    struct Count<'a>(&'a Mutex<u64>);
    impl Drop for Count<'_> {
        fn drop(&mut self) {
            assert!(thread::panicking());
            *self.0.lock().unwrap() += 1;
        }
    }
    let drops = Shared::new(Mutex::new(0)).unwrap();
    panic_of(|| {
        let _count = Count(&drops);
        panic!("down");
    });
    assert_eq!(*drops.lock().unwrap(), 1);
}

#[test]
fn the_death_of_an_owner_is_told_until_somebody_mends() {
    let _watch = bounded("the death of an owner");
    let (table, stage) = (table(), Stage::new(0).unwrap());
    let die = |(table, stage): (Table, Stage)| -> () {
        let mut guard = table.lock().unwrap();
        guard[0] = 1;
        stage.set(1);
        loop {
            thread::park();
        }
    };
    let worker = commons::spawn((table.clone(), stage.clone()), die).unwrap();
    await_stage(&stage, 1);
    thread::scope(|scope| {
        // One who waits already gets it from the dead.
        let waiter = scope.spawn(|| died(table.lock())[0]);
        kill(&worker);
        assert_eq!(waiter.join().unwrap(), 1);
    });
    // In another process too, and it is mended there.
    join(commons::spawn(table.clone(), |table: Table| {
        drop(died(table.lock()));
        let mut guard = died(table.lock());
        guard.fill(9);
        MutexGuard::mark_consistent(&mut guard);
    }));
    assert_eq!(table.lock().unwrap()[0], 9);
}

#[test]
fn ends_of_every_kind_hand_the_lock_on() {
    let _watch = bounded("ends of every kind");
    let ends: [fn(Table) -> (); 4] = [
        |table| {
            let _guard = table.lock().unwrap();
            std::process::exit(0);
        },
        |table| {
            let _guard = table.lock().unwrap();
            std::process::abort();
        },
        |table| {
            let _guard = table.lock().unwrap();
            panic!("with the guard");
        },
        |table| mem::forget(table.lock().unwrap()),
    ];
    for end in ends {
        let table = table();
        let process = commons::spawn(table.clone(), end).unwrap();
        assert!(process.wait_timeout(LONG).unwrap().is_some());
        let Err(TryLockError::OwnerDied(news)) = table.lock_timeout(LONG) else { panic!("it is not told") };
        MutexGuard::mark_consistent(&mut news.into_guard());
        assert!(table.try_lock().is_ok());
    }
}

#[test]
fn owners_killed_at_any_moment_leave_a_lock_that_works() {
    let _watch = bounded("owners killed at any moment");
    let (table, turns) = (table(), Stage::new(0).unwrap());
    let work = |(table, turns): (Table, Stage)| -> () {
        loop {
            let mut guard = table.lock().unwrap_or_else(OwnerDied::into_guard);
            guard.iter_mut().for_each(|n| *n += 1);
            drop(guard);
            turns.update(|n| *n += 1);
        }
    };
    let mut deaths = 0;
    for round in 0..15 {
        let before = turns.get();
        let workers = [(); 2].map(|()| commons::spawn((table.clone(), turns.clone()), work).unwrap());
        await_stage(&turns, before + 10 + round);
        workers.iter().for_each(kill);
        match table.lock_timeout(LONG) {
            Ok(guard) => assert!(guard.iter().all(|&n| n == guard[0]), "half-changed, and nobody was told"),
            Err(TryLockError::OwnerDied(news)) => {
                deaths += 1;
                let mut guard = news.into_guard();
                guard.fill(0);
                MutexGuard::mark_consistent(&mut guard);
            }
            Err(other) => panic!("{other}"),
        }
    }
    println!("{deaths} deaths inside");
}

#[test]
fn a_leaked_guard_keeps_the_lock_as_long_as_its_process() {
    let _watch = bounded("a leaked guard");
    let table = table();
    thread::scope(|scope| {
        scope.spawn(|| mem::forget(table.lock().unwrap()));
    });
    // The value may still be in use: `Box::leak` could have sent the reference anywhere.
    assert!(matches!(table.try_lock(), Err(TryLockError::WouldBlock)));
    assert!(matches!(table.lock_timeout(SHORT), Err(TryLockError::TimedOut)));
}

#[test]
fn the_1025th_lock_of_a_thread_panics_with_a_sentence() {
    let _watch = bounded("1025 locks");
    let locks = Shared::new([const { Mutex::new(0u8) }; 1025]).unwrap();
    let (value, array) = (Value::new(1u8).unwrap(), Array::<u8>::new(1).unwrap());
    let mut guards: Vec<_> = locks[..1024].iter().map(|lock| lock.lock().unwrap()).collect();
    let sentence = ["this thread holds 1024 locks", "drop some guards first"];
    has(panic_of(|| drop(locks[1024].lock())), &sentence);
    has(panic_of(|| drop(locks[1024].try_lock())), &sentence);
    has(panic_of(|| value.set(2)), &sentence);
    has(panic_of(|| drop(value.try_lock())), &sentence);
    has(panic_of(|| array.set(0, 2)), &sentence);
    let error = array.claim(..).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    has(error, &sentence);
    assert_eq!(value.get(), 1, "reading takes no lock");
    thread::scope(|scope| {
        scope.spawn(|| locks[1024].lock().map(drop).expect("another thread can hold as many"));
    });
    // One for a claim, one for the lock that claims are made under.
    guards.truncate(1022);
    array.claim(..).unwrap().fill(3);
    value.set(2);
    *locks[1024].lock().unwrap() = 5;
    drop(guards);
    assert!(locks.iter().all(|lock| lock.try_lock().is_ok()));
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Account {
    balance: i64,
    payments: u64,
}

#[derive(Shareable)]
#[repr(C)]
struct Bank {
    accounts: [Mutex<Account>; 5],
    transfers: AtomicU64,
    name: Mutex<[u8; 3]>,
}

#[test]
fn locks_in_a_structure_are_locks_of_their_own() {
    let _watch = bounded("a bank");
    let name = unique("bank");
    let accounts = [const { Mutex::new(Account { balance: 100, payments: 0 }) }; 5];
    let bank = Bank { accounts, transfers: AtomicU64::new(0), name: Mutex::new(*b"abc") };
    // A lock that is held while the structure moves into the segment is free there.
    mem::forget(bank.name.lock().unwrap());
    let bank = Shared::create(&name, bank).unwrap();
    assert_eq!(*bank.name.lock().unwrap(), *b"abc");

    let pay = |(name, seed): (String, u64)| {
        let bank = Shared::<Bank>::open(&name).unwrap();
        let mut chance = Chance::new(seed);
        for _ in 0..2_000 {
            let (from, to) = (chance.below(5), chance.below(5));
            if from == to {
                continue;
            }
            let (mut low, mut high) =
                (bank.accounts[from.min(to)].lock().unwrap(), bank.accounts[from.max(to)].lock().unwrap());
            low.balance -= 1;
            high.balance += 1;
            low.payments += 1;
            // Released in the order of their taking, which is not the order of a stack.
            drop(low);
            high.payments += 1;
            bank.transfers.fetch_add(1, Relaxed);
        }
    };
    let workers = [5, 6].map(|seed| commons::spawn((name.clone(), seed), pay));
    pay((name.clone(), 7));
    join_all(workers);
    let sum = bank.accounts.iter().map(|account| *account.lock().unwrap());
    let sum = sum.fold(Account::default(), |sum, one| Account {
        balance: sum.balance + one.balance,
        payments: sum.payments + one.payments,
    });
    assert_eq!(sum, Account { balance: 500, payments: 2 * bank.transfers.load(Relaxed) });
}

#[test]
fn outside_of_segments_it_is_an_ordinary_lock() {
    let _watch = bounded("locks outside of segments");
    static GLOBAL: Mutex<u64> = Mutex::new(0);
    let boxed = Box::new(Mutex::new([0u64; 2]));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    *GLOBAL.lock().unwrap() += 1;
                    boxed.lock().unwrap()[1] += 1;
                }
            });
        }
    });
    let mut mutex = *boxed;
    *mutex.get_mut() = [*GLOBAL.lock().unwrap(), mutex.get_mut()[1]];
    assert_eq!(format!("{mutex:?}"), "Mutex { value: [3000, 3000] }");
    let guard = mutex.lock().unwrap();
    assert_eq!(
        (format!("{guard:?}"), format!("{mutex:?}")),
        ("[3000, 3000]".into(), "Mutex { value: <locked> }".into())
    );
    drop(guard);
    assert_eq!(mutex.into_inner(), [3000, 3000]);
    assert_eq!(*Mutex::from(5u8).lock().unwrap(), 5);
    assert_eq!(Mutex::<i64>::default().into_inner(), 0);
}

#[test]
fn any_bytes_are_a_value() {
    let _watch = bounded("scribbled values");
    let name = unique("scribbled");
    let lock = Shared::create(&name, Mutex::new([1.5f64; 4])).unwrap();
    Bytes::of(&name).overwrite_last(&[0xFF; 32]);
    let mut guard = lock.lock().unwrap();
    assert!(guard.iter().all(|x| x.is_nan()));
    guard.fill(2.0);
    drop(guard);
    assert_eq!(*lock.lock().unwrap(), [2.0; 4]);
    // "Not consistent" is told, whoever wrote it.
    Bytes::of(&name).overwrite(12, &7u32.to_ne_bytes());
    MutexGuard::mark_consistent(&mut died(lock.lock()));
    assert_eq!(*lock.lock().unwrap(), [2.0; 4]);
}

#[test]
fn a_worker_makes_a_lock_and_ends() {
    let _watch = bounded("a lock of a worker that ended");
    let table = join(commons::spawn((), |()| {
        let table = table();
        table.lock().unwrap()[0] = 4;
        table
    }));
    assert_eq!(table.lock().unwrap()[0], 4);
}
