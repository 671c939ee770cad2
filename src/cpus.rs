//! How many CPUs this program may use, and why.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt,
    path::Path,
};

use crate::{
    error::{Error, ErrorKind, Result},
    sys::cpus::{self, ONLINE, Quota},
};

/// The user's own limit.
const VARIABLE: &str = "COMMONS_MAX_CPUS";

/// How many CPUs this program may use, at least 1: as many workers make sense for work that computes.
///
/// It is the least of the CPUs that are online, the affinity mask of the calling thread, the CPU
/// quota of the control groups that this process is in, and the environment variable
/// `COMMONS_MAX_CPUS`. [`CpuCount::explain`] tells them one by one.
///
/// Each call looks anew, since all but the variable may change while the program runs. It reads
/// several small files, so keep the number instead of asking in a loop.
///
/// # Examples
/// ```
/// let workers = commons::cpu_count();
/// assert!(workers >= 1);
/// ```
#[doc(alias = "process_cpu_count")]
#[doc(alias = "available_parallelism")]
#[doc(alias = "num_cpus")]
pub fn cpu_count() -> usize {
    CpuCount::explain().get()
}

/// How many workers `n` asks for, by joblib's rule: a positive number is itself, -1 is all CPUs,
/// -2 all but one, and so on down to one.
pub(crate) fn jobs(n: i64) -> Result<usize> {
    jobs_on(n, cpu_count)
}

fn jobs_on(n: i64, cpus: impl FnOnce() -> usize) -> Result<usize> {
    match usize::try_from(n) {
        Ok(0) => Err(Error::new(
            ErrorKind::InvalidInput,
            "0 jobs do nothing: expected how many run at once, or -1 for as many as there are CPUs, -2 for one \
             less, and so on",
        )),
        Ok(n) => Ok(n),
        Err(_) => Ok(cpus().saturating_add(1).saturating_add_signed(n as isize).max(1)),
    }
}

/// What limits the CPUs of this program: each limit, and by [`Display`](fmt::Display) which one
/// decides and where it comes from.
///
/// ```text
/// 2 CPUs, decided by the quota
/// online      8  /sys/devices/system/cpu/online
/// affinity    4  the mask of this thread
/// quota       2  /sys/fs/cgroup/jobs.slice/cpu.max: 150000 of each 100000 microseconds
/// limit       -  COMMONS_MAX_CPUS is not set
/// ```
///
/// # Examples
/// ```
/// use commons::CpuCount;
///
/// let cpus = CpuCount::explain();
/// assert!(cpus.get() <= cpus.online() && cpus.get() <= cpus.affinity());
/// println!("{cpus}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuCount {
    online: Option<usize>,
    affinity: Option<usize>,
    quota: Option<Quota>,
    variable: Option<OsString>,
}

impl CpuCount {
    /// The limits as they are now.
    ///
    /// What cannot be found out, because a file is missing or not as expected, limits nothing.
    pub fn explain() -> Self {
        Self::below(Path::new("/"), env::var_os(VARIABLE))
    }

    /// The limits in a file system whose root is `root`.
    fn below(root: &Path, variable: Option<OsString>) -> Self {
        let (online, affinity) = (cpus::online(root), cpus::affinity(root));
        Self { online, affinity, quota: cpus::quota(root), variable }
    }

    /// The least of the limits, at least 1. This is [`cpu_count`].
    pub fn get(&self) -> usize {
        self.decisive().1
    }

    /// The CPUs that run; where the system does not tell, those of [`affinity`](Self::affinity).
    pub fn online(&self) -> usize {
        self.online.or(self.affinity).unwrap_or(1).max(1)
    }

    /// The CPUs on which the calling thread may run: its mask, within the CPU set of its control group.
    ///
    /// A thread inherits the mask of the one that starts it, and so does a process of
    /// [`spawn`](crate::spawn). Workers of a [`Pool`](crate::Pool) have that of the thread that made the pool.
    #[doc(alias = "sched_getaffinity")]
    pub fn affinity(&self) -> usize {
        self.affinity.unwrap_or_else(|| self.online())
    }

    /// The quota of the control group, or of the one above it that has the least, rounded up to whole
    /// CPUs; `None` without a quota.
    ///
    /// Groups of both versions are looked up where they are mounted: `cpu.max` of version 2,
    /// `cpu.cfs_quota_us` over `cpu.cfs_period_us` of version 1.
    #[doc(alias = "cgroup")]
    pub fn quota(&self) -> Option<usize> {
        self.quota.as_ref().map(Quota::cpus)
    }

    /// The environment variable `COMMONS_MAX_CPUS`; `None` if it is not set, or is ignored because it
    /// is no whole number from 1.
    #[doc(alias = "LOKY_MAX_CPU_COUNT")]
    pub fn limit(&self) -> Option<usize> {
        self.variable.as_deref().and_then(OsStr::to_str)?.trim().parse().ok().filter(|&limit| limit > 0)
    }

    /// The name of the least limit, and itself. Of equal ones it is the first, which is the wider one.
    fn decisive(&self) -> (&'static str, usize) {
        let mut least = ("the CPUs that are online", self.online());
        let others = [
            ("the affinity mask", Some(self.affinity())),
            ("the quota", self.quota()),
            (VARIABLE, self.limit()),
        ];
        for (name, limit) in others {
            if let Some(limit) = limit.filter(|&limit| limit < least.1) {
                least = (name, limit);
            }
        }
        least
    }
}

impl fmt::Display for CpuCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, count) = self.decisive();
        let noun = if count == 1 { "CPU" } else { "CPUs" };
        write!(f, "{count} {noun}, decided by {name}")?;

        let online = if self.online.is_some() { "" } else { " tells nothing" };
        let affinity = if self.affinity.is_some() { "the mask of this thread" } else { "no mask is told" };
        let quota = match &self.quota {
            Some(Quota { file, micros, period }) => {
                format!("{}: {micros} of each {period} microseconds", file.display())
            }
            None => "no control group of this process is known to have one".to_owned(),
        };
        let limit = match (&self.variable, self.limit()) {
            (None, _) => format!("{VARIABLE} is not set"),
            (Some(_), Some(_)) => VARIABLE.to_owned(),
            (Some(found), None) => {
                format!("{VARIABLE}={found:?} is ignored: expected a whole number from 1 to {}", usize::MAX)
            }
        };
        let rows = [
            ("online", self.online, format!("/{ONLINE}{online}")),
            ("affinity", self.affinity, affinity.to_owned()),
            ("quota", self.quota(), quota),
            ("limit", self.limit(), limit),
        ];
        rows.iter().try_for_each(|(name, count, from)| {
            let count = count.map_or_else(|| "-".to_owned(), |count| count.to_string());
            write!(f, "\n{name:<8} {count:>4}  {from}")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn cpus(online: usize, affinity: usize, micros: u64, variable: Option<&str>) -> CpuCount {
        let quota = Quota { file: PathBuf::from("/cg/cpu.max"), micros, period: 100_000 };
        CpuCount {
            online: Some(online),
            affinity: Some(affinity),
            quota: (micros > 0).then_some(quota),
            variable: variable.map(Into::into),
        }
    }

    #[test]
    fn the_least_decides_and_of_equal_ones_the_widest() {
        for (count, least, name) in [
            (cpus(8, 8, 0, None), 8, "the CPUs that are online"),
            (cpus(8, 4, 400_000, Some("4")), 4, "the affinity mask"),
            (cpus(8, 4, 250_000, None), 3, "the quota"),
            (cpus(8, 4, 250_000, Some("2")), 2, VARIABLE),
            (cpus(8, 4, 250_000, Some("9")), 3, "the quota"),
            (cpus(8, 4, 1, Some("0")), 1, "the quota"),
        ] {
            assert_eq!((count.get(), count.decisive().0), (least, name), "{count}");
            assert!(count.to_string().lines().next().unwrap().ends_with(name), "{count}");
        }
    }

    #[test]
    fn the_explanation_says_where_each_limit_comes_from() {
        let text = cpus(8, 4, 150_000, Some(" 3 ")).to_string();
        let lines = [
            "2 CPUs, decided by the quota",
            "online      8  /sys/devices/system/cpu/online",
            "affinity    4  the mask of this thread",
            "quota       2  /cg/cpu.max: 150000 of each 100000 microseconds",
            "limit       3  COMMONS_MAX_CPUS",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
        let text = cpus(1, 1, 0, None).to_string();
        assert!(text.starts_with("1 CPU, decided by the CPUs that are online\n"), "{text}");
        assert!(text.contains("quota       -  no control group") && text.ends_with("is not set"), "{text}");
    }

    #[test]
    fn a_variable_that_is_no_positive_number_is_ignored_and_shown() {
        for text in ["", "0", "-2", "2.5", "many", "99999999999999999999999"] {
            let count = cpus(8, 4, 0, Some(text));
            assert_eq!((count.limit(), count.get()), (None, 4));
            assert!(count.to_string().contains(&format!("COMMONS_MAX_CPUS={text:?} is ignored")), "{count}");
        }
    }

    #[test]
    fn what_nobody_tells_limits_nothing() {
        let nothing = CpuCount { online: None, affinity: None, quota: None, variable: None };
        assert_eq!((nothing.get(), nothing.online(), nothing.affinity()), (1, 1, 1));
        assert!(nothing.to_string().contains("online      -  /sys/devices/system/cpu/online tells nothing"));
        let mask = CpuCount { affinity: Some(3), ..nothing.clone() };
        assert_eq!((mask.get(), mask.online()), (3, 3));
        let online = CpuCount { online: Some(3), ..nothing };
        assert_eq!((online.get(), online.affinity()), (3, 3));
    }

    #[test]
    fn jobs_are_counted_as_joblib_counts_them() {
        let on_four = |n| jobs_on(n, || 4).unwrap();
        let asked = [1, 7, i64::MAX, -1, -2, -4, -5, -6, i64::MIN];
        assert_eq!(asked.map(on_four), [1, 7, i64::MAX as usize, 4, 3, 1, 1, 1, 1]);
        assert_eq!(jobs(3).unwrap(), 3);
        assert_eq!(jobs(-1).unwrap(), cpu_count());
        let error = jobs(0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("-1 for as many as there are CPUs"), "{error}");
    }
}
