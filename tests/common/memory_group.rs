//! A memory control group with a small limit, in which the kernel kills who takes more.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use super::eventually;

const LIMIT: &str = "33554432";

/// Goes with its end; nobody may be in it then.
#[derive(Debug)]
pub struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// One below the group of this process or, where that may have none, at the top. Else the error says
    /// what was tried.
    pub fn new(what: &str) -> Result<Self, String> {
        let mut tried = Vec::new();
        for parent in parents() {
            let directory = parent.join(format!("commons-test-{}-{what}", process::id()));
            match make(&directory) {
                Ok(()) => return Ok(Self(directory)),
                Err(why) => tried.push(format!("{}: {why}", directory.display())),
            }
        }
        Err(format!("no memory group can be made here; tried {tried:?}"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let remove = || fs::remove_dir(&self.0).is_ok();
        if !(remove() || std::thread::panicking()) {
            eventually("nobody is in the group", remove);
        }
    }
}

/// Puts a process into the group.
pub fn enter(group: &Path, process: u32) {
    fs::write(group.join("cgroup.procs"), process.to_string()).unwrap();
}

/// Takes memory without end.
pub fn exhaust() -> ! {
    let mut taken = Vec::new();
    while taken.len() < 1 << 12 {
        taken.push(std::hint::black_box(vec![1u8; 1 << 20]));
    }
    panic!("the group has no limit below 4 GiB");
}

/// The group of this process and the top one, in each hierarchy that may limit memory.
fn parents() -> Vec<PathBuf> {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let mut parents = Vec::new();
    for mount in read("/proc/self/mountinfo").lines() {
        let Some((place, kind)) = mount.split_once(" - ") else { continue };
        let point = PathBuf::from(place.split(' ').nth(4).unwrap_or_default());
        let groups = read("/proc/self/cgroup");
        let own = groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let is_it = match controllers {
                "" => kind.starts_with("cgroup2 "),
                _ => controllers == "memory" && kind.starts_with("cgroup ") && kind.ends_with("memory"),
            };
            is_it.then(|| path.trim_start_matches('/').to_owned())
        });
        if let Some(own) = own {
            parents.extend([point.join(own), point]);
        }
    }
    parents
}

fn make(directory: &Path) -> Result<(), String> {
    fs::create_dir(directory).map_err(|error| error.to_string())?;
    // Where there is no swap there is no such file.
    let _ = fs::write(directory.join("memory.swap.max"), "0");
    let limit = |file| fs::write(directory.join(file), LIMIT);
    limit("memory.max").or_else(|_| limit("memory.limit_in_bytes")).map_err(|error| {
        let _ = fs::remove_dir(directory);
        error.to_string()
    })
}
