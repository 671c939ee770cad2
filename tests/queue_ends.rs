//! The ends of queues, channels and pipes: closed, dead and stopped sides, messages of no size, of a
//! great size and of another type, timeouts of no time and of all time.

mod common;

use std::{
    cell::Cell,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use common::{
    chance::{Chance, seed},
    unique,
    workers::{LONG, bounded, join, kill},
};
use commons::{
    Array, Connection, ErrorKind, Process, Queue, Receiver, RecvError, RecvTimeoutError, Select, SendError,
    SendTimeoutError, Sender, TryRecvError, TrySendError, Value,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

commons::init_in_tests!();

/// At once, or when the death of a side was found out; on a busy machine.
const SOON: Duration = Duration::from_secs(5);

/// Does it in bounded time.
#[track_caller]
fn soon<R>(what: &str, act: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let answer = act();
    assert!(start.elapsed() < SOON, "{what} took {:?}", start.elapsed());
    answer
}

#[test]
fn a_closed_queue_gives_what_is_left_and_takes_nothing() {
    let _guard = bounded("a closed queue");
    let queue = Queue::<u32>::bounded(10).unwrap();
    (0..6).for_each(|n| queue.send(&n).unwrap());
    queue.close();
    assert!(queue.is_closed());
    assert!(matches!(queue.send(&9), Err(SendError::Closed)));
    assert!(matches!(queue.try_send(&9), Err(TrySendError::Closed)));
    assert!(matches!(queue.send_timeout(&9, LONG), Err(SendTimeoutError::Closed)));
    assert!(matches!(queue.send_bytes(&[9]), Err(SendError::Closed)));
    assert_eq!(queue.recv().unwrap(), 0);
    assert_eq!(queue.try_recv().unwrap(), 1);
    assert_eq!(queue.recv_timeout(Duration::ZERO).unwrap(), 2);
    let lease = queue.lease().unwrap();
    assert_eq!((*lease, queue.recv_bytes(&mut [0; 8]).unwrap()), (3, 4));
    // The one that is leased may come back.
    drop(lease);
    assert_eq!(queue.recv().unwrap(), 3);
    assert_eq!(*queue.lease().unwrap(), 5);
    queue.recv().unwrap();
    assert!(matches!(queue.recv(), Err(RecvError::Closed)));
    assert!(matches!(queue.try_recv(), Err(TryRecvError::Closed)));
    assert!(matches!(queue.recv_timeout(LONG), Err(RecvTimeoutError::Closed)));
    assert!(matches!(queue.lease().map(drop), Err(RecvError::Closed)));
    assert!(matches!(queue.recv_bytes(&mut []), Err(RecvError::Closed)));
    assert_eq!(queue.iter().count(), 0);
}

#[test]
fn closing_ends_every_wait() {
    let _guard = bounded("closing");
    let (empty, full) = (Queue::<u32>::bounded(1).unwrap(), Queue::<u32>::bounded(1).unwrap());
    full.send(&1).unwrap();
    thread::scope(|scope| {
        let receivers = [(); 3].map(|()| scope.spawn(|| empty.recv()));
        let senders = [(); 3].map(|()| scope.spawn(|| full.send(&2)));
        empty.close();
        full.close();
        for receiver in receivers {
            assert!(matches!(receiver.join().unwrap(), Err(RecvError::Closed)));
        }
        for sender in senders {
            assert!(matches!(sender.join().unwrap(), Err(SendError::Closed)));
        }
    });
}

/// One that finds no room for a large message looks at other things than one with a short message.
#[test]
fn who_has_a_large_message_hears_that_a_queue_is_closed() {
    let _guard = bounded("a closed queue and a large message");
    let queue = Queue::<()>::options().bytes(64 << 10).bounded(10).unwrap();
    let large = vec![7; 200_000];
    queue.send_bytes(&large).unwrap();
    assert!(matches!(soon("try_send", || queue.try_send_bytes(&large)), Err(TrySendError::Full)));
    thread::scope(|scope| {
        let sender = scope.spawn(|| queue.send_bytes(&large));
        thread::sleep(Duration::from_millis(5));
        queue.close();
        assert!(matches!(sender.join().unwrap(), Err(SendError::Closed)));
    });
    assert!(matches!(soon("try_send", || queue.try_send_bytes(&large)), Err(TrySendError::Closed)));
    let late = soon("send_timeout", || queue.send_bytes_timeout(&large, LONG));
    assert!(matches!(late, Err(SendTimeoutError::Closed)));
    assert!(matches!(queue.send_bytes(&large), Err(SendError::Closed)));
    assert_eq!(queue.recv_bytes(&mut vec![0; 200_000]).unwrap(), large.len());
}

/// The word that says where a large message is may be the one that does not fit any more.
#[test]
fn a_queue_grows_for_a_message_that_lies_elsewhere() {
    let _guard = bounded("growing for a large message");
    let queue = Queue::<()>::options().bytes(256 << 10).unbounded().unwrap();
    let large = vec![7; 600_000];
    for short in [8189, 8190, 8191, 8192] {
        (0..short).for_each(|_| queue.send_bytes(&[1; 8]).unwrap());
        queue.send_bytes(&large).unwrap();
        let mut buffer = vec![0; 600_000];
        (0..short).for_each(|_| assert_eq!(queue.recv_bytes(&mut buffer).unwrap(), 8));
        assert_eq!(queue.recv_bytes(&mut buffer).unwrap(), large.len());
        assert!(buffer == large && queue.is_empty());
    }
}

/// A process that ends with an end, and one that has its place in the channel after it.
#[test]
fn an_end_of_who_is_gone_counts_for_nobody_else() {
    let _guard = bounded("a place in a channel");
    let (sender, receiver) = commons::channel::<u32>(10).unwrap();
    let gone =
        commons::spawn((sender.clone(), unique("gone")), |(sender, name): (Sender<u32>, String)| -> () {
            let _name_is_given_back = Value::create(&name, 0u8).unwrap();
            sender.send(&7).unwrap();
            std::process::exit(0);
        });
    assert!(gone.unwrap().join().is_err(), "it returned nothing");
    let next = commons::spawn(receiver, |receiver: Receiver<u32>| {
        receiver.recv().unwrap();
        matches!(receiver.recv_timeout(SOON), Err(RecvTimeoutError::Disconnected))
    });
    let next = next.unwrap();
    common::eventually("it has its place", || sender.is_empty());
    drop(sender);
    assert!(next.join().unwrap(), "nobody can send, and it was not told");
}

/// An end that was given to a process that could not be started.
#[test]
fn an_end_that_goes_nowhere_is_gone() {
    let _guard = bounded("an end for nobody");
    // With so many descriptors more, some are enough to describe the arguments and too few for the rest.
    let refused = (0..).take_while(|&more| {
        let refused = commons::spawn(more, |more| {
            let (sender, receiver) = commons::channel::<u32>(10).unwrap();
            let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
            let limit = Some(open + more);
            setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
            let process = commons::spawn(sender, drop::<Sender<u32>>);
            assert!(matches!(receiver.recv_timeout(SOON), Err(RecvTimeoutError::Disconnected)));
            process.map(|process| process.join().unwrap()).is_err()
        });
        common::workers::join(refused)
    });
    assert_ne!(refused.count(), 0);
}

/// Ends its process as soon as it is read.
struct Bomb;

impl Serialize for Bomb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Bomb {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        std::process::abort()
    }
}

/// Refused when it is read.
#[derive(Serialize, Deserialize)]
struct Refused(#[serde(deserialize_with = "refuse")] ());

fn refuse<'de, D: Deserializer<'de>>(_: D) -> Result<(), D::Error> {
    Err(D::Error::custom("no"))
}

/// An end in the arguments of a process that ends before it has them, all or some.
#[test]
fn an_end_for_a_process_that_never_has_it_is_gone() {
    let _guard = bounded("an end for the dead");
    type End = Sender<u32>;
    type Start = fn(End) -> Process<()>;
    let never: [(&str, Start); 4] = [
        // The loader lists the libraries and ends well, before any code of the program has run.
        ("before the first line", |end| {
            let builder = Process::builder().env("LD_TRACE_LOADED_OBJECTS", "1");
            builder.spawn(end, drop::<End>).unwrap()
        }),
        ("before it has read it", |end| commons::spawn((Bomb, end), drop::<(Bomb, End)>).unwrap()),
        ("when it has read it", |end| commons::spawn((end, Bomb), drop::<(End, Bomb)>).unwrap()),
        ("by an error", |end| commons::spawn((end, Refused(())), drop::<(End, Refused)>).unwrap()),
    ];
    for (when, start) in never {
        for _ in 0..20 {
            let (sender, receiver) = commons::channel::<u32>(10).unwrap();
            start(sender).join().unwrap_err();
            let answer = receiver.try_recv();
            assert!(matches!(answer, Err(TryRecvError::Disconnected)), "{when}: {answer:?}");
        }
        let (sender, receiver) = commons::channel::<u32>(10).unwrap();
        let _process = start(sender);
        let answer = receiver.recv_timeout(LONG);
        assert!(matches!(answer, Err(RecvTimeoutError::Disconnected)), "{when}: {answer:?}");
    }
    // Who has it counts for it, and may let go of it before its own end.
    let (sender, receiver) = commons::channel::<u32>(10).unwrap();
    let process = commons::spawn(sender, |sender: Sender<u32>| -> () {
        drop(sender);
        sleep_for_ever()
    });
    let process = process.unwrap();
    assert!(matches!(receiver.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected)));
    kill(&process);
}

/// An end in a message that nobody reads counts as long as its sender lives.
#[test]
fn an_end_on_its_way_is_gone_when_its_sender_is_killed() {
    let _guard = bounded("an end on its way");
    let (sender, receiver) = commons::channel::<u32>(10).unwrap();
    let post = Queue::<Sender<u32>>::unbounded().unwrap();
    let process = commons::spawn((sender, post.clone()), |(sender, post)| -> () {
        post.send(&sender).unwrap();
        drop(sender);
        sleep_for_ever()
    });
    let process = process.unwrap();
    common::eventually("it is on its way", || post.len() == 1);
    for _ in 0..3 {
        assert!(matches!(receiver.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::TimedOut)));
    }
    kill(&process);
    assert!(matches!(soon("hearing of it", || receiver.recv()), Err(RecvError::Disconnected)));
    assert!(matches!(post.recv().unwrap().send(&1), Err(SendError::Disconnected)));
}

/// It is in one process or in one message at any time, and in neither place when that is looked at.
#[test]
fn an_end_that_goes_round_is_always_somewhere() {
    type Post = Queue<Sender<u32>>;
    let _guard = bounded("an end that goes round");
    let (sender, receiver) = commons::channel::<u32>(10).unwrap();
    let posts: [Post; 2] = [(); 2].map(|()| Queue::unbounded().unwrap());
    posts[0].send(&sender).unwrap();
    drop(sender);
    let hand_on = |(from, to): (Post, Post)| -> u64 {
        let rounds = from.iter().map_while(|sender| to.send(&sender.unwrap()).ok());
        rounds.count() as u64
    };
    let [one, other] = &posts;
    let handers = [(one, other), (other, one)];
    let handers = handers.map(|(from, to)| commons::spawn((from.clone(), to.clone()), hand_on));
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        for _ in 0..1000 {
            assert!(matches!(receiver.try_recv(), Err(TryRecvError::Empty)));
        }
        let waited = receiver.recv_timeout(Duration::from_millis(30));
        assert!(matches!(waited, Err(RecvTimeoutError::TimedOut)), "{waited:?}");
    }
    posts.iter().for_each(Queue::close);
    let rounds: u64 = handers.map(join).iter().sum();
    println!("it went {rounds} times to another process");
    drop(posts);
    assert!(matches!(soon("hearing of it", || receiver.recv()), Err(RecvError::Disconnected)));
}

/// More messages than a small count can hold.
#[test]
fn an_object_may_be_in_very_many_messages() {
    let _guard = bounded("very many handles");
    let (sender, receiver) = commons::channel::<u32>(10).unwrap();
    let post = Queue::<Sender<u32>>::unbounded().unwrap();
    (0..66_000).for_each(|_| post.send(&sender).unwrap());
    drop(sender);
    for _ in 0..66_000 {
        assert!(matches!(receiver.try_recv(), Err(TryRecvError::Empty)));
        drop(post.recv().unwrap());
    }
    assert!(matches!(soon("hearing of it", || receiver.recv()), Err(RecvError::Disconnected)));
}

/// Receives what is left when its thread ends.
struct Drain(Receiver<Value<u32>>);

impl Drop for Drain {
    fn drop(&mut self) {
        assert_eq!(self.0.recv().unwrap().get(), 7);
    }
}

/// When most of what is local to the thread is gone.
#[test]
fn handles_arrive_in_the_last_breath_of_a_thread() {
    thread_local! {
        static DRAIN: Cell<Option<Drain>> = const { Cell::new(None) };
    }
    let _guard = bounded("a last breath");
    join(commons::spawn((), |()| {
        let (sender, receiver) = commons::channel(10).unwrap();
        sender.send(&Value::new(7).unwrap()).unwrap();
        thread::spawn(|| DRAIN.set(Some(Drain(receiver)))).join().unwrap();
    }));
}

/// Reads a handle out of another message while it is read itself.
#[derive(Serialize)]
struct Nested(u32);

impl<'de> Deserialize<'de> for Nested {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        let value = join(commons::spawn(number, |number| Value::new(number).unwrap()));
        Ok(Self(value.get()))
    }
}

/// Whoever has sent it would wait for ten seconds.
#[test]
fn a_handle_that_arrives_while_arguments_are_read_is_none_of_them() {
    let _guard = bounded("nested messages");
    let process = commons::spawn(Nested(5), |nested| nested.0);
    assert_eq!(soon("reading", || join(process)), 5);
}

/// What others work on may come back, and a receive waits for it.
#[test]
fn a_closed_queue_is_not_ready_while_others_work() {
    let _guard = bounded("select on a closed queue");
    for done in [true, false] {
        let queue = Queue::<u32>::bounded(10).unwrap();
        queue.send(&1).unwrap();
        queue.close();
        let (leased, wait) = mpsc::channel();
        let (go, told) = mpsc::channel();
        thread::scope(|scope| {
            let queue = &queue;
            scope.spawn(move || {
                let lease = queue.lease().unwrap();
                leased.send(()).unwrap();
                told.recv().unwrap();
                if done { lease.done().unwrap() } else { drop(lease) }
            });
            wait.recv().unwrap();
            assert_eq!(Select::new().on(queue).try_wait().unwrap(), []);
            assert!(matches!(queue.try_recv(), Err(TryRecvError::Empty)));
            go.send(()).unwrap();
            assert_eq!(Select::new().on(queue).wait_timeout(LONG).unwrap(), [0]);
            assert_eq!(queue.try_recv().ok(), if done { None } else { Some(1) });
        });
        assert_eq!(Select::new().on(&queue).try_wait().unwrap(), [0]);
    }
}

fn sleep_for_ever() -> ! {
    loop {
        thread::park();
    }
}

/// A channel whose only sender has sent three messages and was killed.
fn channel_of_the_dead() -> Receiver<u32> {
    let (sender, receiver) = commons::channel::<u32>(10).unwrap();
    let process = commons::spawn(sender, |sender: Sender<u32>| -> () {
        (0..3).for_each(|n| sender.send(&n).unwrap());
        sleep_for_ever()
    });
    let process = process.unwrap();
    common::eventually("three messages wait", || receiver.len() == 3);
    kill(&process);
    receiver
}

#[test]
fn the_dead_leave_what_they_sent() {
    let _guard = bounded("dead senders");
    let receiver = channel_of_the_dead();
    assert_eq!(receiver.recv().unwrap(), 0);
    assert_eq!(receiver.try_recv().unwrap(), 1);
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), 2);
    assert!(matches!(soon("recv", || receiver.recv()), Err(RecvError::Disconnected)));
    // Who never waits hears of it too.
    let receiver = channel_of_the_dead();
    (0..3).for_each(|n| assert_eq!(receiver.try_recv().unwrap(), n));
    assert!(matches!(soon("try_recv", || receiver.try_recv()), Err(TryRecvError::Disconnected)));
    let receiver = channel_of_the_dead();
    assert_eq!(receiver.iter().map(Result::unwrap).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(soon("select", || Select::new().on(&receiver).wait()).unwrap(), [0]);
}

#[test]
fn a_sender_to_the_dead_is_told() {
    let _guard = bounded("dead receivers");
    let dead = || {
        let (sender, receiver) = commons::channel::<u32>(2).unwrap();
        let process = commons::spawn(receiver, |receiver: Receiver<u32>| -> () {
            receiver.recv().unwrap();
            sleep_for_ever()
        });
        sender.send(&0).unwrap();
        common::eventually("it is received", || sender.is_empty());
        kill(&process.unwrap());
        sender
    };
    let sender = dead();
    let sent = soon("send", || (1..).map(|n| sender.send(&n)).find(Result::is_err));
    assert!(matches!(sent, Some(Err(SendError::Disconnected))));
    let sender = dead();
    let sent = soon("try_send", || (1..).map(|n| sender.try_send(&n)).find(Result::is_err));
    assert!(matches!(sent, Some(Err(TrySendError::Disconnected))));
    let sender = dead();
    let sent = soon("send_timeout", || (1..).map(|n| sender.send_timeout(&n, LONG)).find(Result::is_err));
    assert!(matches!(sent, Some(Err(SendTimeoutError::Disconnected))));
}

#[test]
fn a_pipe_of_which_one_end_died_is_ready_and_gives_what_is_left() {
    let _guard = bounded("a dead end of a pipe");
    let (near, far) = commons::pipe::<u32, u32>().unwrap();
    let process = commons::spawn(far, |far: Connection<u32, u32>| -> () {
        far.send(&far.recv().unwrap()).unwrap();
        far.send(&8).unwrap();
        sleep_for_ever()
    });
    near.send(&7).unwrap();
    assert_eq!(near.recv().unwrap(), 7);
    assert!(near.poll_timeout(LONG));
    assert!(near.poll());
    kill(&process.unwrap());
    assert_eq!(near.recv_timeout(Duration::ZERO).unwrap(), 8);
    assert!(soon("poll_timeout", || near.poll_timeout(LONG)));
    assert!(matches!(near.recv(), Err(RecvError::Disconnected)));
    assert!(matches!(near.try_recv(), Err(TryRecvError::Disconnected)));
}

#[test]
fn what_is_no_message_of_the_type_is_an_error_and_the_next_one_comes() {
    let _guard = bounded("another type");
    let queue = Queue::<(u32, String)>::bounded(10).unwrap();
    let good = (7, "seven".to_owned());
    let bad: [&[u8]; 5] =
        [&[], &[7, 0, 0], &[7, 0, 0, 0, 200, 1], &[7, 0, 0, 0, 1, 0xff], &[7, 0, 0, 0, 1, b'x', 0]];
    for bytes in bad {
        for by in 0..3 {
            queue.send_bytes(bytes).unwrap();
            queue.send(&good).unwrap();
            let error = match by {
                0 => queue.recv().unwrap_err().into(),
                1 => queue.try_recv().unwrap_err().into(),
                _ => commons::Error::from(queue.lease().map(drop).unwrap_err()),
            };
            assert_eq!(error.kind(), ErrorKind::Decode, "{bytes:?}: {error}");
            common::workers::has(&error, &[&format!("{} bytes", bytes.len()), "String"]);
            assert_eq!(queue.recv().unwrap(), good);
        }
    }
    queue.send_bytes(&[7, 0, 0, 0, 1, b'x', 0]).unwrap();
    common::workers::has(queue.recv().unwrap_err(), &["1 bytes are left over"]);
    soon("join", || queue.join_timeout(LONG)).unwrap();
    let name = unique("type");
    let _queue = Queue::<u32>::create(&name, 10).unwrap();
    assert_eq!(Queue::<i32>::open(&name).unwrap_err().kind(), ErrorKind::Mismatch);
    assert_eq!(Array::<u32>::open(&name).unwrap_err().kind(), ErrorKind::Mismatch);
}

#[test]
fn no_room_and_too_much_room_are_refused() {
    for messages in [0, 1 << 31, usize::MAX] {
        assert_eq!(Queue::<u8>::bounded(messages).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(commons::channel::<u8>(messages).unwrap_err().kind(), ErrorKind::InvalidInput);
        let name = unique("room");
        assert_eq!(Queue::<u8>::create(&name, messages).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(Queue::<u8>::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
    }
    let queue = Queue::<u8>::bounded((1 << 31) - 1).unwrap();
    queue.send(&1).unwrap();
    assert_eq!(queue.recv().unwrap(), 1);
    let tiny = Queue::<Vec<u8>>::options().bytes(0).bounded(2).unwrap();
    tiny.send(&vec![3; 1 << 20]).unwrap();
    assert_eq!(tiny.recv().unwrap(), vec![3; 1 << 20]);
}

#[test]
fn no_time_and_all_time_are_timeouts() {
    let _guard = bounded("timeouts");
    let queue = Queue::<u32>::bounded(1).unwrap();
    let (near, far) = commons::pipe::<u32, u32>().unwrap();
    for _ in 0..20 {
        let late = Duration::ZERO;
        assert!(matches!(soon("recv", || queue.recv_timeout(late)), Err(RecvTimeoutError::TimedOut)));
        assert!(matches!(
            soon("lease", || queue.lease_timeout(late).map(drop)),
            Err(RecvTimeoutError::TimedOut)
        ));
        assert!(matches!(soon("pipe", || near.recv_timeout(late)), Err(RecvTimeoutError::TimedOut)));
        assert!(!soon("poll", || near.poll_timeout(late)));
        let select = soon("select", || Select::new().on(&queue).on(&near).wait_timeout(late));
        assert_eq!(select.unwrap_err().kind(), ErrorKind::TimedOut);
        queue.send_timeout(&1, late).unwrap();
        assert!(matches!(soon("send", || queue.send_timeout(&2, late)), Err(SendTimeoutError::TimedOut)));
        assert_eq!(soon("join", || queue.join_timeout(late)).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(queue.recv_timeout(late).unwrap(), 1);
        soon("join", || queue.join_timeout(late)).unwrap();
    }
    for time in [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::from_secs(1 << 40)] {
        queue.send_timeout(&1, time).unwrap();
        thread::scope(|scope| {
            let sender = scope.spawn(|| queue.send_timeout(&2, time));
            assert_eq!(queue.recv_timeout(time).unwrap(), 1);
            sender.join().unwrap().unwrap();
            assert_eq!(queue.recv_timeout(time).unwrap(), 2);
            let receiver = scope.spawn(|| near.recv_timeout(time));
            let waits = scope.spawn(|| Select::new().on(&queue).wait_timeout(time));
            far.send_timeout(&3, time).unwrap();
            assert_eq!(receiver.join().unwrap().unwrap(), 3);
            queue.send(&4).unwrap();
            assert_eq!(waits.join().unwrap().unwrap(), [0]);
            assert_eq!(*queue.lease_timeout(time).unwrap(), 4);
            queue.recv().unwrap();
            queue.join_timeout(time).unwrap();
        });
    }
}

#[test]
fn a_buffer_that_is_too_small_loses_nothing() {
    let queue = Queue::<()>::bounded(10).unwrap();
    let (near, far) = commons::pipe::<u8, u8>().unwrap();
    for len in [1, 8, 9, 5000, 100_000] {
        let message: Vec<u8> = (0..len).map(|at: usize| at as u8).collect();
        for room in [0, len / 2, len - 1] {
            (0..3).for_each(|_| queue.send_bytes(&message).unwrap());
            near.send_bytes(&message).unwrap();
            let mut buffer = vec![0; room];
            assert_eq!(queue.recv_bytes(&mut buffer).unwrap_err().into_message().unwrap(), message);
            assert_eq!(queue.try_recv_bytes(&mut buffer).unwrap_err().into_message().unwrap(), message);
            let late = queue.recv_bytes_timeout(&mut buffer, LONG).unwrap_err();
            common::workers::has(&late, &["longer than the buffer"]);
            assert_eq!(late.into_message().unwrap(), message);
            assert_eq!(far.recv_bytes(&mut buffer).unwrap_err().into_message().unwrap(), message);
            near.send(&5).unwrap();
            assert_eq!(far.recv().unwrap(), 5);
        }
    }
}

#[test]
fn a_process_answers_large_and_ten_thousand_small_messages() {
    let _guard = bounded("large and many messages");
    let (near, far) = commons::pipe::<Vec<u8>, Vec<u8>>().unwrap();
    let echo = commons::spawn(far, |far: Connection<Vec<u8>, Vec<u8>>| {
        while let Ok(message) = far.recv() {
            far.send(&message).unwrap();
        }
    });
    for len in [16 << 20, 0, (128 << 10) - 16, 128 << 10, 3 << 20] {
        let message: Vec<u8> = (0..len).map(|at: u32| (at / 7) as u8).collect();
        near.send(&message).unwrap();
        assert!(near.recv().unwrap() == message, "{len} bytes");
    }
    thread::scope(|scope| {
        scope.spawn(|| (0..10_000u32).for_each(|n| near.send(&n.to_le_bytes().to_vec()).unwrap()));
        (0..10_000u32).for_each(|n| assert_eq!(near.recv().unwrap(), n.to_le_bytes()));
    });
    drop(near);
    echo.unwrap().join().unwrap();
}

type Handles = (Value<u64>, Array<u32>, Queue<u8>, Sender<u16>, Connection<u8, u8>);

#[test]
fn handles_of_every_kind_arrive_after_their_sender_dropped_them() {
    let _guard = bounded("handles in messages");
    let queue = Queue::<Handles>::bounded(10).unwrap();
    let (tell, told) = commons::channel::<Receiver<u16>>(10).unwrap();
    let sender =
        commons::spawn((queue.clone(), tell), |(queue, tell): (Queue<Handles>, Sender<Receiver<u16>>)| {
            for n in 0..8 {
                let inner = Queue::bounded(4).unwrap();
                inner.send(&n).unwrap();
                let (sender, receiver) = commons::channel(4).unwrap();
                let (near, far) = commons::pipe().unwrap();
                near.send(&n).unwrap();
                let array = Array::from_slice(&[n.into(); 3]).unwrap();
                queue.send(&(Value::new(n.into()).unwrap(), array, inner, sender, far)).unwrap();
                tell.send(&receiver).unwrap();
            }
        });
    for n in 0..8u8 {
        let (value, array, inner, sender, far) = queue.recv_timeout(LONG).unwrap();
        let receiver = told.recv_timeout(LONG).unwrap();
        assert_eq!((value.get(), array.to_vec()), (n.into(), vec![n.into(); 3]));
        assert_eq!((inner.recv().unwrap(), far.recv().unwrap()), (n, n));
        assert!(matches!(far.recv(), Err(RecvError::Disconnected)), "the near end is gone");
        sender.send(&n.into()).unwrap();
        drop(sender);
        assert_eq!(receiver.recv().unwrap(), u16::from(n));
        assert!(matches!(receiver.recv(), Err(RecvError::Disconnected)));
    }
    common::workers::join(sender);
}

/// A queue leaves its smallest ring when that is full and goes back when nothing waits. Here it enters
/// the next ring while the way back from there is not gone yet.
#[test]
fn a_queue_that_grows_again_and_again_loses_nothing() {
    let _guard = bounded("growing again");
    let queue = Queue::<Vec<u8>>::options().bytes(4 << 20).unbounded().unwrap();
    let mut chance = Chance::new(seed("a_queue_that_grows"));
    let (mut sent, mut got) = (0u32, 0u32);
    for _ in 0..300 {
        for _ in 0..1 + chance.below(6) {
            let len = [100, 8000, 30_000, 60_000][chance.below(4)];
            let mut message = vec![sent as u8; len];
            message[..4].copy_from_slice(&sent.to_le_bytes());
            match queue.send_timeout(&message, Duration::ZERO) {
                Ok(()) => sent += 1,
                Err(error) => assert!(queue.len() > 10, "no room although {} wait: {error}", queue.len()),
            }
        }
        let left = if chance.one_in(3) { 0 } else { chance.below(8) };
        while queue.len() > left {
            let message = queue.recv_timeout(SOON).expect("a message that was sent");
            assert_eq!(message[..4], got.to_le_bytes(), "in order");
            assert!(message[4..].iter().all(|&byte| byte == got as u8));
            got += 1;
        }
    }
    println!("{sent} messages");
}

fn send_signal(process: &Process<()>, signal: Signal) {
    kill_process(Pid::from_raw(process.id() as i32).unwrap(), signal).unwrap();
}

/// Stopped is not dead: whoever is stopped with a lock keeps it, and others do not wait for it longer
/// than they said.
#[test]
fn who_does_not_want_to_wait_does_not_wait_for_the_stopped() {
    const STOPS: usize = 20;
    let _guard = bounded("stopped processes");
    let queue = Queue::<u32>::bounded(8).unwrap();
    let work: fn(Queue<u32>) = |queue| {
        for n in 0.. {
            let _ = queue.try_send(&n);
            let _ = queue.try_recv();
        }
    };
    let process = commons::spawn(queue.clone(), work).unwrap();
    let mut chance = Chance::new(seed("stopped processes"));
    let (mut slow, start) = (0, Instant::now());
    for _ in 0..STOPS {
        common::eventually("it works", || queue.try_recv().is_ok());
        thread::sleep(Duration::from_micros(chance.below(2000) as u64));
        send_signal(&process, Signal::STOP);
        let (done, finished) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                let began = Instant::now();
                let _ = queue.try_send(&0);
                let _ = queue.send_timeout(&0, Duration::ZERO);
                let _ = queue.try_recv();
                let _ = queue.recv_timeout(Duration::from_millis(1));
                let _ = queue.try_lease().map(|lease| lease.done());
                done.send(began.elapsed()).unwrap();
            });
            let took = finished.recv_timeout(SOON);
            send_signal(&process, Signal::CONT);
            slow += usize::from(took.expect("none of them waits") > Duration::from_millis(90));
        });
    }
    kill(&process);
    println!("stopped {STOPS} times, {slow} times with a lock, in {:.1?}", start.elapsed());
}
