//! Guards that are leaked: what lends nothing goes back with its thread, what lends references stays
//! held as long as its process lives, and memory stays mapped while a lock in it is held.
//!
//! # Safety
//! Writes through pointers that outlive their handles, ends a thread without its destructors, and
//! maps memory where a segment was.

#![allow(unsafe_code)]

mod common;

use std::{fs, mem, ptr, sync::mpsc, thread, time::Duration};

use common::scene::{SOON, Scene, end_of, owner_died, takes};
use commons::{
    ErrorKind, Exit, Process,
    sync::{MutexGuard, TryLockError},
};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

commons::init_in_tests!();

const A_WHILE: Duration = Duration::from_millis(150);

/// Waits for its end by `kill -9`.
fn park() -> ! {
    loop {
        thread::park();
    }
}

fn kill(process: &Process<()>) {
    process.kill().unwrap();
    assert_eq!(end_of(process), Exit::Signal(9));
}

#[test]
fn a_leaked_guard_of_a_value_goes_back_with_its_thread() {
    let scene = Scene::new();
    let worker = commons::spawn(scene.clone(), |scene| {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut guard = scene.value.lock();
                guard[0] = 7;
                mem::forget(guard);
                scene.reach(1);
                scene.await_cue(1);
            });
        });
        park()
    });
    let worker: Process<()> = worker.unwrap();
    scene.expect(1);
    assert!(takes(A_WHILE, || scene.value.lock_timeout(A_WHILE)).is_none(), "its thread lives");
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| *scene.value.lock_timeout(SOON).expect("its thread has ended"));
        scene.cue(1);
        assert_eq!(sleeper.join().unwrap(), [0; 4], "a leaked guard commits nothing");
    });
    assert_eq!(worker.exit(), None, "its process lives");
    kill(&worker);
}

/// Leaks a guard of each kind in a thread that ends, among others that do not stay.
fn leak_in_a_thread(scene: &Scene) {
    let leak = || {
        let early = scene.array.share(6..7).unwrap();
        mem::forget(scene.value.lock());
        let mut guard = scene.stage.mutex.lock().unwrap();
        guard[0] = 7;
        mem::forget(guard);
        drop(early);
        let mut claim = scene.array.claim(0..4).unwrap();
        claim[0] = 7;
        mem::forget(claim);
        mem::forget(scene.array.share(4..5).unwrap());
        drop(scene.array.share(4..6).unwrap());
    };
    thread::scope(|scope| scope.spawn(leak).join().unwrap());
}

fn assert_held_by_a_thread_that_ended(scene: &Scene) {
    assert!(scene.value.lock_timeout(SOON).is_some(), "a value goes on");
    assert!(matches!(scene.stage.mutex.try_lock(), Err(TryLockError::WouldBlock)));
    let mutex = takes(A_WHILE, || scene.stage.mutex.lock_timeout(A_WHILE));
    assert!(matches!(mutex, Err(TryLockError::TimedOut)), "{mutex:?}");
    let claim = takes(A_WHILE, || scene.array.claim_timeout(3..4, A_WHILE));
    assert_eq!(claim.unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(scene.array.try_claim(4..5).unwrap_err().kind(), ErrorKind::WouldBlock, "it is shared");
    drop(scene.array.try_share(4..5).expect("it is shared"));
    drop(scene.array.claim_timeout(5.., SOON).expect("nobody has it"));
}

fn leaked_guards_stay_until(end: impl FnOnce(&Scene, &Process<()>)) {
    let scene = Scene::new();
    let worker = commons::spawn(scene.clone(), |scene| {
        leak_in_a_thread(&scene);
        // Here too they are held.
        assert!(matches!(scene.stage.mutex.try_lock(), Err(TryLockError::WouldBlock)));
        assert_eq!(scene.array.try_claim(0..1).unwrap_err().kind(), ErrorKind::WouldBlock);
        scene.reach(1);
        scene.await_cue(1);
    });
    let worker: Process<()> = worker.unwrap();
    scene.expect(1);
    assert_held_by_a_thread_that_ended(&scene);
    end(&scene, &worker);
    scene.assert_handed_on();
    assert!(scene.array.claim_timeout(.., SOON).is_ok(), "what was shared is free too");
}

#[test]
fn leaked_guards_that_lend_stay_until_their_process_is_killed() {
    leaked_guards_stay_until(|_, worker| kill(worker));
}

#[test]
fn leaked_guards_that_lend_stay_until_their_process_ends() {
    leaked_guards_stay_until(|scene, worker| {
        scene.cue(1);
        assert_eq!(end_of(worker), Exit::Code(0));
    });
}

#[test]
fn a_reference_that_was_sent_to_another_thread_stays_alone() {
    let scene = Scene::new();
    let worker = commons::spawn(scene.clone(), |scene| {
        let scene: &'static Scene = Box::leak(Box::new(scene));
        let lent: &'static mut [u64; 2] = thread::spawn(|| {
            let guard = Box::leak(Box::new(scene.stage.mutex.lock().unwrap()));
            &mut **guard
        })
        .join()
        .unwrap();
        scene.reach(1);
        let mut left = true;
        while left {
            lent[0] += 1;
            lent[1] += 1;
            left = scene.fact(0) == 0;
        }
        lent[1] = 0;
        scene.reach(2);
        park()
    });
    let worker: Process<()> = worker.unwrap();
    scene.expect(1);
    let mutex = takes(A_WHILE, || scene.stage.mutex.lock_timeout(A_WHILE));
    assert!(matches!(mutex, Err(TryLockError::TimedOut)), "it is lent: {mutex:?}");
    scene.set_fact(0, 1);
    scene.expect(2);
    kill(&worker);
    let guard = owner_died(&scene.stage.mutex);
    assert!(guard[0] > 0 && guard[1] == 0, "what was written through the reference: {:?}", *guard);
}

/// How many segments this process has mapped.
fn mapped() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("/memfd:commons.")).count()
}

#[test]
fn memory_stays_mapped_while_a_leaked_guard_holds_a_lock_in_it() {
    let scene = Scene::new();
    let kept = scene.clone();
    let worker = commons::spawn(scene.clone(), |scene| {
        assert_eq!(mapped(), 3);
        let mut guard = scene.stage.mutex.lock().unwrap();
        let word = ptr::from_mut(&mut guard[0]);
        mem::forget(guard);
        let mut claim = scene.array.claim(0..4).unwrap();
        let element = claim.as_mut_ptr();
        mem::forget(claim);
        drop(scene);
        assert_eq!(mapped(), 2, "the value's memory goes");
        // SAFETY: mapped for ever, and this thread holds the lock.
        unsafe { word.write(7) };
        // SAFETY: mapped for ever, and this thread has it claimed.
        unsafe { element.write(7) };
    });
    let worker: Process<()> = worker.unwrap();
    assert_eq!(end_of(&worker), Exit::Code(0), "it ends well");
    worker.join().unwrap();
    kept.assert_handed_on();
}

#[test]
fn memory_goes_with_the_last_handle_and_not_before() {
    let worker = commons::spawn((), |()| {
        let scene = Scene::new();
        let other = scene.clone();
        let (sender, receiver) = mpsc::channel();
        let (dropped, wait) = mpsc::channel();
        let holder = thread::spawn(move || {
            let other = other; // all of it
            let mut guard = other.stage.mutex.lock().unwrap();
            let mut claim = other.array.claim(..).unwrap();
            sender.send(()).unwrap();
            wait.recv_timeout(SOON).unwrap();
            (guard[0], claim[0]) = (1, 1);
            drop((guard, claim));
            *other.stage.mutex.lock().unwrap()
        });
        receiver.recv_timeout(SOON).unwrap();
        drop(scene);
        assert_eq!(mapped(), 3, "another handle uses it");
        dropped.send(()).unwrap();
        assert_eq!(holder.join().unwrap(), [1, 0]);
        assert_eq!(mapped(), 0);
    });
    common::scene::join(worker.unwrap());
}

#[test]
fn a_thread_that_used_a_lock_that_is_unmapped_leaves_other_memory_alone() {
    let worker = commons::spawn((), |()| {
        let scene = Scene::new();
        let page = (&raw const *scene.stage).map_addr(|address| address & !4095).cast_mut();
        let (sender, receiver) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let user = scene.stage.clone();
        mem::forget(thread::spawn(move || {
            drop(user.mutex.lock().unwrap());
            drop(user);
            sender.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
            wait.recv_timeout(SOON).unwrap();
            // SAFETY: ends the thread, without the destructors that would tell the kernel anything.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }));
        let tid = receiver.recv_timeout(SOON).unwrap();
        drop(scene);
        assert_eq!(mapped(), 0);
        let (protection, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::FIXED_NOREPLACE);
        // SAFETY: maps nothing that is in use, or fails.
        let page = unsafe { mmap_anonymous(page.cast(), 4096, protection, flags) }.unwrap();
        let words = page.cast::<i32>();
        for at in 0..1024 {
            // SAFETY: in the page, aligned.
            unsafe { words.wrapping_add(at).write(tid) };
        }
        go.send(()).unwrap();
        let task = format!("/proc/self/task/{tid}");
        common::eventually("the thread has ended", || !fs::exists(&task).unwrap());
        for at in 0..1024 {
            // SAFETY: in the page, aligned, written above.
            let word = unsafe { words.wrapping_add(at).read_volatile() };
            assert_eq!(word, tid, "word {at} was taken for a lock");
        }
        // SAFETY: mapped above, and no pointer is used again.
        unsafe { munmap(page, 4096) }.unwrap();
    });
    common::scene::join(worker.unwrap());
}

#[test]
fn what_was_mended_can_be_leaked_again() {
    let scene = Scene::new();
    let worker = commons::spawn(scene.clone(), |scene| leak_in_a_thread(&scene));
    assert_eq!(end_of(&worker.unwrap()), Exit::Code(0));
    let mut guard = owner_died(&scene.stage.mutex);
    MutexGuard::mark_consistent(&mut guard);
    drop(guard);
    leak_in_a_thread(&scene);
    // In this very process the thread is gone, and nobody gets what it lent.
    assert!(matches!(scene.stage.mutex.lock_timeout(A_WHILE), Err(TryLockError::TimedOut)));
}
