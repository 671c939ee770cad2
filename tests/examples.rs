//! The examples do what they say. The census has tests of its own.

mod common;

use common::examples::{example, output, text};

/// What `shared_counter` prints for so many tasks.
fn counts(tasks: u64) -> String {
    let sum_of_i: u64 = (0..100_000).sum();
    let largest = tasks - 1;
    format!(
        "{}\nthe largest sum is {}, of task {largest}\n",
        sum_of_i * (0..tasks).sum::<u64>(),
        sum_of_i * largest
    )
}

#[track_caller]
fn prints(arguments: &[&str], begin: &str) {
    let output = output(example("shared_counter").args(arguments));
    let (said, complaints) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
    let speed = said.strip_prefix(begin).unwrap_or_else(|| panic!("{said} does not begin with {begin}"));
    let words = ["1 process ", " processes ", " times as fast\n"];
    assert!(words.iter().all(|word| speed.contains(word)) && speed.lines().count() == 1, "{speed}");
}

#[test]
fn a_shared_counter_adds_up() {
    prints(&["60"], &counts(60));
    assert!(counts(10_000).starts_with("249972500250000000\n"));
    if !cfg!(debug_assertions) {
        // A thousand million additions, twice.
        prints(&[], &counts(10_000));
    }
}
