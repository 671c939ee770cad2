//! Processes that run functions: results, failures, signals, and nothing left behind.

commons::init_in_tests!();

#[test]
fn a_result_comes_back() {
    let process = commons::spawn((2, 3), |(a, b)| a + b).unwrap();
    assert_eq!(process.join().unwrap(), 5);
}
