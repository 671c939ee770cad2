//! tmp
use commons::*;
use commons::sync::*;
commons::init_in_tests!();
#[test]
fn two() {
    let v = Value::new(0u64).unwrap();
    let m = Shared::new(Mutex::new([0u64; 4])).unwrap();
    let ps: Vec<_> = (0..3).map(|_| commons::spawn((v.clone(), m.clone()), |(v, m)| { for _ in 0..100_000 { v.update(|n| *n += 1); m.lock().unwrap()[1] += 1; } }).unwrap()).collect();
    for p in ps { p.join().unwrap(); }
    assert_eq!(v.get(), 300_000);
    assert_eq!(m.lock().unwrap()[1], 300_000);
    let p = commons::spawn((v.clone(), m.clone()), |(v, m)| -> () { let _g = v.lock(); let _h = m.lock(); std::process::abort() }).unwrap();
    p.wait().unwrap();
    assert!(v.try_lock().is_some());
    assert!(matches!(m.try_lock(), Err(TryLockError::OwnerDied(_))));
    let p = commons::spawn((), |()| Array::from_slice(&[1u64, 2, 3]).unwrap()).unwrap();
    assert_eq!(p.join().unwrap().to_vec(), [1, 2, 3]);
}
