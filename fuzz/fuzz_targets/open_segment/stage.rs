//! One file under the name of a segment, in use by somebody else.
//!
//! A second open file description shares the byte `IN_USE`, so that an opener finds an object in use
//! and no leftover, and has a slot, so that one row may name a living process. The file keeps its
//! inode: writing it anew is cheaper than making it anew.

use std::{
    fs::{self, File},
    ops::Range,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Mutex,
};

use super::uses::Payload;

/// The lock bytes, as `docs/format.md` has them.
const IN_USE: i64 = 1 << 62;
const SLOT_OF_A_PEER: i64 = IN_USE + 1024 + 5;

/// The parts of a file that no opener changes lie outside the attachment table and the payload.
const TABLE: Range<usize> = 256..6400;
const PAYLOAD_OFFSET: usize = 88;
const PAYLOAD_LEN: usize = 96;

/// As much of a file as is looked at; the rest is a hole.
const LOOKED_AT: u64 = 1 << 16;

pub struct Stage {
    name: String,
    path: PathBuf,
    file: File,
    /// What the file should hold, for [`Stage::check`], and where its payload was at first: whoever
    /// attached then keeps to that.
    expected: Mutex<(Vec<u8>, Range<usize>)>,
}

impl Stage {
    /// An empty file under this name, in use before anybody can find it.
    pub fn new(name: &str) -> Self {
        let path = path_of(name);
        let before = path.with_file_name(format!("before.{name}"));
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&before);
        let file = file.expect("a new file in the directory of segments");
        lock(&file, IN_USE, libc::F_RDLCK);
        lock(&file, SLOT_OF_A_PEER, libc::F_WRLCK);
        fs::rename(before, &path).expect("a name for the file");
        Self { name: name.to_owned(), path, file, expected: Mutex::new((Vec::new(), 0..0)) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the file these bytes, and `len` bytes long.
    pub fn set(&self, bytes: &[u8], len: u64) {
        let bytes = &bytes[..bytes.len().min(usize::try_from(len).unwrap_or(usize::MAX))];
        self.file.set_len(0).expect("an empty file");
        self.file.write_all_at(bytes, 0).expect("memory for a small file");
        self.file.set_len(len).expect("a file with a hole");
        *self.expected.lock().unwrap() = (bytes.to_vec(), payload_of(bytes, len));
    }

    /// Overwrites bytes as a hostile process does, never making the file longer.
    pub fn scribble(&self, at: usize, bytes: &[u8]) {
        let expected = &mut self.expected.lock().unwrap().0;
        let room = expected.len().saturating_sub(at).min(bytes.len());
        if room != 0 {
            self.file.write_all_at(&bytes[..room], at as u64).expect("bytes that are there");
            expected[at..at + room].copy_from_slice(&bytes[..room]);
        }
    }

    /// The payload, as far as it is in the file; where it is, the header said when the file was set.
    pub fn payload(&self) -> Payload {
        let (bytes, payload) = (self.read(), self.expected.lock().unwrap().1.clone());
        Payload(bytes[payload.start.min(bytes.len())..payload.end.min(bytes.len())].to_vec())
    }

    /// Nobody is attached: the header, overwritten meanwhile, says anew where the payload is.
    pub fn look_again(&self) {
        let expected = &mut *self.expected.lock().unwrap();
        let len = self.file.metadata().expect("facts of an open file").len();
        expected.1 = payload_of(&expected.0, len);
    }

    /// Panics if an opener wrote where it may not, or made the file longer or shorter, or took it away.
    pub fn check(&self) {
        let found = self.read();
        let (mut expected, first_payload) = self.expected.lock().unwrap().clone();
        let payload = payload_of(&expected, LOOKED_AT);
        expected.resize(found.len(), 0);
        for theirs in [TABLE, first_payload, payload] {
            let theirs = theirs.start.min(found.len())..theirs.end.min(found.len());
            expected[theirs.clone()].copy_from_slice(&found[theirs]);
        }
        if let Some(at) = (found != expected).then(|| found.iter().zip(&expected).position(|(a, b)| a != b)) {
            panic!("byte {at:?} was changed, which is neither in the table nor in the payload");
        }
        let named = fs::symlink_metadata(&self.path).map(|named| named.ino());
        let inode = self.file.metadata().expect("facts of an open file").ino();
        assert_eq!(named.ok(), Some(inode), "the name was taken away from an object in use");
    }

    fn read(&self) -> Vec<u8> {
        let len = self.file.metadata().expect("facts of an open file").len().min(LOOKED_AT);
        let mut bytes = vec![0; usize::try_from(len).expect("a small number")];
        self.file.read_exact_at(&mut bytes, 0).expect("bytes that are there");
        bytes
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Where the header says that the payload is, cut to the `len` bytes that there are.
fn payload_of(bytes: &[u8], len: u64) -> Range<usize> {
    let number =
        |at: usize| bytes.get(at..at + 8).map_or(0, |bytes| u64::from_ne_bytes(bytes.try_into().unwrap()));
    let (start, payload_len) = (number(PAYLOAD_OFFSET).min(len), number(PAYLOAD_LEN));
    let end = start.saturating_add(payload_len).min(len);
    start as usize..end as usize
}

/// The file of a name.
pub fn path_of(name: &str) -> PathBuf {
    // SAFETY: takes nothing and returns a number.
    let user = unsafe { libc::geteuid() };
    directory().join(format!("commons.{user}.{name}"))
}

/// Where segments are.
fn directory() -> PathBuf {
    let other = std::env::var_os("COMMONS_DIR").filter(|directory| !directory.is_empty());
    other.map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from)
}

/// Gives this process a directory of its own for segments, which goes when it exits.
///
/// A process that crashes leaves its directory, and the next one removes it.
#[allow(dead_code, reason = "the tests use the directory of everybody")]
pub fn own_directory() {
    const PREFIX: &str = "commons-fuzz.";
    let parent = Path::new("/dev/shm");
    for entry in fs::read_dir(parent).expect("the directory of shared memory").flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let own = parent.join(format!("{PREFIX}{}", std::process::id()));
    fs::create_dir(&own).expect("a directory of its own");
    // SAFETY: this is the only thread yet.
    unsafe { std::env::set_var("COMMONS_DIR", own) };

    extern "C" fn remove() {
        let _ = fs::remove_dir_all(directory());
    }
    // SAFETY: the function takes nothing and needs nothing that is gone by then.
    unsafe { libc::atexit(remove) };
}

/// Locks a byte of an open file description, as another process would.
fn lock(file: &File, byte: i64, kind: libc::c_int) {
    let request = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: reads one `flock`, which lives until the call returns.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const request) };
    assert_eq!(answer, 0, "nobody else knows the file");
}
