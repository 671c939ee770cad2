//! Counts files, lines, words, bytes and the longest line of every regular file below a directory.
//!
//! `cargo run --release --example census -- [--name NAME] [DIR]`
//!
//! One worker per CPU, and one shared structure that other programs can open by its name. Kill a
//! worker with SIGKILL whenever you like: the next one goes on with the file that it did not
//! finish, and the totals are exact.

use std::{
    collections::{HashMap, VecDeque},
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread::available_parallelism,
    time::Duration,
};

use commons::{Array, Plain, Process, Shareable, Shared, sync::Versioned};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

const LANES: usize = 256;

/// A file that has killed so many workers ends the census.
const DEATHS: u32 = 10;

/// What the workers share: other programs may open it and watch.
#[derive(Shareable)]
#[repr(C)]
struct Census {
    tickets: Versioned<Tickets>,
    lanes: [Versioned<Tally>; LANES],
}

/// Who counts which file. Files have the tickets 1, 2, 3 and so on.
#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Tickets {
    last: u64,
    of_lane: [u64; LANES],
}

/// What one lane has counted. It changes once per file, whole or not at all.
#[derive(Clone, Copy, Default, Plain)]
#[repr(C)]
struct Tally {
    files: u64,
    lines: u64,
    words: u64,
    bytes: u64,
    /// Bytes of the longest line, without its newline.
    longest: u64,
    /// The ticket of the file that was added last.
    ticket: u64,
}

impl Tally {
    fn and(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            lines: self.lines + other.lines,
            words: self.words + other.words,
            bytes: self.bytes + other.bytes,
            longest: self.longest.max(other.longest),
            ticket: other.ticket,
        }
    }
}

impl Census {
    fn new() -> Self {
        let tickets = Versioned::new(Tickets { last: 0, of_lane: [0; LANES] });
        Self { tickets, lanes: std::array::from_fn(|_| Versioned::default()) }
    }

    /// The ticket of the file that a lane is to count: the one that a killed worker had, or the next.
    fn ticket(&self, lane: usize) -> u64 {
        let done = self.lanes[lane].get().ticket;
        self.tickets.update(|tickets| {
            if tickets.of_lane[lane] == done {
                tickets.last += 1;
                tickets.of_lane[lane] = tickets.last;
            }
            tickets.of_lane[lane]
        })
    }

    fn total(&self) -> Tally {
        self.lanes.iter().map(Versioned::get).fold(Tally::default(), Tally::and)
    }
}

/// A worker: counts files until there are none left. `paths` ends each with a NUL.
fn work((census, paths, lane): (Shared<Census>, Array<u8>, usize)) {
    let paths = paths.to_vec();
    let paths: Vec<_> = paths.split(|&byte| byte == 0).map(OsStr::from_bytes).collect();
    let files = paths.len() as u64 - 1;
    loop {
        let ticket = census.ticket(lane);
        if ticket > files {
            return;
        }
        let path = Path::new(paths[ticket as usize - 1]);
        let counted = count(path).unwrap_or_else(|error| {
            eprintln!("census: {}: {error}", path.display());
            Tally::default()
        });
        // Killed before this, the file is not counted; killed after it, it is done.
        census.lanes[lane].update(|tally| *tally = tally.and(Tally { ticket, ..counted }));
    }
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
            if *byte == b'\n' {
                tally.lines += 1;
                tally.longest = tally.longest.max(line);
                line = 0;
            } else {
                line += 1;
            }
        }
    }
    tally.longest = tally.longest.max(line);
    Ok(tally)
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

/// Starts the workers, shows how far they are, and starts another one where one dies.
fn run(census: &Shared<Census>, files: &[PathBuf]) -> commons::Result<()> {
    let paths: Vec<u8> =
        files.iter().flat_map(|path| [path.as_os_str().as_bytes(), b"\0"]).flatten().copied().collect();
    let paths = Array::from_slice(&paths)?;
    let start = |lane| -> commons::Result<(usize, Process<()>)> {
        Ok((lane, commons::spawn((census.clone(), paths.clone(), lane), work)?))
    };
    let cpus = available_parallelism().map_or(1, usize::from).min(LANES);
    let mut workers = (0..cpus).map(start).collect::<commons::Result<VecDeque<_>>>()?;
    let pids: Vec<_> = workers.iter().map(|(_, worker)| worker.id().to_string()).collect();
    println!("workers={}", pids.join(","));

    let style = "{bar:40} {pos}/{len} files, {msg}, {eta} left";
    let style = ProgressStyle::with_template(style).expect("a valid template");
    let bar = ProgressBar::new(files.len() as u64).with_style(style);
    let mut deaths: HashMap<u64, u32> = HashMap::new();
    while let Some((lane, worker)) = workers.pop_front() {
        let total = census.total();
        bar.set_position(total.files);
        bar.set_message(HumanBytes(total.bytes).to_string());
        if worker.wait_timeout(Duration::from_millis(50) / cpus as u32)?.is_none() {
            workers.push_back((lane, worker));
        } else if let Err(death) = worker.join() {
            let ticket = census.tickets.get().of_lane[lane];
            let count = deaths.entry(ticket).or_default();
            *count += 1;
            if *count == DEATHS {
                return Err(death.into());
            }
            bar.suspend(|| eprintln!("census: {death}; another one goes on"));
            workers.push_back(start(lane)?);
        }
    }
    bar.finish_and_clear();
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
    let census = Shared::create(&name, Census::new())?;
    println!("name={name}");
    run(&census, &regular_files(&directory))?;
    let Tally { files, lines, words, bytes, longest, .. } = census.total();
    println!("files={files} lines={lines} words={words} bytes={bytes} longest={longest}");
    Ok(())
}
