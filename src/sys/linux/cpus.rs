//! Which CPUs there are, on which of them this thread may run, and how much of them its control
//! group may use.
//!
//! `int sched_getaffinity(pid_t pid, size_t cpusetsize, cpu_set_t *mask)`,
//! <https://man7.org/linux/man-pages/man2/sched_setaffinity.2.html>,
//! <https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files>,
//! <https://docs.kernel.org/scheduler/sched-bwc.html>.

use std::{
    cmp::Ordering,
    fs,
    path::{Path, PathBuf},
};

use rustix::thread::sched_getaffinity;

use super::cgroup::{self, Group, Version};

/// The list of the CPUs that run, below the root.
pub(crate) const ONLINE: &str = "sys/devices/system/cpu/online";

/// CPUs that run now; `None` without an answer.
pub(crate) fn online(root: &Path) -> Option<usize> {
    count(&fs::read_to_string(root.join(ONLINE)).ok()?)
}

/// CPUs on which the calling thread may run; `None` without an answer.
pub(crate) fn affinity(root: &Path) -> Option<usize> {
    // The call fails where there may be more CPUs than its fixed mask has bits for.
    let mask = sched_getaffinity(None).ok().map(|mask| mask.count() as usize).filter(|&count| count > 0);
    mask.or_else(|| allowed(root))
}

fn allowed(root: &Path) -> Option<usize> {
    let status = fs::read_to_string(root.join("proc/thread-self/status")).ok()?;
    count(status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?)
}

/// How many CPUs a list like `0-3,8` names.
fn count(list: &str) -> Option<usize> {
    list.trim().split(',').try_fold(0usize, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

/// What a control group may use: `micros` of CPU time in each `period` of microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) file: PathBuf,
    pub(crate) micros: u64,
    pub(crate) period: u64,
}

/// The least quota of the groups of this process; `None` without a quota or without an answer.
pub(crate) fn quota(root: &Path) -> Option<Quota> {
    let quotas = cgroup::groups(root, "cpu");
    quotas.iter().filter_map(Quota::of).min_by(Quota::compare)
}

impl Quota {
    fn of(group: &Group) -> Option<Self> {
        let read = |name: &str| {
            let file = group.directory.join(name);
            Some((fs::read_to_string(&file).ok()?, file))
        };
        let (file, micros, period) = match group.version {
            Version::V1 => {
                let ((micros, file), (period, _)) = (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?);
                (file, micros, period)
            }
            Version::V2 => {
                let (both, file) = read("cpu.max")?;
                let (micros, period) = both.trim().split_once(' ')?;
                (file, micros.to_owned(), period.to_owned())
            }
        };
        // "max" and -1 are no such number: no limit.
        let number = |text: String| text.trim().parse().ok().filter(|&number| number > 0);
        Some(Self { file, micros: number(micros)?, period: number(period)? })
    }

    /// The CPUs that can use it up: of one and a half, the second one's half would be lost.
    pub(crate) fn cpus(&self) -> usize {
        usize::try_from(self.micros.div_ceil(self.period)).unwrap_or(usize::MAX)
    }

    fn compare(&self, other: &Self) -> Ordering {
        let product = |micros: u64, period: u64| u128::from(micros) * u128::from(period);
        product(self.micros, other.period).cmp(&product(other.micros, self.period))
    }
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    const V1: &str = "30 20 0:29 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";
    const V2: &str = "31 20 0:28 / /cg/two rw - cgroup2 cgroup2 rw\n";

    /// A made-up root, removed at the end.
    struct Tree(PathBuf);

    impl Tree {
        fn new(test: &str, memberships: &str, mounts: &str) -> Self {
            let root = std::env::temp_dir().join(format!("commons-cpus-{}-{test}", process::id()));
            let tree = Self(root);
            tree.file("proc/self/cgroup", memberships).file("proc/self/mountinfo", mounts);
            tree
        }

        fn file(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }

        fn v1(&self, group: &str, micros: &str, period: &str) -> &Self {
            self.file(&format!("{group}/cpu.cfs_quota_us"), micros);
            self.file(&format!("{group}/cpu.cfs_period_us"), period)
        }

        /// The CPUs and the file that says so.
        fn quota(&self) -> Option<(usize, String)> {
            let quota = quota(&self.0)?;
            let file = quota.file.strip_prefix(&self.0).unwrap();
            Some((quota.cpus(), file.to_str().unwrap().to_owned()))
        }

        fn cpus(&self) -> Option<usize> {
            Some(self.quota()?.0)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn said(cpus: usize, file: &str) -> Option<(usize, String)> {
        Some((cpus, file.to_owned()))
    }

    #[test]
    fn version_2_has_both_numbers_in_one_file_and_a_part_counts_whole() {
        let tree = Tree::new("v2", "0::/a/b\n", V2);
        assert_eq!(tree.quota(), None);
        for (text, cpus) in [
            ("200000 100000\n", Some(2)),
            ("200001 100000\n", Some(3)),
            ("1000 100000\n", Some(1)),
            ("18446744073709551615 1\n", Some(usize::MAX)),
            ("max 100000\n", None),
        ] {
            assert_eq!(tree.file("cg/two/a/b/cpu.max", text).cpus(), cpus, "{text}");
        }
    }

    #[test]
    fn version_1_has_two_files() {
        let tree = Tree::new("v1", "5:cpu,cpuacct:/a\n4:memory:/other\n", V1);
        assert_eq!(tree.quota(), None);
        tree.v1("cg/cpu", "-1\n", "100000\n").v1("cg/cpu/a", "250000\n", "100000\n");
        assert_eq!(tree.quota(), said(3, "cg/cpu/a/cpu.cfs_quota_us"));
        assert_eq!(tree.v1("cg/cpu/a", "-1\n", "100000\n").quota(), None);
        fs::remove_file(tree.0.join("cg/cpu/a/cpu.cfs_period_us")).unwrap();
        assert_eq!(tree.file("cg/cpu/a/cpu.cfs_quota_us", "100000\n").quota(), None);
    }

    #[test]
    fn the_least_of_both_versions_holds() {
        let tree = Tree::new("hybrid", "5:cpu,cpuacct:/a\n1:name=systemd:/a\n0::/b\n", &(V1.to_owned() + V2));
        tree.v1("cg/cpu/a", "400000\n", "100000\n");
        assert_eq!(tree.quota(), said(4, "cg/cpu/a/cpu.cfs_quota_us"));
        tree.file("cg/two/b/cpu.max", "300000 100000\n");
        assert_eq!(tree.quota(), said(3, "cg/two/b/cpu.max"));
        tree.v1("cg/cpu", "200000\n", "100000\n");
        assert_eq!(tree.quota(), said(2, "cg/cpu/cpu.cfs_quota_us"));
    }

    #[test]
    fn a_group_above_limits_too_and_one_beside_does_not() {
        let tree = Tree::new("nested", "0::/a/b/c\n", V2);
        tree.file("cg/two/a/b/c/cpu.max", "600000 100000\n").file("cg/two/a/x/cpu.max", "100000 100000\n");
        tree.file("cg/two/x/cpu.max", "100000 100000\n").file("cg/cpu.max", "100000 100000\n");
        assert_eq!(tree.quota(), said(6, "cg/two/a/b/c/cpu.max"));
        // The group between has no file, as if its parent had not enabled the controller.
        tree.file("cg/two/a/cpu.max", "500000 100000\n");
        assert_eq!(tree.quota(), said(5, "cg/two/a/cpu.max"));
        tree.file("cg/two/cpu.max", "40000 10000\n");
        assert_eq!(tree.quota(), said(4, "cg/two/cpu.max"));
        tree.file("cg/two/a/b/cpu.max", "400000 100000\n");
        assert_eq!(tree.quota(), said(4, "cg/two/a/b/cpu.max"), "of equal ones the nearest");
        tree.file("cg/two/a/cpu.max", "390000 100000\n");
        assert_eq!(tree.quota(), said(4, "cg/two/a/cpu.max"), "of those that round to as many the least");
    }

    #[test]
    fn a_mount_may_begin_inside_the_hierarchy_and_have_blanks_in_its_path() {
        let mounts = r"31 20 0:28 /pod\040one /my\040cg ro - cgroup2 none rw";
        let tree = Tree::new("inside", "0::/pod one/job", mounts);
        tree.file("my cg/job/cpu.max", "300000 100000").file("my cg/cpu.max", "200000 100000");
        assert_eq!(tree.quota(), said(2, "my cg/cpu.max"));
    }

    #[test]
    fn a_part_that_is_mounted_elsewhere_is_not_ours_and_a_covered_mount_is_not_seen() {
        let mounts = "1 0 0:28 / /cg rw - cgroup2 none rw\n\
                      2 0 0:28 /other /else rw - cgroup2 none rw\n\
                      3 0 0:28 /a /cg rw - cgroup2 none rw\n";
        let tree = Tree::new("parts", "0::/a/b\n", mounts);
        tree.file("else/cpu.max", "100000 100000").file("cg/a/b/cpu.max", "100000 100000");
        assert_eq!(tree.quota(), None);
        assert_eq!(tree.file("cg/b/cpu.max", "300000 100000").quota(), said(3, "cg/b/cpu.max"));
    }

    #[test]
    fn what_is_malformed_is_no_limit() {
        let tree = Tree::new("malformed", "0::/a\n", V2);
        for text in ["", "\n", "1", "1 ", " 1", "x 100000", "100000 x", "100000 0", "0 100000", "-1 100000"] {
            assert_eq!(tree.file("cg/two/a/cpu.max", text).quota(), None, "{text:?}");
        }
        assert_eq!(tree.file("cg/two/a/cpu.max", b"\xff \xfe").quota(), None);
        assert_eq!(tree.file("cg/two/cpu.max", "100000 100000").cpus(), Some(1), "the others count");
        for (memberships, mounts) in [("", V2), ("0::/a", ""), ("0:", "31 20"), ("\0:\0:\0", "- - - - -")] {
            tree.file("proc/self/cgroup", memberships).file("proc/self/mountinfo", mounts);
            assert_eq!(tree.quota(), None, "{memberships:?} {mounts:?}");
        }
        fs::remove_dir_all(tree.0.join("proc")).unwrap();
        assert_eq!(tree.quota(), None);
    }

    #[test]
    fn lists_of_cpus_are_counted() {
        let lists = [("0\n", 1), ("0-3", 4), ("0-3,8,10-11\n", 7), ("\t5", 1)];
        assert!(lists.iter().all(|&(list, cpus)| count(list) == Some(cpus)));
        let huge = format!("0-{}", usize::MAX);
        assert!(["", "\n", "x", "3-1", "1,", "1-", "-1", &huge].iter().all(|list| count(list).is_none()));
    }

    #[test]
    fn the_status_tells_what_the_mask_has_no_room_for() {
        let tree = Tree::new("status", "", "");
        assert_eq!((online(&tree.0), allowed(&tree.0)), (None, None));
        tree.file(ONLINE, "0-4095\n");
        tree.file("proc/thread-self/status", "Cpus_allowed:\tff\nCpus_allowed_list:\t0-2047\nMems:\t1\n");
        assert_eq!((online(&tree.0), allowed(&tree.0)), (Some(4096), Some(2048)));
    }

    #[test]
    fn the_two_ways_to_the_mask_agree_here() {
        let root = Path::new("/");
        let (mask, status) = (affinity(root).unwrap(), allowed(root).unwrap());
        // The status also names CPUs that are offline.
        assert!(mask >= 1 && mask <= status && mask <= online(root).unwrap());
    }
}
