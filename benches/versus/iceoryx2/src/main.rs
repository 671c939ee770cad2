//! Round trips of 8 bytes between two processes over iceoryx2, polling without a pause, each on a CPU
//! of its own. Reads counts from standard input and answers nanoseconds.

use std::{
    env, hint,
    io::{self, BufRead, Write},
    process::{self, ChildStdin, Command, Stdio},
    time::Instant,
};

use iceoryx2::{
    node::NodeBuilder,
    port::{publisher::Publisher, subscriber::Subscriber},
    service::ipc,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

type Failure = Box<dyn std::error::Error>;

/// In the second process: the name under which the two meet.
const NAME: &str = "VERSUS_ICEORYX2_NAME";

fn main() -> Result<(), Failure> {
    match env::var(NAME) {
        Ok(name) => answer(&Ends::open(&name, ["there", "back"])?),
        Err(_) => {
            let name = format!("versus-{}", process::id());
            let mut second =
                Command::new(env::current_exe()?).env(NAME, &name).stdin(Stdio::piped()).spawn()?;
            // It ends when there are no more counts.
            let counts = second.stdin.take().ok_or("no pipe to the second process")?;
            let asked = ask(&Ends::open(&name, ["back", "there"])?, counts);
            second.wait()?;
            asked
        }
    }
}

struct Ends {
    incoming: Subscriber<ipc::Service, u64, ()>,
    outgoing: Publisher<ipc::Service, u64, ()>,
}

impl Ends {
    fn open(name: &str, [incoming, outgoing]: [&str; 2]) -> Result<Self, Failure> {
        let node = NodeBuilder::new().create::<ipc::Service>()?;
        let service = |way: &str| {
            let name = format!("{name}/{way}").as_str().try_into()?;
            Ok::<_, Failure>(node.service_builder(&name).publish_subscribe::<u64>().open_or_create()?)
        };
        let incoming = service(incoming)?.subscriber_builder().create()?;
        let outgoing = service(outgoing)?.publisher_builder().create()?;
        Ok(Self { incoming, outgoing })
    }

    fn receive(&self) -> Result<u64, Failure> {
        loop {
            if let Some(sample) = self.incoming.receive()? {
                return Ok(*sample);
            }
            hint::spin_loop();
        }
    }

    fn send(&self, number: u64) -> Result<usize, Failure> {
        Ok(self.outgoing.send_copy(number)?)
    }
}

/// Between rounds both wait for the next count: who polls would take a CPU from the other side of the
/// row.
fn answer(ends: &Ends) -> Result<(), Failure> {
    sit_on(|cpus| cpus.next_back())?;
    for line in io::stdin().lock().lines() {
        let count: u64 = line?.trim().parse()?;
        for _ in 0..count {
            ends.send(ends.receive()? + 1)?;
        }
    }
    Ok(())
}

fn ask(ends: &Ends, mut counts: ChildStdin) -> Result<(), Failure> {
    sit_on(|cpus| cpus.next())?;
    // Until the second process is there, nobody receives.
    writeln!(counts, "1")?;
    while ends.send(0)? == 0 {
        hint::spin_loop();
    }
    ends.receive()?;
    println!("ready");
    for line in io::stdin().lock().lines() {
        let count: u64 = line?.trim().parse()?;
        // One more than is timed: when it has come back, the second process is awake.
        writeln!(counts, "{}", count + 1)?;
        ends.send(0)?;
        ends.receive()?;
        let start = Instant::now();
        for number in 0..count {
            ends.send(number)?;
            assert_eq!(ends.receive()?, number + 1);
        }
        println!("{}", start.elapsed().as_nanos());
        io::stdout().flush()?;
    }
    Ok(())
}

/// Stays on one of the CPUs that this process may use.
fn sit_on(which: impl Fn(&mut dyn DoubleEndedIterator<Item = usize>) -> Option<usize>) -> Result<(), Failure> {
    let usable = sched_getaffinity(None)?;
    let cpu = which(&mut (0..CpuSet::MAX_CPU).filter(|&cpu| usable.is_set(cpu))).ok_or("no CPU")?;
    let mut seat = CpuSet::new();
    seat.set(cpu);
    Ok(sched_setaffinity(None, &seat)?)
}
