//! Where the kernel shows the control group of this process, and the groups above it.
//!
//! A limit of any of them holds for this process. `/proc/self/cgroup` has the group's path in each
//! hierarchy, `/proc/self/mountinfo` where that hierarchy, or a part of it, is mounted.
//! <https://man7.org/linux/man-pages/man7/cgroups.7.html>,
//! <https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html>.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Component, Path, PathBuf},
};

/// Which names the files of a group have. A machine may have hierarchies of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// The directory of one group; it need not exist.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) version: Version,
    pub(crate) directory: PathBuf,
}

/// The groups that may limit what `controller` gives to this process, from its own upwards.
///
/// All paths, those inside the kernel's files too, are taken below `root`.
pub(crate) fn groups(root: &Path, controller: &str) -> Vec<Group> {
    let lines = |file: &str| fs::read(root.join(file)).unwrap_or_default();
    let (memberships, mounts) = (lines("proc/self/cgroup"), lines("proc/self/mountinfo"));
    let mounts: Vec<_> = split(&mounts, b'\n').filter_map(|line| Mount::parse(line, controller)).collect();
    let mut groups = Vec::new();
    for (version, path) in split(&memberships, b'\n').filter_map(|line| membership(line, controller)) {
        for (index, mount) in mounts.iter().enumerate() {
            let hidden = mounts[index + 1..].iter().any(|later| later.point == mount.point);
            if hidden || mount.version != version {
                continue;
            }
            let point = root.join(mount.point.strip_prefix("/").unwrap_or(&mount.point));
            let below = mount.below(path).into_iter().flat_map(Path::ancestors);
            groups.extend(below.map(|below| Group { version, directory: point.join(below) }));
        }
    }
    groups
}

fn split(bytes: &[u8], at: u8) -> impl Iterator<Item = &[u8]> {
    bytes.split(move |&byte| byte == at)
}

/// A line `number:controllers:path`. Version 2 names no controllers, for any may be in it.
fn membership<'a>(line: &'a [u8], controller: &str) -> Option<(Version, &'a Path)> {
    let mut fields = line.splitn(3, |&byte| byte == b':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let version = match controllers {
        b"" => Version::V2,
        _ if split(controllers, b',').any(|name| name == controller.as_bytes()) => Version::V1,
        _ => return None,
    };
    Some((version, Path::new(OsStr::from_bytes(path))))
}

/// A hierarchy, or the part of it below `root`, at a place in the file system.
struct Mount {
    version: Version,
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// A line `id parent device root point options [optional]… - type source options`.
    fn parse(line: &[u8], controller: &str) -> Option<Self> {
        let mut fields = split(line, b' ');
        let (root, point) = (unescaped(fields.nth(3)?), unescaped(fields.next()?));
        fields.find(|&field| field == b"-")?;
        let (kind, options) = (fields.next()?, fields.nth(1)?);
        let version = match kind {
            b"cgroup2" => Version::V2,
            b"cgroup" if split(options, b',').any(|name| name == controller.as_bytes()) => Version::V1,
            _ => return None,
        };
        Some(Self { version, root, point })
    }

    /// The path from this mount's point to the nearest group, of `group` and those above it, that
    /// it is known to show.
    fn below<'a>(&self, group: &'a Path) -> Option<&'a Path> {
        // In a namespace of groups, `/..` is the group above the namespace's own.
        let steps_up = |path: &Path| path.components().filter(|&c| c == Component::ParentDir).count();
        if let Some(below) = group.strip_prefix(&self.root).ok().filter(|below| steps_up(below) == 0) {
            return Some(below);
        }
        // What is mounted lies above the group; by which way down, the namespace does not tell.
        let only_up = self.root.components().skip(1).all(|c| c == Component::ParentDir);
        (only_up && steps_up(&self.root) > steps_up(group)).then_some(Path::new(""))
    }
}

/// A path whose blanks and backslashes the kernel has written as `\` and three octal digits.
fn unescaped(mut field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    while let [first, rest @ ..] = field {
        let byte;
        (byte, field) = match field {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), rest)
            }
            _ => (*first, rest),
        };
        path.push(byte);
    }
    PathBuf::from(OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below<'a>(root: &str, group: &'a str) -> Option<&'a str> {
        let line = format!("31 23 0:28 {root} /mnt ro shared:1 master:2 - cgroup2 none rw");
        let mount = Mount::parse(line.as_bytes(), "cpu").unwrap();
        mount.below(Path::new(group)).map(|path| path.to_str().unwrap())
    }

    #[test]
    fn a_mount_shows_its_group_and_those_in_it() {
        assert_eq!(below("/", "/"), Some(""));
        assert_eq!(below("/", "/a/b"), Some("a/b"));
        assert_eq!(below("/a", "/a/b"), Some("b"));
        assert_eq!(below("/a/b", "/a/b"), Some(""));
        assert_eq!(below("/a", "/ab"), None);
        assert_eq!(below("/a/b", "/a"), None);
    }

    #[test]
    fn a_namespace_tells_only_steps_up() {
        assert_eq!(below("/", "/../a"), None, "outside of what is mounted");
        assert_eq!(below("/..", "/../a"), Some("a"));
        assert_eq!(below("/..", "/../../a"), None);
        assert_eq!(below("/..", "/"), Some(""), "mounted before the namespace: above its groups");
        assert_eq!(below("/../..", "/../a"), Some(""));
        assert_eq!(below("/../a", "/"), None, "a neighbour");
    }

    #[test]
    fn a_membership_is_of_one_version() {
        let of = |line: &'static str| membership(line.as_bytes(), "cpu");
        assert_eq!(of("4:cpuacct,cpu:/a"), Some((Version::V1, Path::new("/a"))));
        assert_eq!(of("0::/a:b"), Some((Version::V2, Path::new("/a:b"))));
        assert_eq!(of("4:cpuset:/a"), None);
        assert_eq!(of("4:name=cpu:/a"), None);
        assert_eq!(of("4"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn lines_that_are_no_mount_of_a_group_are_passed_over() {
        let of = |line: &str| Mount::parse(line.as_bytes(), "cpu").map(|mount| mount.version);
        assert_eq!(of("1 2 0:3 / /c rw - cgroup cgroup rw,cpuacct,cpu"), Some(Version::V1));
        assert_eq!(of("1 2 0:3 / /c rw - cgroup cgroup rw,cpuset"), None);
        assert_eq!(of("1 2 0:3 / /c rw - tmpfs tmpfs rw,cpu"), None);
        assert_eq!(of("1 2 0:3 / /c rw cgroup cgroup rw,cpu"), None);
        assert_eq!(of("1 2 0:3 / /c rw - cgroup"), None);
        assert_eq!(of("1 2"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn what_the_kernel_escapes_is_read_back() {
        assert_eq!(unescaped(br"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescaped(br"/a\04"), Path::new(r"/a\04"));
        assert_eq!(unescaped(br"/\999\"), Path::new(r"/\999\"));
        assert_eq!(unescaped(b"/\xff\\303").as_os_str().as_bytes(), b"/\xff\xc3");
    }
}
