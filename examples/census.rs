//! Counts files, lines, words, bytes and the longest line of every regular file below a directory.
//!
//! `cargo run --release --example census -- [--name NAME] [DIR]`
//!
//! One worker per CPU, and one shared structure that other programs can open by its name. Kill a worker
//! whenever you like (`pkill -KILL -n census`): another one counts its file anew, and the totals are exact.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use commons::{Parallel, Plain, ProgressLine, Shareable, Shared, sync::Versioned};

/// A file that has killed so many workers and one more ends the census.
const RETRIES: u32 = 9;

/// What all know: other programs may open it and watch.
#[derive(Default, Shareable)]
#[repr(C)]
struct Census {
    /// How often a worker has begun a file.
    begun: AtomicU64,
    /// It changes once per file, whole or not at all.
    total: Versioned<Tally>,
}

#[derive(Clone, Copy, Default, Plain)]
#[repr(C)]
struct Tally {
    files: u64,
    lines: u64,
    words: u64,
    bytes: u64,
    /// Bytes of the longest line, without its newline.
    longest: u64,
}

impl Tally {
    fn add(&mut self, [lines, words, bytes, longest]: [u64; 4]) {
        self.files += 1;
        self.lines += lines;
        self.words += words;
        self.bytes += bytes;
        self.longest = self.longest.max(longest);
    }
}

/// Lines, words, bytes and the longest line of a file.
fn count(path: &Path) -> io::Result<[u64; 4]> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 256 << 10];
    let [mut lines, mut words, mut bytes, mut longest] = [0; 4];
    let (mut line, mut in_word) = (0, false);
    loop {
        let text = match file.read(&mut buffer) {
            Ok(0) => return Ok([lines, words, bytes, longest.max(line)]),
            Ok(n) => &buffer[..n],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        bytes += text.len() as u64;
        for byte in text {
            let space = matches!(byte, b'\t'..=b'\r' | b' ');
            words += u64::from(!space && !in_word);
            in_word = !space;
            if *byte == b'\n' {
                lines += 1;
                longest = longest.max(line);
                line = 0;
            } else {
                line += 1;
            }
        }
    }
}

/// Every regular file below `directory`, links not followed, in the order of their paths.
fn regular_files(directory: &Path) -> Vec<PathBuf> {
    let (mut files, mut directories) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = directories.pop() {
        let complain = |error| eprintln!("census: {}: {error}", directory.display());
        let entries = fs::read_dir(&directory).map_err(complain).into_iter().flatten();
        for entry in entries.filter_map(|entry| entry.map_err(complain).ok()) {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                Ok(_) => {}
                Err(error) => complain(error),
            }
        }
    }
    files.sort_unstable();
    files
}

/// Has workers count, and adds up here what comes: each file once, whoever is killed.
fn run(census: &Shared<Census>, files: Vec<PathBuf>) -> commons::Result<()> {
    let all = files.len() as u64;
    let counted = Parallel::new()
        .retries(RETRIES)
        .progress_of(census, move |census| {
            let total = census.total.get();
            ProgressLine::new(total.files, all).message(format!("{} MB", total.bytes / 1_000_000))
        })
        .with(census.clone())
        .map_unordered(files.into_iter().map(OsString::from), |census, file| {
            census.begun.fetch_add(1, Relaxed);
            count(file.as_ref()).map_err(|error| format!("{}: {error}", file.display()))
        });
    let mut complaints = Vec::new();
    for outcome in counted {
        match outcome? {
            Ok(numbers) => census.total.update(|total| total.add(numbers)),
            Err(complaint) => complaints.push(complaint),
        }
    }
    complaints.iter().for_each(|complaint| eprintln!("census: {complaint}"));
    match census.begun.load(Relaxed) - all {
        0 => {}
        again => eprintln!("census: files begun again, because their workers were killed: {again}"),
    }
    Ok(())
}

/// `--name NAME` and DIR.
fn arguments() -> Result<(String, PathBuf), String> {
    let (mut name, mut directory) = (None, None);
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--name" && name.is_none() {
            let value = arguments.next().ok_or("--name needs a name")?;
            name = Some(value.into_string().map_err(|name| format!("the name {name:?} is not UTF-8"))?);
        } else if argument.as_bytes().starts_with(b"-") || directory.is_some() {
            return Err(format!("unexpected argument {argument:?}"));
        } else {
            directory = Some(PathBuf::from(argument));
        }
    }
    let (name, directory) = (
        name.unwrap_or_else(|| format!("census-{}", std::process::id())),
        directory.unwrap_or_else(|| ".".into()),
    );
    if directory.is_dir() { Ok((name, directory)) } else { Err(format!("{directory:?} is not a directory")) }
}

fn main() -> commons::Result<()> {
    commons::init();
    let (name, directory) = arguments().unwrap_or_else(|complaint| {
        eprintln!("census: {complaint}\nusage: census [--name NAME] [DIR]");
        std::process::exit(2);
    });
    let census = Shared::create(&name, Census::default())?;
    println!("name={name}");
    run(&census, regular_files(&directory))?;
    let Tally { files, lines, words, bytes, longest } = census.total.get();
    println!("files={files} lines={lines} words={words} bytes={bytes} longest={longest}");
    Ok(())
}
