//! Counts files, lines, words, bytes and the longest line of every regular file below a directory.
//!
//! `cargo run --release --example census -- [--name NAME] [DIR]`
//!
//! One worker per CPU, one shared structure with a name that other programs can open, one lane in it
//! for each worker. Kill a worker with SIGKILL whenever you like: another one counts the file
//! that it did not finish, and the totals are exact.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, File},
    io::{self, IsTerminal, Read},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    thread::available_parallelism,
    time::Duration,
};

use commons::{Array, AtomicArray, Plain, Process, Shareable, Shared, sync::Versioned};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

const LANES: usize = 256;

/// A file that killed this many workers is not tried again.
const TRIES: u32 = 3;

/// What one worker has counted. It changes once per file, whole or not at all.
#[derive(Clone, Copy, Debug, Default, Plain)]
#[repr(C)]
struct Tally {
    files: u64,
    lines: u64,
    words: u64,
    bytes: u64,
    /// Bytes of the longest line, without its newline.
    longest: u64,
    /// The number of the file that was added last, plus 1.
    last: u64,
}

#[derive(Shareable)]
#[repr(C)]
struct Census {
    lanes: [Versioned<Tally>; LANES],
}

/// The files to count, and who counts which. A file is free, a lane's, or done.
#[derive(Clone, Serialize, Deserialize)]
struct Files {
    /// All paths in a row.
    paths: Array<u8>,
    /// Where in `paths` each one ends.
    ends: Array<u64>,
    state: AtomicArray<u32>,
}

const FREE: u32 = 0;
const DONE: u32 = u32::MAX;

fn of_lane(lane: usize) -> u32 {
    lane as u32 + 1
}

impl Files {
    fn new(paths: &[PathBuf]) -> commons::Result<Self> {
        let bytes: Vec<u8> = paths.iter().flat_map(|path| path.as_os_str().as_bytes()).copied().collect();
        let ends = paths.iter().scan(0, |end, path| {
            *end += path.as_os_str().len() as u64;
            Some(*end)
        });
        Ok(Self {
            paths: Array::from_slice(&bytes)?,
            ends: Array::from_slice(&ends.collect::<Vec<_>>())?,
            state: AtomicArray::new(paths.len())?,
        })
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn path(&self, file: usize) -> commons::Result<PathBuf> {
        let end = |file: usize| self.ends.get(file).map_or(0, |end| end as usize);
        let start = if file == 0 { 0 } else { end(file - 1) };
        let mut path = vec![0; end(file) - start];
        self.paths.read(start, &mut path)?;
        Ok(std::ffi::OsString::from_vec(path).into())
    }
}

/// A worker: takes free files until there are none.
fn work((census, files, lane): (Shared<Census>, Files, usize)) -> Result<(), commons::Failure> {
    let mine = of_lane(lane);
    for file in 0..files.len() {
        if files.state.load(file) != FREE || files.state.compare_exchange(file, FREE, mine).is_err() {
            continue;
        }
        let path = files.path(file)?;
        match count(&path) {
            // Killed before this update, the file is not counted; killed after it, `last` tells.
            Ok(counted) => census.lanes[lane].update(|tally| {
                *tally = tally.and(&counted);
                tally.last = file as u64 + 1;
            }),
            Err(error) => eprintln!("census: {}: {error}", path.display()),
        }
        files.state.store(file, DONE);
    }
    Ok(())
}

fn count(path: &Path) -> io::Result<Tally> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 256 << 10];
    let mut tally = Tally { files: 1, ..Tally::default() };
    let (mut line, mut in_word) = (0, false);
    loop {
        let bytes = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => &buffer[..n],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        tally.bytes += bytes.len() as u64;
        for byte in bytes {
            let space = matches!(byte, b'\t'..=b'\r' | b' ');
            tally.words += u64::from(!space && !in_word);
            in_word = !space;
            line += 1;
            if *byte == b'\n' {
                tally.lines += 1;
                tally.longest = tally.longest.max(line - 1);
                line = 0;
            }
        }
    }
    tally.longest = tally.longest.max(line);
    Ok(tally)
}

impl Tally {
    fn and(&self, other: &Self) -> Self {
        Self {
            files: self.files + other.files,
            lines: self.lines + other.lines,
            words: self.words + other.words,
            bytes: self.bytes + other.bytes,
            longest: self.longest.max(other.longest),
            last: self.last,
        }
    }
}

fn total(census: &Census) -> Tally {
    census.lanes.iter().fold(Tally::default(), |total, lane| total.and(&lane.get()))
}

/// The parent's side: which worker has which lane, and what to do when one dies.
struct Workers<'a> {
    census: &'a Shared<Census>,
    files: &'a Files,
    deaths: HashMap<usize, u32>,
}

type Worker = Process<Result<(), commons::Failure>>;

impl Workers<'_> {
    fn start(&self, lane: usize) -> commons::Result<Worker> {
        commons::spawn((self.census.clone(), self.files.clone(), lane), work)
    }

    /// Gives what a dead worker did not finish to others; whether there is any.
    fn take_back(&mut self, lane: usize) -> commons::Result<bool> {
        let last = self.census.lanes[lane].get().last;
        let mut freed = false;
        for file in (0..self.files.len()).filter(|&file| self.files.state.load(file) == of_lane(lane)) {
            let deaths = self.deaths.entry(file).or_default();
            *deaths += 1;
            let counted = last == file as u64 + 1;
            if !counted && *deaths == TRIES {
                let path = self.files.path(file)?;
                eprintln!("census: {}: not counted, it killed {TRIES} workers", path.display());
            }
            let done = counted || *deaths >= TRIES;
            self.files.state.store(file, if done { DONE } else { FREE });
            freed |= !done;
        }
        Ok(freed)
    }
}

/// Every regular file below `directory`, links not followed, in the order of their paths.
fn regular_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = fs::read_dir(&directory).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let entries = entries.unwrap_or_else(|error| {
            eprintln!("census: {}: {error}", directory.display());
            Vec::new()
        });
        for entry in entries {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                Ok(_) => {}
                Err(error) => eprintln!("census: {}: {error}", entry.path().display()),
            }
        }
    }
    files.sort_unstable();
    files
}

/// `--name NAME` and DIR.
fn arguments() -> Result<(String, PathBuf), String> {
    let (mut name, mut directory) = (None, None);
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == OsStr::new("--name") {
            let value = arguments.next().ok_or("--name needs a name")?;
            name = Some(value.into_string().map_err(|_| "the name is not UTF-8")?);
        } else if argument.as_bytes().starts_with(b"-") || directory.is_some() {
            return Err(format!("unexpected argument {argument:?}; usage: census [--name NAME] [DIR]"));
        } else {
            directory = Some(PathBuf::from(argument));
        }
    }
    let name = name.unwrap_or_else(|| format!("census-{}", std::process::id()));
    Ok((name, directory.unwrap_or_else(|| ".".into())))
}

fn main() -> commons::Result<()> {
    commons::init();
    let (name, directory) = arguments().unwrap_or_else(|complaint| {
        eprintln!("census: {complaint}");
        std::process::exit(2);
    });
    if !directory.is_dir() {
        eprintln!("census: {} is not a directory", directory.display());
        std::process::exit(2);
    }

    let lanes = std::array::from_fn(|_| Versioned::default());
    let census = Shared::create(&name, Census { lanes })?;
    println!("name={name}");
    let files = Files::new(&regular_files(&directory))?;

    let mut workers = Workers { census: &census, files: &files, deaths: HashMap::new() };
    let count = available_parallelism().map_or(1, usize::from).min(LANES);
    let mut running: Vec<(usize, Worker)> =
        (0..count).map(|lane| Ok((lane, workers.start(lane)?))).collect::<commons::Result<_>>()?;
    let pids: Vec<_> = running.iter().map(|(_, worker)| worker.id().to_string()).collect();
    println!("workers={}", pids.join(","));

    let bar = ProgressBar::new(files.len() as u64).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} files, {msg}, {eta} left")
            .expect("a valid template"),
    );
    while let Some((lane, worker)) = running.pop() {
        if worker.wait_timeout(Duration::from_millis(50))?.is_none() {
            let now = total(&census);
            bar.set_position(now.files);
            bar.set_message(HumanBytes(now.bytes).to_string());
            running.insert(0, (lane, worker));
            continue;
        }
        let pid = worker.id();
        match worker.join() {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => eprintln!("census: worker {pid}: {failure}"),
            Err(error) => eprintln!("census: {error}"),
        }
        // After a clean end as well: nothing may be left between two workers.
        if workers.take_back(lane)? {
            running.push((lane, workers.start(lane)?));
        }
    }
    bar.finish_and_clear();

    if !io::stderr().is_terminal() && !workers.deaths.is_empty() {
        eprintln!("census: {} files were begun again after a worker died", workers.deaths.len());
    }
    let Tally { files, lines, words, bytes, longest, .. } = total(&census);
    println!("files={files} lines={lines} words={words} bytes={bytes} longest={longest}");
    Ok(())
}
