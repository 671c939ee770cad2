//! Queues, channels, pipes, listeners and select, between processes and under kills.

mod common;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    time::{Duration, Instant},
};

use common::watchdog::watchdog;
use commons::{
    AtomicArray, Connection, ErrorKind, Listener, Queue, Receiver, RecvError, Select, Sender, TryRecvError,
    TrySendError, Value,
};

commons::init_in_tests!();

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn messages_of_every_size_arrive_in_order() {
    let _guard = watchdog("messages of every size", LIMIT);
    let queue = Queue::<(usize, Vec<u8>)>::bounded(1000).unwrap();
    const SIZES: [usize; 14] = [0, 1, 7, 8, 9, 4096, 70_000, 65_520, 1 << 20, 16 << 20, 5, 300_000, 0, 64];
    let sender = commons::spawn(queue.clone(), |queue| {
        for (index, size) in SIZES.into_iter().cycle().take(3 * SIZES.len()).enumerate() {
            queue.send(&(index, vec![index as u8; size])).unwrap();
        }
        queue.close();
    });
    for (expected, message) in queue.iter().enumerate() {
        let (index, bytes) = message.unwrap();
        assert_eq!((index, bytes.len()), (expected, SIZES[expected % SIZES.len()]));
        assert!(bytes.iter().all(|&byte| byte == index as u8));
    }
    sender.unwrap().join().unwrap();
    assert!(matches!(queue.recv(), Err(RecvError::Closed)));
    assert!(matches!(queue.try_send(&(0, vec![])), Err(TrySendError::Closed)));
}

#[test]
fn a_message_larger_than_all_rings_follows_small_ones() {
    let _guard = watchdog("a large message behind small ones", LIMIT);
    // The first ring has 16384 words, and a message one more than its bytes fill. Whether the words that
    // say where the large one is fit there too depends on how many are left.
    for left in 1..8 {
        let queue = Queue::<()>::options().bytes(256 << 10).unbounded().unwrap();
        (0..126).for_each(|_| queue.send_bytes(&[1; 1024]).unwrap());
        queue.send_bytes(&vec![2; (129 - left) * 8]).unwrap();
        queue.send_bytes(&vec![3; 1 << 20]).unwrap();
        queue.send_bytes(b"last").unwrap();
        queue.close();
        let mut buffer = vec![0; 1 << 20];
        let lens: Vec<usize> = std::iter::from_fn(|| queue.recv_bytes(&mut buffer).ok()).collect();
        assert_eq!(lens[126..], [(129 - left) * 8, 1 << 20, 4]);
    }
}

#[test]
fn a_message_larger_than_all_rings_arrives() {
    let _guard = watchdog("a message larger than all rings", LIMIT);
    let queue = Queue::<()>::options().bytes(64 << 10).bounded(100).unwrap();
    let sender = commons::spawn(queue.clone(), |queue| {
        for byte in 0..6u8 {
            queue.send_bytes(&vec![byte; 1 << 20]).unwrap();
            queue.send_bytes(&[byte; 3]).unwrap();
        }
    });
    let mut buffer = vec![0; 2 << 20];
    for byte in 0..6u8 {
        assert_eq!(queue.recv_bytes(&mut buffer).unwrap(), 1 << 20);
        assert!(buffer[..1 << 20].iter().all(|&b| b == byte));
        assert_eq!(queue.recv_bytes(&mut buffer).unwrap(), 3);
    }
    sender.unwrap().join().unwrap();
}

#[test]
fn a_bounded_queue_takes_so_many_and_counts_them() {
    let queue = Queue::<Vec<u8>>::bounded(1000).unwrap();
    for n in 0..1000 {
        assert_eq!(queue.len(), n);
        queue.try_send(&vec![7; 10_000]).unwrap();
    }
    assert!(queue.is_full());
    assert!(matches!(queue.try_send(&vec![]), Err(TrySendError::Full)));
    for n in (0..1000).rev() {
        assert_eq!(queue.try_recv().unwrap().len(), 10_000);
        assert_eq!(queue.len(), n);
    }
    assert!(matches!(queue.try_recv(), Err(TryRecvError::Empty)));
    assert_eq!(Queue::<u8>::bounded(0).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn bytes_too_many_for_the_buffer_come_with_the_error() {
    let (a, b) = commons::pipe::<(), ()>().unwrap();
    a.send_bytes(b"").unwrap();
    a.send_bytes(b"seven").unwrap();
    a.send_bytes(b"on").unwrap();
    let mut buffer = [0; 4];
    assert_eq!(b.recv_bytes(&mut buffer).unwrap(), 0);
    assert_eq!(b.recv_bytes(&mut buffer).unwrap_err().into_message().unwrap(), b"seven");
    assert_eq!(b.recv_bytes(&mut buffer).unwrap(), 2);
}

#[test]
fn another_type_is_an_error() {
    let queue = Queue::<()>::bounded(10).unwrap();
    queue.send_bytes(&[1, 2, 3]).unwrap();
    let Err(RecvError::Failed(error)) = queue.recv() else { panic!("three bytes are no ()") };
    assert_eq!(error.kind(), ErrorKind::Decode);
}

#[test]
fn handles_arrive_although_their_sender_drops_them_at_once() {
    let _guard = watchdog("handles in messages", LIMIT);
    let queue = Queue::<Value<u64>>::bounded(10).unwrap();
    let sender = commons::spawn(queue.clone(), |queue| {
        for n in 0..5 {
            queue.send(&Value::new(n).unwrap()).unwrap();
        }
    });
    for n in 0..5 {
        assert_eq!(queue.recv().unwrap().get(), n);
    }
    sender.unwrap().join().unwrap();
}

/// What of the work is done: how often each message was worked on.
type Work = (Queue<u32>, AtomicArray<u32>);

fn work((queue, done): Work) {
    while let Ok(lease) = queue.lease() {
        done.fetch_add(*lease as usize, 1);
        lease.done().unwrap();
    }
}

#[test]
fn leased_messages_survive_the_death_of_their_workers() {
    const MESSAGES: u32 = 20_000;
    let _guard = watchdog("leases under kills", LIMIT);
    let (queue, done) =
        (Queue::<u32>::bounded(64).unwrap(), AtomicArray::<u32>::new(MESSAGES as usize).unwrap());
    let start = || commons::spawn((queue.clone(), done.clone()), work).unwrap();
    let mut workers: Vec<_> = (0..3).map(|_| start()).collect();
    let mut chance = common::chance::Chance::new(common::chance::seed("leases"));
    let mut kills = 0;
    for n in 0..MESSAGES {
        queue.send(&n).unwrap();
        if chance.one_in(200) {
            let victim = chance.below(3);
            let dead = std::mem::replace(&mut workers[victim], start());
            dead.kill().unwrap();
            dead.wait().unwrap();
            kills += 1;
        }
    }
    queue.join_timeout(Duration::from_secs(60)).unwrap();
    queue.close();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let mut times = BTreeMap::new();
    done.to_vec().into_iter().for_each(|n| *times.entry(n).or_insert(0) += 1);
    println!("{kills} kills; so many messages were worked on so often: {times:?}");
    assert!(!times.contains_key(&0), "a message was lost: {times:?}");
    assert!(times.iter().filter(|(n, _)| **n > 1).map(|(_, count)| count).sum::<u32>() <= kills);
}

#[test]
fn producers_that_are_killed_tear_nothing_and_block_nobody() {
    const KILLS: usize = 150;
    let _guard = watchdog("producers under kills", LIMIT);
    // Each message says who sent it, its number, and has a length and bytes that follow from both.
    type Message = (u32, u32, Vec<u8>);
    fn message(producer: u32, number: u32) -> Message {
        (producer, number, vec![(producer ^ number) as u8; (number % 300) as usize])
    }
    fn produce((queue, sent, producer): (Queue<Message>, AtomicArray<u32>, u32)) {
        for number in 0.. {
            queue.send(&message(producer, number)).unwrap();
            sent.store(producer as usize, number + 1);
        }
    }
    let queue = Queue::<Message>::bounded(100).unwrap();
    let sent = AtomicArray::<u32>::new(KILLS + 2).unwrap();
    let start = |producer: u32| commons::spawn((queue.clone(), sent.clone(), producer), produce).unwrap();
    let mut producers = vec![(0, start(0)), (1, start(1))];
    let mut received: Vec<u32> = vec![0; KILLS + 2];
    let mut receive = |queue: &Queue<Message>| {
        let (producer, number, bytes) =
            queue.recv_timeout(Duration::from_secs(20)).expect("a message in time");
        assert_eq!(
            (producer, number, bytes),
            message(producer, received[producer as usize]),
            "in order and whole"
        );
        received[producer as usize] += 1;
    };
    for kill in 0..KILLS {
        (0..200).for_each(|_| receive(&queue));
        let (_, dead) = producers.remove(0);
        dead.kill().unwrap();
        dead.wait().unwrap();
        let next = kill as u32 + 2;
        producers.push((next, start(next)));
    }
    for (_, producer) in producers {
        producer.kill().unwrap();
        producer.wait().unwrap();
    }
    while !queue.is_empty() {
        receive(&queue);
    }
    for (producer, (&got, sent)) in received.iter().zip(sent.to_vec()).enumerate() {
        assert!(got == sent || got == sent + 1, "producer {producer} sent {sent} and {got} arrived");
    }
    println!("{KILLS} kills, {} messages", received.iter().sum::<u32>());
}

#[test]
fn a_receiver_hears_within_200_ms_that_its_senders_died() {
    let _guard = watchdog("dead senders", LIMIT);
    let (sender, receiver) = commons::channel::<u32>(10).unwrap();
    let process = commons::spawn(sender, |sender: Sender<u32>| -> () {
        sender.send(&5).unwrap();
        loop {
            std::thread::park();
        }
    })
    .unwrap();
    assert_eq!(receiver.recv().unwrap(), 5);
    assert!(matches!(receiver.try_recv(), Err(TryRecvError::Empty)));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| (receiver.recv().unwrap_err(), Instant::now()));
        process.kill().unwrap();
        process.wait().unwrap();
        let dead = Instant::now();
        let (error, heard) = waiter.join().unwrap();
        assert!(matches!(error, RecvError::Disconnected));
        let latency = heard.saturating_duration_since(dead);
        assert!(latency < Duration::from_millis(200), "heard after {latency:?}");
    });
}

#[test]
fn a_sender_hears_that_its_receivers_are_gone() {
    let (sender, receiver) = commons::channel::<u32>(1).unwrap();
    let second = receiver.clone();
    drop(receiver);
    sender.send(&1).unwrap();
    drop(second);
    assert!(matches!(sender.send(&2), Err(commons::SendError::Disconnected)));
}

#[test]
fn ends_of_channels_and_pipes_travel() {
    let _guard = watchdog("ends that travel", LIMIT);
    let (sender, receiver) = commons::channel::<u32>(10).unwrap();
    let (near, far) = commons::pipe::<Sender<u32>, u32>().unwrap();
    let process =
        commons::spawn((receiver, far), |(receiver, far): (Receiver<u32>, Connection<u32, Sender<u32>>)| {
            let sender = far.recv().unwrap();
            sender.send(&1).unwrap();
            drop(sender);
            far.send(&receiver.iter().map(Result::unwrap).sum()).unwrap();
        })
        .unwrap();
    sender.send(&40).unwrap();
    near.send(&sender).unwrap();
    sender.send(&1).unwrap();
    drop(sender);
    assert_eq!(near.recv().unwrap(), 42);
    process.join().unwrap();
    assert!(matches!(near.recv(), Err(RecvError::Disconnected)));
}

#[test]
fn strangers_meet_at_a_listener() {
    let _guard = watchdog("a listener", LIMIT);
    let name = format!("test-listener-{}", std::process::id());
    assert_eq!(Connection::<u8, u8>::connect(&name).unwrap_err().kind(), ErrorKind::NotFound);
    let listener = Listener::bind(&name).unwrap();
    assert_eq!(Listener::bind(&name).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(Listener::bind("a/b").unwrap_err().kind(), ErrorKind::InvalidName);
    assert_eq!(listener.try_accept::<u8, u8>().unwrap_err().kind(), ErrorKind::WouldBlock);
    let client = commons::spawn(name, |name| {
        let server = Connection::<String, usize>::connect(&name).unwrap();
        server.send(&"seven".to_owned()).unwrap();
        server.recv().unwrap()
    });
    let connection: Connection<usize, String> = listener.accept_timeout(Duration::from_secs(30)).unwrap();
    connection.send(&connection.recv().unwrap().len()).unwrap();
    assert_eq!(client.unwrap().join().unwrap(), 5);
}

#[test]
fn select_tells_what_is_ready() {
    let _guard = watchdog("select", LIMIT);
    let queue = Queue::<u32>::bounded(10).unwrap();
    let (sender, receiver) = commons::channel::<u32>(10).unwrap();
    let event = commons::Shared::new(commons::sync::Event::new()).unwrap();
    let process = commons::spawn(queue.clone(), |queue| queue.send(&1).unwrap()).unwrap();
    let select = Select::new().on(&queue).on(&receiver).on(&*event).on(&process);
    assert!(select.wait().unwrap().iter().all(|index| [0, 3].contains(index)));
    assert_eq!(queue.recv().unwrap(), 1);
    process.wait().unwrap();
    assert_eq!(select.wait().unwrap(), [3]);
    let waits = Select::new().on(&queue).on(&receiver).on(&*event);
    let timeout = waits.wait_timeout(Duration::from_millis(5)).unwrap_err();
    assert_eq!(timeout.kind(), ErrorKind::TimedOut);
    std::thread::scope(|scope| {
        scope.spawn(|| sender.send(&2).unwrap());
        assert_eq!(waits.wait().unwrap(), [1]);
    });
    receiver.recv().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| event.set());
        assert_eq!(waits.wait().unwrap(), [2]);
    });
}

/// A number that cannot be read while it is said to be unreadable.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u8")]
struct Readable(u8);

static UNREADABLE: AtomicU8 = AtomicU8::new(0);

impl TryFrom<u8> for Readable {
    type Error = &'static str;

    fn try_from(n: u8) -> Result<Self, Self::Error> {
        if n == UNREADABLE.load(Relaxed) { Err("unreadable") } else { Ok(Self(n)) }
    }
}

#[test]
fn a_dead_message_that_cannot_be_read_takes_no_other_with_it() {
    let queue = Queue::<Readable>::options().max_attempts(1).bounded(10).unwrap();
    (1..=3).for_each(|n| queue.send(&Readable(n)).unwrap());
    (0..3).for_each(|_| drop(queue.lease().unwrap()));
    assert!(queue.try_lease().is_err());
    UNREADABLE.store(2, Relaxed);
    let dead = || queue.dead().map(|dead| dead.iter().map(|Readable(n)| *n).collect::<Vec<_>>());
    assert_eq!(dead().unwrap(), [1]);
    assert_eq!(dead().unwrap_err().kind(), ErrorKind::Decode);
    assert_eq!(dead().unwrap(), [3]);
    assert_eq!(dead().unwrap(), []);
}
