//! How much memory this process may still take: what the machine has, what its control group may.
//!
//! Behind both limits the kernel kills instead of refusing, so whoever reserves much looks first.
//! <https://man7.org/linux/man-pages/man5/proc_meminfo.5.html>,
//! <https://docs.kernel.org/admin-guide/cgroup-v2.html>,
//! <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html>.

use std::{fs, path::Path};

use super::cgroup::{self, Group, Version};

/// The names of one version's files.
struct Names {
    limit: &'static str,
    usage: &'static str,
    reclaimable: [&'static str; 2],
}

const V1: Names = Names {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: ["total_active_file", "total_inactive_file"],
};

const V2: Names =
    Names { limit: "memory.max", usage: "memory.current", reclaimable: ["active_file", "inactive_file"] };

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
    cgroup::groups(Path::new("/"), "memory").iter().filter_map(headroom_of).min()
}

fn headroom_of(group: &Group) -> Option<u64> {
    let names = match group.version {
        Version::V1 => V1,
        Version::V2 => V2,
    };
    let read = |file: &str| fs::read_to_string(group.directory.join(file)).ok();
    let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
    // "max" is no number, and version 1 says a huge one: both are no limit.
    let limit = number(names.limit).filter(|&limit| limit < 1 << 60)?;
    let used = number(names.usage)?;
    let reclaimable = read("memory.stat").map_or(0, |stat| {
        let fields = stat.lines().filter_map(|line| line.split_once(' '));
        let ours = fields.filter(|(name, _)| names.reclaimable.contains(name));
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
}
