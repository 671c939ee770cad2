//! Three stages of processes over queues: read files, count their words, merge the counts.
//!
//! `cargo run --release --example pipeline -- [DIR] [--top N]` prints the most frequent words of the
//! text files below DIR. Counters lease their files: kill one, and another counts what it had.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    process::exit,
    thread::available_parallelism,
};

use commons::{Error, Queue, RecvError};

/// Words and how often they occur.
type Counts = HashMap<String, u64>;

/// A text on its way: which file it is and what is in it.
type Text = (PathBuf, String);

/// What a counter makes of a text. A text that is counted twice, by one who died then and by another,
/// is merged once.
type Counted = (PathBuf, Counts);

/// First stage: sends the texts below a directory, and closes the queue.
fn read((directory, texts): (PathBuf, Queue<Text>)) -> Result<u64, Error> {
    let mut files = 0;
    let mut directories = vec![directory];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let Ok(kind) = path.symlink_metadata() else { continue };
            if kind.is_dir() {
                directories.push(path);
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(&path)
            {
                texts.send(&(path, text))?;
                files += 1;
            }
        }
    }
    texts.close();
    Ok(files)
}

/// Second stage, one for each CPU: counts the words of one text after the other.
fn count((texts, counts): (Queue<Text>, Queue<Counted>)) -> Result<(), Error> {
    loop {
        let lease = match texts.lease() {
            Err(RecvError::Closed) => return Ok(()),
            lease => lease?,
        };
        let (path, text) = &*lease;
        let mut words = Counts::new();
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            *words.entry(word.to_lowercase()).or_default() += 1;
        }
        counts.send(&(path.clone(), words))?;
        lease.done()?;
    }
}

/// Third stage: merges the counts of all texts.
fn merge(counts: Queue<Counted>) -> Result<(usize, Counts), Error> {
    let mut texts = HashMap::<PathBuf, Counts>::new();
    for counted in &counts {
        let (path, words) = counted?;
        texts.insert(path, words);
    }
    let files = texts.len();
    let mut total = Counts::new();
    for (word, n) in texts.into_values().flatten() {
        *total.entry(word).or_default() += n;
    }
    Ok((files, total))
}

fn usage() -> ! {
    eprintln!("usage: pipeline [DIR] [--top N]");
    exit(2)
}

fn main() -> Result<(), Error> {
    commons::init();
    let (mut directory, mut top) = (Path::new(".").to_owned(), 10);
    let mut words = env::args_os().skip(1);
    while let Some(word) = words.next() {
        if word == "--top" {
            let number = words.next().and_then(|number| number.to_str()?.parse().ok());
            top = number.unwrap_or_else(|| usage());
        } else if word.to_string_lossy().starts_with('-') {
            usage();
        } else {
            directory = word.into();
        }
    }

    let texts = Queue::bounded(64)?;
    let counts = Queue::bounded(64)?;
    let reader = commons::spawn((directory, texts.clone()), read)?;
    let counters = (0..available_parallelism().map_or(1, usize::from))
        .map(|_| commons::spawn((texts.clone(), counts.clone()), count))
        .collect::<Result<Vec<_>, _>>()?;
    let merger = commons::spawn(counts.clone(), merge)?;

    let sent = reader.join()??;
    for counter in counters {
        // What a counter had that was killed, another one has counted.
        if let Err(failure) = counter.join().map_err(Error::from).and_then(|counted| counted) {
            eprintln!("a counter has ended early: {failure}");
        }
    }
    counts.close();
    let (files, total) = merger.join()??;

    let mut ranking: Vec<_> = total.iter().collect();
    ranking.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (word, n) in ranking.into_iter().take(top) {
        println!("{n:>9} {word}");
    }
    println!("texts={files} sent={sent} words={} different={}", total.values().sum::<u64>(), total.len());
    Ok(())
}
