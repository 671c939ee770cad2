//! The ends of a channel: a receiver gets what was sent and hears that its last sender died, a sender
//! that its last receiver did.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use commons::{Queue, Receiver, RecvError, SendError, Sender};

use super::{
    harness::{Died, kill_after_every_instruction},
    ptrace::Marker,
    room::{Parts, TO_THE_END, Waiter},
};

/// 200 ms are promised; a busy machine takes longer now and then.
const SOON: Duration = Duration::from_millis(900);

/// By how much the slowest heard later.
fn note(slowest: &Cell<Duration>, death: Instant, heard: Instant) {
    let latency = heard.saturating_duration_since(death);
    assert!(latency < SOON, "heard after {latency:?}");
    slowest.set(slowest.get().max(latency));
}

#[test]
fn a_receiver_gets_what_was_sent_and_hears_of_the_death() {
    let (ends, slowest) = (Queue::<Receiver<u32>>::bounded(2).unwrap(), Cell::new(Duration::ZERO));
    let waiter = RefCell::new(None);
    let mut scene = Parts::<false, TO_THE_END, _, _, _> {
        before: || {},
        start: || {
            let receiver = ends.recv().unwrap();
            assert_eq!(receiver.recv().unwrap(), 1);
            let wait = move || {
                let mut got = Vec::new();
                loop {
                    match receiver.recv() {
                        Ok(number) => got.push(number),
                        Err(error) => return (got, error, Instant::now()),
                    }
                }
            };
            *waiter.borrow_mut() = Some(Waiter::start("the receiver", wait));
        },
        check: || {
            let death = Instant::now();
            let (got, error, heard) = waiter.take().unwrap().goes_on();
            assert!(matches!(error, RecvError::Disconnected), "{error}");
            note(&slowest, death, heard);
            match got[..] {
                [] => Died::Before,
                [2] => Died::After,
                _ => panic!("received {got:?}"),
            }
        },
        stride: 17,
    };
    let worker = |ends: Queue<Receiver<u32>>| {
        let (sender, receiver) = commons::channel(10).unwrap();
        ends.send(&receiver).unwrap();
        sender.send(&1).unwrap();
        let marker = Marker::when_traced();
        marker.hit();
        sender.send(&2).unwrap();
        marker.hit();
        drop((sender, receiver));
    };
    kill_after_every_instruction("Sender::send", &ends.clone(), worker, &mut scene);
    println!("the receiver heard of it {:?} later at the latest", slowest.get());
}

#[test]
fn a_sender_hears_of_the_death_of_its_receiver() {
    let (ends, slowest) = (Queue::<Sender<u32>>::bounded(2).unwrap(), Cell::new(Duration::ZERO));
    let waiter = RefCell::new(None);
    let mut scene = Parts::<false, TO_THE_END, _, _, _> {
        before: || {},
        start: || {
            let sender = ends.recv().unwrap();
            let wait = move || {
                for sent in 0.. {
                    if let Err(error) = sender.send(&7) {
                        return (sent, error, Instant::now());
                    }
                }
                unreachable!()
            };
            *waiter.borrow_mut() = Some(Waiter::asleep("the sender", wait));
        },
        check: || {
            let death = Instant::now();
            let (sent, error, heard) = waiter.take().unwrap().goes_on();
            assert!(matches!(error, SendError::Disconnected), "{error}");
            note(&slowest, death, heard);
            match sent {
                2 => Died::Before,
                3 => Died::After,
                _ => panic!("{sent} messages were sent through a channel of two"),
            }
        },
        stride: 17,
    };
    let worker = |ends: Queue<Sender<u32>>| {
        let (sender, receiver) = commons::channel(2).unwrap();
        sender.send(&1).unwrap();
        receiver.recv().unwrap();
        ends.send(&sender).unwrap();
        drop(sender);
        let marker = Marker::when_traced();
        marker.hit();
        receiver.recv().unwrap();
        marker.hit();
        drop(receiver);
    };
    kill_after_every_instruction("Receiver::recv", &ends.clone(), worker, &mut scene);
    println!("the sender heard of it {:?} later at the latest", slowest.get());
}
