//! The examples do what they say. The census has tests of its own.

mod common;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    process::Child,
};

use common::examples::{example, output, text};
use image::{Rgb, RgbImage};

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
fn sums_are_the_same_wherever_they_are_made() {
    let sums = |arguments: &[&str], total: &str| {
        let output = output(example("parallel_sum").args(arguments));
        let said: Vec<_> = text(&output.stdout).lines().collect();
        assert_eq!(said.len(), 3, "{said:?} {}", text(&output.stderr));
        for (line, place) in said.iter().zip(["sequential", "processes", "threads"]) {
            assert!(line.starts_with(&format!("{total} in ")) && line.ends_with(place), "{line}");
        }
        assert!(said[0].contains(" 1.00 times as fast"), "{said:?}");
    };
    sums(&["60", "100"], "8761500");
    if !cfg!(debug_assertions) {
        sums(&[], "249972500250000000");
    }
}

#[test]
fn thumbnails_are_small_and_what_is_no_picture_is_told() {
    let directory = std::env::temp_dir().join(format!("thumbnails-{}", std::process::id()));
    let small = directory.join("a/b");
    fs::create_dir_all(&directory).unwrap();
    let picture = RgbImage::from_fn(900, 300, |x, y| Rgb([x as u8, y as u8, 100]));
    for n in 0..6 {
        picture.save(directory.join(format!("{n}.png"))).unwrap();
        picture.save(directory.join(format!("{n}.JPG"))).unwrap();
    }
    RgbImage::new(7, 5).save(directory.join("tiny.jpeg")).unwrap();
    fs::write(directory.join("broken.png"), "no picture").unwrap();
    fs::write(directory.join("notes.txt"), "no picture either").unwrap();

    let run = |out| output(example("thumbnails").args([&directory, out]));
    let made = run(&small);
    let same = run(&directory.join("."));
    let sizes: BTreeMap<_, _> = fs::read_dir(&small)
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| (path.clone(), image::image_dimensions(path).unwrap()))
        .collect();
    fs::remove_dir_all(&directory).unwrap();

    let complaints = text(&made.stderr);
    assert_eq!((made.status.code(), text(&made.stdout)), (Some(1), "13 of 14 pictures\n"), "{complaints}");
    let broken = format!("{}: task 12 failed at", directory.join("broken.png").display());
    let complaint = complaints.lines().last().unwrap();
    assert!(complaint.starts_with(&broken) && complaint.contains("decoding Png"), "{complaints}");
    assert!(complaints.contains("14 of 14, 100%"), "{complaints}");
    assert_eq!(sizes.len(), 13);
    for (path, size) in sizes {
        let expected = if path.ends_with("tiny.jpeg") { (7, 5) } else { (256, 85) };
        assert_eq!(size, expected, "{path:?}");
    }
    assert!(!same.status.success() && text(&same.stderr).contains("OUT is DIR"), "{}", text(&same.stderr));
    assert_eq!(output(example("thumbnails").arg(&directory)).status.code(), Some(2));
}

#[test]
fn what_is_ordered_waits_for_the_slow_and_what_is_not_does_not() {
    // A large prime takes long, the others no time at all.
    let numbers = ["1000000000000037", "8", "9", "10", "11", "12"];
    let output = output(example("imap_order").args(numbers));
    let mut said = text(&output.stdout).lines();
    let mut next = |title: &str| {
        assert_eq!(said.next(), Some(title), "{}", text(&output.stderr));
        let lines = said.by_ref().take(numbers.len());
        lines.map(|line| line.split_once(" s  ").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    let factors = ["[1000000000000037]", "[2, 2, 2]", "[3, 3]", "[2, 5]", "[11]", "[2, 2, 3]"];
    let mut expected: Vec<_> = numbers.iter().zip(factors).map(|(n, of)| format!("{n} = {of}")).collect();
    assert_eq!(next("map_iter"), expected);
    let mut unordered = next("map_unordered");
    assert_ne!(unordered[0], expected[0], "nobody waits for the slow one");
    expected.sort();
    unordered.sort();
    assert_eq!(unordered, expected);
}

#[test]
fn tasks_are_awaited_raced_and_called_off() {
    let output = output(example("executor").arg("200000"));
    let said: Vec<_> = text(&output.stdout).lines().collect();
    assert!(output.status.success() && said.len() == 4, "{said:?} {}", text(&output.stderr));
    assert_eq!(said[0], "17984 primes below 200000");
    assert!(
        ["division", "the sieve"].iter().any(|way| said[1] == format!("{way} was first: 17984")),
        "{said:?}"
    );
    assert_eq!(said[2], "the task has no result within 100ms; it runs on");
    let called_off: u32 = said[3].strip_suffix(" of 1000 called off").unwrap().parse().unwrap();
    assert!((900..1000).contains(&called_off), "{called_off}");
}

#[test]
fn bad_tasks_are_told_and_good_ones_are_done() {
    let output = output(&mut example("errors"));
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}");
    let expected = [
        ("a sum", "5050"),
        ("a panic", "task 1 panicked at examples/errors.rs:"),
        ("a product", "2432902008176640000"),
        ("an exit", "exit code 3"),
        ("an abort", "signal 6 (SIGABRT)"),
        ("a kill", "signal 9 (SIGKILL)"),
        ("a division by zero", "attempt to divide by zero"),
        ("too much memory", "task 7 has no result, because memory ran out"),
        ("a count", "4"),
    ];
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), expected.len() + 1, "{said}");
    for (line, (name, what)) in lines.iter().zip(expected) {
        assert!(line.split_once("  ").is_some_and(|(n, rest)| n == name && rest.contains(what)), "{line}");
    }
    assert_eq!(lines[expected.len()], "3 of 9 tasks have a result");
    assert!(text(&output.stderr).contains("memory allocation of 2147483648 bytes failed"));
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
