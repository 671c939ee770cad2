//! The channel that Rust's users take between threads.

use std::hint::black_box;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{
    crew::{Crew, Post},
    groups::queue::{self, CAPACITY, Job, Parcel, Shape},
    measure::Made,
};

pub(crate) fn queue<T: Parcel + Send + 'static>(shape: Shape) -> Made {
    let (sender, receiver) = bounded(CAPACITY);
    Crew::threads(shape.jobs(&sender, &receiver), work::<T>)?.contestant(shape.share())
}

pub(crate) fn alone() -> Made {
    let (sender, receiver) = bounded(CAPACITY);
    queue::alone(
        move |n| sender.send(n).expect("the receiver is there"),
        move || receiver.recv().expect("the sender is there"),
    )
}

fn work<T: Parcel>((post, job): (Post, Job<Sender<T>, Receiver<T>>)) {
    post.attend(|turn| match &job {
        Job::Send(sender, producers) => {
            for n in 0..turn.count() / producers {
                sender.send(T::number(n)).expect("the receivers are there");
            }
        }
        Job::Receive(receiver, consumers) => {
            for _ in 0..turn.count() / consumers {
                black_box(receiver.recv().expect("the senders are there"));
            }
        }
    });
}
