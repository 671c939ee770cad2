//! Many calls at once on the same workers, and calls that a forked child has a copy of.

mod common;

use common::{
    forks::{BOTH, end_of, fork, in_child},
    scene::join,
    workers::bounded,
};
use commons::{Atomic, Parallel, Pool};

commons::init_in_tests!();

#[test]
fn many_calls_at_once_make_what_they_need_once_in_each_worker() {
    const CALLS: usize = 100;
    let _bound = bounded("many calls at once");
    let made = Atomic::new(0u32).unwrap();
    let make = |made: Atomic<u32>| {
        made.fetch_add(1);
        100u64
    };
    // Two tasks of each call are on their way, and those of all calls in turn.
    let parallel = || Parallel::new().jobs(2).chunk(1).max_look_ahead(2);
    let call = |_| parallel().init(made.clone(), make).map_iter(0..20, |base, n| *base + n);
    let mut calls: Vec<_> = (0..CALLS).map(call).collect();
    // All go on all the time: each gives one result in turn.
    for n in 0..20 {
        assert!(calls.iter_mut().all(|call| call.next().unwrap().unwrap() == 100 + n));
    }
    assert!(made.load() <= 2 * CALLS as u32, "{} states for {CALLS} calls on 2 workers", made.load());
}

/// In a process that nobody else forks or is forked from.
#[test]
fn a_forked_child_that_drops_a_call_takes_nothing_from_its_parent() {
    let worker = commons::spawn((), |()| {
        for how in BOTH {
            let pool = Pool::builder().workers(2).chunk(1).build().unwrap();
            let mut results = pool.map_iter(0..200u32, |n| n);
            assert_eq!(results.next().unwrap().unwrap(), 0);
            let task = pool.submit(7u32, |n| n).unwrap();
            let Some(child) = fork(how) else {
                in_child(|| {
                    assert!(!task.cancel());
                    drop((task, results));
                })
            };
            assert_eq!(end_of(child), Ok(0));
            assert!(results.map(Result::unwrap).eq(1..200));
            assert_eq!(task.join().unwrap(), 7);
        }
    });
    join(worker.unwrap());
}
