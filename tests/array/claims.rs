//! Ranges as slices: who waits for whom.

use std::{
    mem,
    ops::{Bound, Range},
    sync::mpsc,
    thread,
    time::Duration,
};

use commons::{Array, ErrorKind};

use crate::common::{
    chance::Chance,
    workers::{LONG, SHORT, Stage, await_stage, bounded, has, join, join_all, kill, panic_of},
};

/// What a worker does with a range until the stage goes on.
#[derive(Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
enum Hold {
    Claim,
    Share,
}

/// A worker that has a range until stage 2.
fn holder(array: &Array<u64>, range: Range<usize>, hold: Hold) -> (commons::Process<()>, Stage) {
    let stage = Stage::new(0).unwrap();
    let hold_it = |(array, range, hold, stage): (Array<u64>, Range<usize>, Hold, Stage)| match hold {
        Hold::Claim => {
            let mut claim = array.claim(range).unwrap();
            claim.fill(7);
            stage.set(1);
            await_stage(&stage, 2);
        }
        Hold::Share => {
            let share = array.share(range).unwrap();
            stage.set(1);
            await_stage(&stage, 2);
            drop(share);
        }
    };
    let worker = commons::spawn((array.clone(), range, hold, stage.clone()), hold_it).unwrap();
    await_stage(&stage, 1);
    (worker, stage)
}

#[test]
fn ranges_of_every_form() {
    let array = Array::from_slice(&[0u64, 1, 2, 3, 4, 5]).unwrap();
    assert_eq!(array.claim(1..3).unwrap()[..], [1, 2]);
    assert_eq!(array.claim(1..=3).unwrap()[..], [1, 2, 3]);
    assert_eq!(array.claim(..2).unwrap()[..], [0, 1]);
    assert_eq!(array.claim(..=2).unwrap()[..], [0, 1, 2]);
    assert_eq!(array.claim(4..).unwrap()[..], [4, 5]);
    assert_eq!(array.share(..).unwrap()[..], [0, 1, 2, 3, 4, 5]);
    assert_eq!(array.share((Bound::Excluded(1), Bound::Included(2))).unwrap()[..], [2]);
    let claim = array.claim(2..5).unwrap();
    assert_eq!((claim.range(), format!("{claim:?}")), (2..5, "[2, 3, 4]".to_owned()));
    let share = array.share(..=1).unwrap();
    assert_eq!((share.range(), format!("{share:?}")), (0..2, "[0, 1]".to_owned()));
}

#[test]
fn ranges_outside_name_both_sides() {
    let array = Array::<u64>::new(6).unwrap();
    let backwards = Range { start: 4, end: 3 };
    let outside = [
        (array.claim(0..7).map(drop), ["0", "7"]),
        (array.claim(7..).map(drop), ["7", "Unbounded"]),
        (array.claim(backwards.clone()).map(drop), ["4", "3"]),
        (array.claim(2..=6).map(drop), ["2", "Included(6)"]),
        (array.claim(..=usize::MAX).map(drop), ["Included(18446744073709551615)", "Unbounded"]),
        (
            array.claim((Bound::Excluded(usize::MAX), Bound::Unbounded)).map(drop),
            ["18446744073709551615", "Unbounded"],
        ),
        (array.share(0..7).map(drop), ["0", "7"]),
        (array.try_claim(0..7).map(drop), ["0", "7"]),
        (array.try_share(0..7).map(drop), ["0", "7"]),
        (array.claim_timeout(0..7, LONG).map(drop), ["0", "7"]),
        (array.share_timeout(backwards, LONG).map(drop), ["4", "3"]),
    ];
    for (result, parts) in outside {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        has(&error, &parts);
        has(&error, &["an array of 6 elements"]);
    }
    array.try_lock().unwrap().fill(1);
}

#[test]
fn empty_ranges_stand_in_nobodys_way() {
    let _watch = bounded("empty ranges");
    let array = Array::from_slice(&[1u64, 2, 3]).unwrap();
    assert!(array.claim(3..).unwrap().is_empty());
    let whole = array.lock().unwrap();
    for at in 0..=3 {
        assert!(array.try_claim(at..at).unwrap().is_empty());
        assert!(array.share(at..at).unwrap().is_empty());
    }
    array.read(1, &mut []).unwrap();
    array.write(1, &[]).unwrap();
    drop(whole);
    let empty = array.claim(1..1).unwrap();
    array.try_lock().unwrap().reverse();
    array.set(1, 9);
    assert_eq!((empty.len(), array.to_vec()), (0, vec![3, 9, 1]));

    let none = Array::<u64>::new(0).unwrap();
    let all = none.lock().unwrap();
    assert!(all.is_empty() && none.try_lock().unwrap().is_empty() && none.share(..).unwrap().is_empty());
    assert_eq!((none.len(), none.is_empty(), none.get(0), none.to_vec()), (0, true, None, vec![]));
}

#[test]
fn the_threads_own_claims_are_errors() {
    let _watch = bounded("own claims");
    let array = Array::from_slice(&[1u64; 10]).unwrap();
    let mine = array.claim(2..5).unwrap();
    let sentence = ["this thread would wait for itself"];
    let refused = [
        array.claim(4..6).map(drop),
        array.try_claim(..).map(drop),
        array.claim_timeout(..3, LONG).map(drop),
        array.share(2..3).map(drop),
        array.try_share(..).map(drop),
        array.share_timeout(.., LONG).map(drop),
        array.lock().map(drop),
        array.try_lock().map(drop),
        array.lock_timeout(LONG).map(drop),
        array.read(0, &mut [0; 3]),
        array.write(4, &[0; 3]),
    ];
    for error in refused.map(Result::unwrap_err) {
        assert_eq!(error.kind(), ErrorKind::WouldDeadlock);
        has(error, &sentence);
    }
    has(panic_of(|| array.get(2)), &sentence);
    has(panic_of(|| array.set(4, 1)), &sentence);
    has(panic_of(|| array.update(4, |_| ())), &sentence);
    has(panic_of(|| array.to_vec()), &sentence);
    assert_eq!((array.get(1), array.get(5)), (Some(1), Some(1)));
    array.set(5, 2);
    array.write(5, &[3; 5]).unwrap();
    array.claim(5..).unwrap()[0] = 4;
    drop(mine);

    let shared = array.share(2..5).unwrap();
    let twice = array.share(..).unwrap();
    assert_eq!((shared[0], twice[5], array.get(2), array.to_vec().len()), (1, 4, Some(1), 10));
    assert_eq!(array.claim(4..5).unwrap_err().kind(), ErrorKind::WouldDeadlock);
    has(panic_of(|| array.set(0, 1)), &sentence);
    assert_eq!(array.write(0, &[1]).unwrap_err().kind(), ErrorKind::WouldDeadlock);
    drop((shared, twice));
    array.lock().unwrap().fill(0);
}

#[test]
fn a_panic_ends_the_claim_and_keeps_what_was_written() {
    let array = Array::<u64>::new(4).unwrap();
    panic_of(|| {
        let mut claim = array.claim(1..).unwrap();
        claim[0] = 5;
        panic!("in the middle");
    });
    assert_eq!(array.try_lock().unwrap()[..], [0, 5, 0, 0]);
}

#[test]
fn overlapping_ranges_wait_and_others_do_not() {
    let _watch = bounded("a claim in another process");
    let array = Array::<u64>::new(10).unwrap();
    let (worker, stage) = holder(&array, 2..5, Hold::Claim);
    for range in [2..5, 0..3, 4..10, 3..4, 0..10] {
        let sentence = ["another thread or process has claimed"];
        let errors = [array.try_claim(range.clone()).map(drop), array.try_share(range.clone()).map(drop)];
        for error in errors.map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            has(error, &sentence);
        }
        let errors = [
            array.claim_timeout(range.clone(), SHORT).map(drop),
            array.share_timeout(range, SHORT).map(drop),
        ];
        for error in errors.map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            has(error, &sentence);
        }
    }
    assert_eq!(array.try_lock().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(array.lock_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
    // Beside it everything goes on.
    array.try_claim(..2).unwrap().fill(1);
    array.claim(5..).unwrap().fill(2);
    assert_eq!((array.get(1), array.get(5)), (Some(1), Some(2)));

    thread::scope(|scope| {
        let (sender, answer) = mpsc::channel();
        let waiting: [fn(&Array<u64>) -> u64; 5] = [
            |array| array.get(4).unwrap(),
            |array| array.to_vec()[3],
            |array| array.share(..).unwrap()[2],
            |array| array.claim(4..6).unwrap()[0],
            |array| array.update(2, |v| *v),
        ];
        for wait in waiting {
            let (array, sender) = (&array, sender.clone());
            scope.spawn(move || sender.send(wait(array)).unwrap());
        }
        assert!(answer.recv_timeout(SHORT).is_err(), "they wait");
        stage.set(2);
        for _ in waiting {
            assert_eq!(answer.recv_timeout(LONG), Ok(7), "they see what was written under the claim");
        }
    });
    join(Ok(worker));
}

#[test]
fn shares_coexist_and_keep_writers_away() {
    let _watch = bounded("shares of several processes");
    let array = Array::from_slice(&[3u64; 10]).unwrap();
    let holders = [holder(&array, 0..6, Hold::Share), holder(&array, 4..10, Hold::Share)];
    assert_eq!(array.try_share(..).unwrap().iter().sum::<u64>(), 30);
    assert_eq!((array.get(5), array.to_vec()), (Some(3), vec![3; 10]));
    for range in [0..1, 5..6, 9..10] {
        assert_eq!(array.try_claim(range).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    thread::scope(|scope| {
        let (sender, done) = mpsc::channel();
        scope.spawn({
            let array = &array;
            move || {
                array.set(5, 4);
                sender.send(()).unwrap();
            }
        });
        assert!(done.recv_timeout(SHORT).is_err(), "it waits for both");
        let [(first, one), (second, two)] = holders;
        one.set(2);
        join(Ok(first));
        assert!(done.recv_timeout(SHORT).is_err(), "it waits for the other one");
        two.set(2);
        join(Ok(second));
        done.recv_timeout(LONG).unwrap();
    });
    assert_eq!(array.get(5), Some(4));
}

#[test]
fn parts_are_filled_in_parallel_by_processes_and_threads() {
    let _watch = bounded("filling parts");
    let array = Array::<[u32; 3]>::new(10_007).unwrap();
    let started = Stage::new(0).unwrap();
    let fill = |(array, parts, started): (Array<[u32; 3]>, Vec<Range<usize>>, Stage)| {
        thread::scope(|scope| {
            for range in parts {
                let (array, started) = (&array, &started);
                scope.spawn(move || {
                    let mut part = array.claim(range).unwrap();
                    // All six have their claims before anybody goes on.
                    started.update(|n| *n += 1);
                    await_stage(started, 6);
                    let first = part.range().start;
                    part.iter_mut().zip(first..).for_each(|(place, i)| *place = [i as u32; 3]);
                });
            }
        });
    };
    let parts: Vec<_> = array.split(6).collect();
    let workers =
        parts.chunks(2).map(|parts| commons::spawn((array.clone(), parts.to_vec(), started.clone()), fill));
    join_all(workers.collect::<Vec<_>>());
    assert!(array.share(..).unwrap().iter().zip(0..).all(|(place, i)| *place == [i; 3]));
}

#[test]
fn overlapping_claims_exclude_each_other() {
    let _watch = bounded("overlapping claims");
    let array = Array::<u64>::new(12).unwrap();
    let add = |(array, seed): (Array<u64>, u64)| {
        let mut chance = Chance::new(seed);
        for _ in 0..800 {
            let start = chance.below(6);
            let mut claim = array.claim(start..start + 6).unwrap();
            // What another process adds meanwhile would be lost.
            let old = claim.to_vec();
            thread::yield_now();
            claim.iter_mut().zip(old).for_each(|(place, old)| *place = old + 1);
        }
    };
    let workers = [11, 12].map(|seed| commons::spawn((array.clone(), seed), add));
    thread::scope(|scope| {
        scope.spawn(|| add((array.clone(), 13)));
        add((array.clone(), 14));
    });
    join_all(workers);
    assert_eq!(array.to_vec().iter().sum::<u64>(), 4 * 800 * 6);
}

#[test]
fn the_sixty_fifth_claim_waits() {
    let _watch = bounded("65 claims");
    let array = Array::<u64>::new(100).unwrap();
    thread::scope(|scope| {
        let (sender, done) = mpsc::channel();
        let mut claims: Vec<_> = (0..63).map(|i| array.claim(i..i + 1).unwrap()).collect();
        let (claimed, is_claimed) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        scope.spawn({
            let array = &array;
            move || {
                let _last = array.share(70..).unwrap();
                claimed.send(()).unwrap();
                may_go_on.recv_timeout(LONG).unwrap();
            }
        });
        is_claimed.recv_timeout(LONG).unwrap();
        assert_eq!(array.try_claim(64..65).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(array.claim_timeout(64..65, SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(array.try_share(80..81).unwrap_err().kind(), ErrorKind::WouldBlock);
        array.set(65, 1);
        scope.spawn({
            let (array, sender) = (&array, sender.clone());
            move || sender.send(array.claim(64..65).unwrap().len()).unwrap()
        });
        assert!(done.recv_timeout(SHORT).is_err(), "there is no room for it");
        // Whichever ends makes room.
        drop(claims.remove(40));
        assert_eq!(done.recv_timeout(LONG), Ok(1));
        array.claim_timeout(64..65, LONG).expect("there is room again").fill(2);
        assert_eq!(
            array.try_claim(80..81).unwrap_err().kind(),
            ErrorKind::WouldBlock,
            "the 64th stands in the way"
        );
        go_on.send(()).unwrap();
    });
    // Alone, nobody else could make room.
    let mut claims: Vec<_> = (0..64).map(|i| array.claim(i..i + 1).unwrap()).collect();
    let error = array.claim(70..71).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldDeadlock);
    has(error, &["64 claims", "wait for itself"]);
    claims.pop();
    array.claim(70..71).unwrap()[0] = 1;
}

#[test]
fn the_claim_of_a_killed_process_ends_and_its_writing_stays() {
    let _watch = bounded("killed claimers");
    let array = Array::<u64>::new(8).unwrap();
    let holders =
        [(0..4, Hold::Claim), (4..8, Hold::Share)].map(|(range, hold)| holder(&array, range, hold).0);
    assert_eq!(array.try_lock().unwrap_err().kind(), ErrorKind::WouldBlock);
    holders.iter().for_each(kill);
    assert_eq!(array.lock_timeout(LONG).unwrap()[..], [7, 7, 7, 7, 0, 0, 0, 0]);
}

#[test]
fn claimers_killed_at_any_moment_leave_the_array_usable() {
    let _watch = bounded("claimers killed at any moment");
    let array = Array::<u64>::new(64).unwrap();
    let turns = Stage::new(0).unwrap();
    let claim = |(array, turns): (Array<u64>, Stage)| -> () {
        loop {
            array.claim(..40).unwrap().fill(1);
            let share = array.share(20..).unwrap();
            turns.update(|n| *n += 1);
            drop(share);
            array.update(63, |n| *n += 1);
        }
    };
    for round in 0..12 {
        let before = turns.get();
        let workers = [(); 2].map(|()| commons::spawn((array.clone(), turns.clone()), claim).unwrap());
        await_stage(&turns, before + 5 + round);
        workers.iter().for_each(kill);
        array.lock_timeout(LONG).unwrap().fill(0);
    }
    let all: Vec<_> = (0..64).map(|i| array.claim_timeout(i..i + 1, LONG).unwrap()).collect();
    assert_eq!(all.len(), 64, "no claim of the dead is left");
}

#[test]
fn a_leaked_claim_stays_as_long_as_its_process() {
    let _watch = bounded("leaked claims");
    let array = Array::<u64>::new(4).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| mem::forget(array.claim(..2).unwrap()));
    });
    // The slice in it may still be used: `Box::leak` could have sent it anywhere.
    assert_eq!(array.try_claim(1..).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(array.try_claim(2..).is_ok());
    join(commons::spawn(array.clone(), |array: Array<u64>| mem::forget(array.claim(2..).unwrap())));
    array.claim_timeout(2.., LONG).expect("its process has ended").fill(1);
}

#[test]
fn the_longest_timeouts_do_not_overflow() {
    let array = Array::<u64>::new(4).unwrap();
    assert!(array.claim_timeout(.., Duration::MAX).is_ok());
    assert!(array.share_timeout(.., Duration::MAX).is_ok());
    assert!(array.lock_timeout(Duration::ZERO).is_ok());
}
