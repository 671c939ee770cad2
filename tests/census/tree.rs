//! Temporary directories to count, and two other ways to count them.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{CWD, FileType, Mode};

use crate::common::unique;

/// A directory of its own, removed with what is in it.
#[derive(Debug)]
pub(crate) struct Tree(PathBuf);

impl Tree {
    pub(crate) fn new() -> Self {
        let path = env::temp_dir().join(format!("commons-{}", unique("tree")));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Nested directories of text.
    pub(crate) fn of_text() -> Self {
        let tree = Self::new();
        for i in 0..30 {
            let directory = ["", "a", "a/b", "a/b/c/d/e", ".hidden"][i % 5];
            tree.write(Path::new(directory).join(format!("text {i}")), &words(i * 500, i as u64));
        }
        tree.write("a/empty", b"");
        tree.write("a/newline", b"\n");
        tree.write("a/no newline", b"the end");
        tree.write("a/spaces", b" \t\r\n \x0B \x0C ");
        fs::create_dir(tree.path().join("nobody")).unwrap();
        tree
    }

    /// Names, bytes and kinds of files that are rare.
    pub(crate) fn of_oddities() -> Self {
        let tree = Self::new();
        tree.write(OsStr::from_bytes(b"not UTF-8 \xFF\xFE/\xC3\x28"), b"one two\nthree");
        tree.write("new\nline", b"a\n\n\nb\n");
        tree.write("-n", b"options are no names\n");
        tree.write("bytes", &(0..=255).cycle().take(70_000).collect::<Vec<u8>>());
        // Longer than any buffer, with words and lines that lie on every boundary of one.
        tree.write("long line", &b"x".repeat(700_001));
        tree.write("long words", &[b"x".repeat(262_143), b" \n".to_vec(), b"y".repeat(262_145)].concat());
        tree.write("newlines", &b"\n".repeat(300_000));
        tree.write("dir/file", b"in a directory\n");
        symlink("dir", tree.path().join("link to a directory")).unwrap();
        symlink("file", tree.path().join("dir/link to a file")).unwrap();
        symlink("..", tree.path().join("dir/link up")).unwrap();
        symlink("nowhere", tree.path().join("broken link")).unwrap();
        let fifo = tree.path().join("fifo");
        rustix::fs::mknodat(CWD, fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        UnixListener::bind(tree.path().join("socket")).unwrap();
        tree
    }

    /// Long enough to be met in the middle.
    pub(crate) fn of_large_files() -> Self {
        let tree = Self::new();
        let text = words(500_000, 1);
        for i in 0..16 {
            tree.write(format!("large {i}"), &text[i * 13..]);
            tree.write(format!("small/{i}"), &text[..i * 13]);
        }
        tree
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Text of about so many bytes, without a newline at the end.
fn words(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut text = Vec::with_capacity(len + 20);
    while text.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = (state >> 33) as usize;
        text.extend(&b"the quick brown fox jumps over it"[bits % 7..bits % 7 + 1 + bits / 7 % 26]);
        text.extend([&b" "[..], b"\n", b"\t", b"  ", b" \n\n"][bits / 256 % 5]);
    }
    text.extend(b"end");
    text
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match fs::symlink_metadata(&path).unwrap() {
            kind if kind.is_dir() => files_below(&path),
            kind if kind.is_file() => vec![path],
            _ => vec![],
        })
        .collect()
}

/// Files, lines, words, bytes and the longest line, one file after another and as plainly as can be.
pub(crate) fn naive(directory: &Path) -> [u64; 5] {
    let is_space = |byte: &u8| b"\t\n\x0B\x0C\r ".contains(byte);
    files_below(directory).iter().fold([0; 5], |[files, lines, words, bytes, longest], path| {
        let text = fs::read(path).unwrap();
        let line = text.split(|&byte| byte == b'\n').map(<[u8]>::len).max().unwrap_or(0);
        [
            files + 1,
            lines + text.iter().filter(|&&byte| byte == b'\n').count() as u64,
            words + text.split(is_space).filter(|word| !word.is_empty()).count() as u64,
            bytes + text.len() as u64,
            longest.max(line as u64),
        ]
    })
}

/// Lines, words and bytes, as `wc` counts them.
pub(crate) fn wc(directory: &Path) -> [u64; 3] {
    let wc = Command::new("wc").env("LC_ALL", "C").arg("--").args(files_below(directory)).output().unwrap();
    let said = String::from_utf8_lossy(&wc.stdout);
    let mut numbers =
        said.lines().last().unwrap().split_whitespace().map(|number| number.parse().unwrap_or(0));
    [(); 3].map(|()| numbers.next().unwrap())
}
