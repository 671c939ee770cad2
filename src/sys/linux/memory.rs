//! How much memory this process may still take: what the machine has, what its control group may.
//!
//! Behind both limits the kernel kills instead of refusing, so whoever reserves much looks first.
//! <https://man7.org/linux/man-pages/man5/proc_meminfo.5.html>,
//! <https://docs.kernel.org/admin-guide/cgroup-v2.html>,
//! <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html>.

use std::{fs, path::Path};

/// The names of one version's files.
struct Version {
    root: &'static str,
    limit: &'static str,
    usage: &'static str,
    reclaimable: [&'static str; 2],
}

const V1: Version = Version {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: ["total_active_file", "total_inactive_file"],
};

const V2: Version = Version {
    root: "/sys/fs/cgroup",
    limit: "memory.max",
    usage: "memory.current",
    reclaimable: ["active_file", "inactive_file"],
};

/// Bytes that the machine has for new needs, without killing anybody; `None` without an answer.
pub(crate) fn available() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes = |name: &str| {
        let rest = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    Some((kibibytes("MemAvailable")? + kibibytes("SwapFree").unwrap_or(0)).saturating_mul(1024))
}

/// Bytes until the limit of the group or of one above it; `None` without a limit or without answer.
pub(crate) fn group_headroom() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let (version, group) = own_group(&groups)?;
    let group = Path::new(group.trim_start_matches('/'));
    // A container may show the path of its host, which is not mounted: what can be read counts.
    group.ancestors().filter_map(|group| headroom_of(&version, &Path::new(version.root).join(group))).min()
}

fn own_group(groups: &str) -> Option<(Version, &str)> {
    let mut v2 = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        match (parts.next()?, parts.next()?) {
            ("", path) => v2 = Some((V2, path)),
            (controllers, path) if controllers.split(',').any(|c| c == "memory") => return Some((V1, path)),
            _ => {}
        }
    }
    v2
}

fn headroom_of(version: &Version, group: &Path) -> Option<u64> {
    let number = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
    // "max" is no number, and version 1 says a huge one: both are no limit.
    let limit = number(version.limit).filter(|&limit| limit < 1 << 60)?;
    let used = number(version.usage)?;
    let reclaimable = fs::read_to_string(group.join("memory.stat")).map_or(0, |stat| {
        let fields = stat.lines().filter_map(|line| line.split_once(' '));
        let ours = fields.filter(|(name, _)| version.reclaimable.contains(name));
        ours.filter_map(|(_, bytes)| bytes.parse::<u64>().ok()).sum()
    });
    Some(limit.saturating_sub(used.saturating_sub(reclaimable)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_some_memory_and_not_all() {
        let available = available().unwrap();
        assert!(available > 1 << 20 && available < 1 << 50);
    }

    #[test]
    fn the_memory_controller_of_version_1_goes_before_the_unified_group() {
        let (version, path) = own_group("9:name=systemd:/\n4:cpu,memory:/a/b\n0::/c").unwrap();
        assert_eq!((version.root, path), (V1.root, "/a/b"));
        let (version, path) = own_group("9:name=systemd:/\n0::/c").unwrap();
        assert_eq!((version.root, path), (V2.root, "/c"));
        assert!(own_group("").is_none());
    }
}
