//! A fresh worker for every instruction, killed after it.

use std::{
    env, thread,
    time::{Duration, Instant},
};

use commons::{Exit, Message, Process};

use super::ptrace::{Stop, Traced};

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Where a worker died, as what it left tells it; in the order of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Died {
    /// What was before stands.
    Before,
    /// Something is half-done, and the next owner could know.
    Inside,
    /// What the worker was to do is done.
    After,
}

/// Two workers may differ by some branches, since their addresses do and `malloc` goes by those.
const JITTER: u64 = 48;

/// What surrounds the deaths of one scenario.
pub(crate) trait Scene {
    /// How often the worker hits its marker after the first time, which is where the steps begin. The
    /// last time ends them.
    const MARKERS: u32 = 1;

    /// After how many instructions each a worker is killed, unless the environment says otherwise.
    /// More than one only where there are many and few kinds of them.
    fn stride(&self) -> u64 {
        1
    }

    /// So many steps at the most, for a worker that hits its last marker late or never.
    const STEPS: u64 = u64::MAX;

    /// For workers with very many instructions: so many of them after each beginning and end of a system
    /// call, and none of the others.
    const AFTER_CALLS: Option<u64> = None;

    /// Whether the steps begin where the worker sleeps, after its first marker.
    const ASLEEP: bool = false;

    /// By how many instructions two workers may differ.
    const JITTER: u64 = JITTER;

    /// A worker is about to be started.
    fn before_start(&mut self) {}

    /// The worker stands where the steps begin.
    fn at_start(&mut self) {}

    /// The worker stands at a marker between the first and the last.
    fn at_marker(&mut self) {}

    /// The worker stands after its last instruction.
    fn before_death(&mut self) {}

    /// The worker is dead, and was collected this moment.
    fn check(&mut self) -> Died;

    /// Whether this was too slow, and may have been so by chance: the same death once more.
    fn again(&mut self) -> bool {
        false
    }
}

impl<F: FnMut() -> Died> Scene for F {
    fn check(&mut self) -> Died {
        self()
    }
}

/// A worker that stands at its first marker; `None`, and a word why, where nobody may trace.
pub(crate) fn at_its_marker<A: Message + Clone>(
    name: &str,
    handles: &A,
    worker: fn(A),
) -> Option<(Process<()>, Traced)> {
    let process = commons::spawn(handles.clone(), worker).unwrap();
    match Traced::seize(process.id()) {
        Ok(traced) => {
            traced.run_to_marker();
            Some((process, traced))
        }
        Err(error) => {
            process.kill().unwrap();
            println!("not run: {name}: ptrace is refused here ({error})");
            None
        }
    }
}

/// Kills a worker after each of its instructions between the first and the last marker, a fresh one
/// for each, and asks the scene at once what it has left.
pub(crate) fn kill_after_every_instruction<A: Message + Clone, S: Scene>(
    name: &str,
    handles: &A,
    worker: fn(A),
    scene: &mut S,
) {
    let (stride, start) = (stride(scene.stride()), Instant::now());
    let mut deaths = [0u64; 3];
    let mut latest = (0, Died::Before);
    let mut point = 0;
    loop {
        scene.before_start();
        let Some((process, traced)) = at_its_marker(name, handles, worker) else {
            return;
        };
        if S::ASLEEP {
            traced.run_to_sleep();
        }
        scene.at_start();
        let (steps, ended) = step(&traced, point, scene);
        scene.before_death();
        process.kill().unwrap();
        assert_eq!(reap(&process), Exit::Signal(9));

        let died = scene.check();
        deaths[died as usize] += 1;
        assert!(point != 0 || died == Died::Before, "{name}: {died:?} after no instruction");
        assert!(
            died >= latest.1 || point <= latest.0 + S::JITTER,
            "{name}: {:?} after {} instructions, and {died:?} after {point}",
            latest.1,
            latest.0
        );
        if died > latest.1 {
            latest = (point, died);
        }
        if scene.again() {
            continue;
        }
        assert!(!ended || died == Died::After, "{name}: {died:?} after the last instruction");
        if ended || point >= S::STEPS {
            let [before, inside, after] = deaths;
            let (killed, seconds) = (before + inside + after, start.elapsed().as_secs_f64());
            return println!(
                "{name}: {steps} steps, {killed} workers killed: {before} before, {inside} inside, {after} \
                 after; {seconds:.1} s"
            );
        }
        point += stride;
    }
}

/// Lets the worker run `point` instructions, or to its last marker; how many, and whether it is there.
fn step<S: Scene>(traced: &Traced, point: u64, scene: &mut S) -> (u64, bool) {
    let mut markers = 0;
    let calls = S::AFTER_CALLS.map_or(0, |after| point / after);
    let instructions = S::AFTER_CALLS.map_or(point, |after| point % after);
    for steps in 0..calls + instructions {
        let stop = if steps < calls { traced.step_to_call() } else { traced.step() };
        if stop == Stop::Marker {
            markers += 1;
            if markers == S::MARKERS {
                return (steps, true);
            }
            scene.at_marker();
        }
    }
    (point, false)
}

/// Waits until a worker has ended and was collected.
pub(crate) fn reap<R>(process: &Process<R>) -> Exit {
    let end = process.wait_timeout(LONG).unwrap();
    end.unwrap_or_else(|| panic!("{process:?} does not end"))
}

/// Looks until something is so, for a bounded time.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_micros(50));
    }
}

fn stride(default: u64) -> u64 {
    env::var("COMMONS_STEP_STRIDE").map_or(default, |text| text.parse().unwrap())
}
