//! The machine, and how much of it other work takes.

use std::{fmt, fs, thread, time::Duration};

/// How many busy CPUs are worth a word.
pub(crate) const NOTEWORTHY: f64 = 0.2;

/// What the figures were taken on.
#[derive(Debug)]
pub(crate) struct Machine {
    model: String,
    cpus: usize,
    kernel: String,
    load: String,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let loads = read("/proc/loadavg");
        Self {
            model: model.map_or("unknown CPU", |(_, model)| model).to_owned(),
            cpus: thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: loads.split(' ').next().unwrap_or("unknown").to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, cpus, kernel, load } = self;
        write!(f, "{model}, {cpus} CPUs, Linux {kernel}, load average {load}")
    }
}

/// The work of others since some moment, from what the kernel has counted.
#[derive(Debug)]
pub(crate) struct OtherWork {
    before: Option<Ticks>,
}

impl OtherWork {
    pub(crate) fn from_now() -> Self {
        Self { before: Ticks::now() }
    }

    /// What is going on now, before anything is measured.
    pub(crate) fn sample() -> f64 {
        let work = Self::from_now();
        thread::sleep(Duration::from_millis(300));
        work.cpus()
    }

    /// How many CPUs others kept busy since, on average. What the hypervisor gave to other machines
    /// counts too.
    pub(crate) fn cpus(&self) -> f64 {
        let (Some(before), Some(now)) = (&self.before, Ticks::now()) else { return 0.0 };
        let busy = (now.busy - before.busy) - (now.ours - before.ours);
        let of_one_cpu = (now.all - before.all) / now.cpus;
        if of_one_cpu > 0.0 { (busy / of_one_cpu).max(0.0) } else { 0.0 }
    }
}

/// A sentence about other work, if there is enough of it.
pub(crate) fn sentence(cpus: f64, when: &str) -> Option<String> {
    (cpus >= NOTEWORTHY).then(|| {
        format!("Other work {when} {cpus:.1} CPUs busy: single times are worse than on a quiet machine, so judge by the ratios.")
    })
}

/// Clock ticks since the machine and this process began.
#[derive(Debug)]
struct Ticks {
    cpus: f64,
    all: f64,
    busy: f64,
    /// Of this process and the children that it has waited for.
    ours: f64,
}

impl Ticks {
    fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let numbers = |line: &str| line.split_whitespace().skip(1).map_while(|n| n.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user and nice already.
        let total: Vec<f64> = numbers(stat.lines().next()?);
        let idle = total.get(3)? + total.get(4)?;
        let all = total.iter().take(8).sum::<f64>();
        let is_cpu = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
        let own = fs::read_to_string("/proc/self/stat").ok()?;
        // Behind the name in parentheses comes field 3; 14 to 17 are the times.
        let own = own.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
        let ours = own.map_while(|field| field.parse::<f64>().ok()).sum();
        Some(Self { cpus: stat.lines().filter(is_cpu).count() as f64, all, busy: all - idle, ours })
    }
}
