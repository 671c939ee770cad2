//! The examples do what they say. The census has tests of its own.

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::Child,
};

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

#[test]
fn a_ball_comes_back() {
    let output = output(example("pingpong").arg("500"));
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(said.starts_with("500 round trips, the ball came back as 500\n"), "{said}");
    assert!(!common::examples::output(example("pingpong").arg("none")).status.success());
}

#[test]
fn a_pipeline_counts_every_word_of_every_text() {
    let directory = std::env::temp_dir().join(format!("pipeline-{}", std::process::id()));
    fs::create_dir_all(directory.join("below")).unwrap();
    for file in 0..200 {
        let place = if file % 2 == 0 { directory.clone() } else { directory.join("below") };
        fs::write(place.join(format!("{file}.txt")), format!("The number-{file}; the END.")).unwrap();
    }
    fs::write(directory.join("no text"), [0xff, 0xfe]).unwrap();
    let output = output(example("pipeline").arg(&directory).args(["--top", "3"]));
    fs::remove_dir_all(&directory).unwrap();
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    assert_eq!(
        lines,
        ["      400 the", "      200 end", "      200 number", "texts=200 sent=200 words=1000 different=203"]
    );
}

#[test]
fn progress_has_its_lines_and_adds_up() {
    let directory = std::env::temp_dir().join(format!("progress-{}", std::process::id()));
    fs::create_dir_all(directory.join("below")).unwrap();
    for file in 0..20 {
        fs::write(directory.join(format!("below/{file}.txt")), "word ".repeat(file + 1)).unwrap();
    }
    fs::write(directory.join("no text"), [0xff; 50]).unwrap();
    let output = output(example("progress").arg(&directory));
    fs::remove_dir_all(&directory).unwrap();
    let longest = format!("longest=20 {}", directory.join("below/19.txt").display());
    let said: Vec<_> = text(&output.stdout).lines().collect();
    assert_eq!(said, ["files=21 words=210", &longest], "{}", text(&output.stderr));
    let shown: Vec<_> = text(&output.stderr).lines().collect();
    let begin = ["files: 0 of 21, 0%, 0 words", "bytes: 0 of 1100, 0%", "texts: 0"];
    assert_eq!(shown[..3], begin);
    let end = [
        ("files: 21 of 21, 100%, ", " s, 210 words"),
        ("bytes: 1100 of 1100, 100%, ", " s"),
        ("texts: 20, ", " s"),
    ];
    for (line, (begin, end)) in shown[shown.len() - 3..].iter().zip(end) {
        assert!(line.starts_with(begin) && line.contains("/s, after ") && line.ends_with(end), "{line}");
    }
}

#[test]
fn two_terminals_chat() {
    let name = format!("chat-{}", std::process::id());
    let start = || {
        let mut chat = example("chat");
        chat.arg(&name).stdin(std::process::Stdio::piped()).spawn().unwrap()
    };
    let mut one = start();
    let mut complaints = BufReader::new(one.stderr.take().unwrap());
    let mut line = |until: &str| {
        let mut line = String::new();
        while !line.contains(until) {
            line.clear();
            assert!(complaints.read_line(&mut line).unwrap() > 0, "{until} was never said");
        }
    };
    line("Waiting");
    let mut two = start();
    line("Connected");
    let hear = |from: &mut Child| {
        let mut line = String::new();
        BufReader::with_capacity(1, from.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line
    };
    writeln!(one.stdin.as_mut().unwrap(), "hello").unwrap();
    assert_eq!(hear(&mut two), "> hello\n");
    writeln!(two.stdin.as_mut().unwrap(), "good day").unwrap();
    assert_eq!(hear(&mut one), "> good day\n");
    drop(two.stdin.take());
    assert!(two.wait().unwrap().success());
    line("has gone");
    assert!(one.wait().unwrap().success());
}
