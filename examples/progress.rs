//! Counts the words of every file below a directory in one worker per CPU, and shows three things
//! at once: a structure of our own, and two plain counters.
//!
//! `cargo run --release --example progress -- [DIR]`

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread::available_parallelism,
};

use commons::{Progress, ProgressLine, Shareable, Shared, sync::Versioned};

/// What the workers tell while they work.
#[derive(Default, Shareable)]
#[repr(C)]
struct Reading {
    begun: AtomicU64,
    files: AtomicU64,
    words: AtomicU64,
    /// The most words in a file so far, and which file that is.
    longest: Versioned<[u64; 2]>,
}

type Plan = (Vec<PathBuf>, Shared<Reading>, Progress, Progress);

/// A worker: reads files until there are none left.
fn read((files, reading, bytes, texts): Plan) {
    loop {
        let n = reading.begun.fetch_add(1, Relaxed);
        let Some(file) = files.get(n as usize) else { return };
        let content = fs::read(file).unwrap_or_default();
        bytes.inc(content.len() as u64);
        if let Ok(text) = str::from_utf8(&content) {
            let words = text.split_whitespace().count() as u64;
            reading.words.fetch_add(words, Relaxed);
            reading.longest.update(|longest| *longest = [words, n].max(*longest));
            texts.inc(1);
        }
        reading.files.fetch_add(1, Relaxed);
    }
}

/// The regular files below a directory, and how many bytes they have.
fn files_below(directory: &Path) -> io::Result<(Vec<PathBuf>, u64)> {
    let (mut files, mut bytes, mut directories) = (Vec::new(), 0, vec![directory.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                bytes += entry.metadata()?.len();
                files.push(entry.path());
            }
        }
    }
    files.sort_unstable();
    Ok((files, bytes))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    commons::init();
    let directory = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    let (files, bytes) = files_below(Path::new(&directory))?;
    let total = files.len() as u64;

    let reading = Shared::new(Reading::default())?;
    let bytes = Progress::new(bytes)?;
    let texts = Progress::new(0)?; // nobody knows how many of the files are texts

    let seen = reading.clone();
    let drawings = [
        commons::draw_as("files", move || {
            let words = seen.words.load(Relaxed);
            ProgressLine::new(seen.files.load(Relaxed), total).message(format!("{words} words"))
        }),
        bytes.draw_as("bytes"),
        texts.draw_as("texts"),
    ];
    let start = |_| commons::spawn((files.clone(), reading.clone(), bytes.clone(), texts.clone()), read);
    let workers = available_parallelism().map_or(1, usize::from);
    for worker in (0..workers).map(start).collect::<commons::Result<Vec<_>>>()? {
        worker.join()?;
    }
    drop(drawings);

    println!("files={} words={}", reading.files.load(Relaxed), reading.words.load(Relaxed));
    let [words, n] = reading.longest.get();
    if let Some(file) = files.get(n as usize) {
        println!("longest={words} {}", file.display());
    }
    Ok(())
}
