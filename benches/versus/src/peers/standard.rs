//! What the standard library offers to the threads of one process.

use std::{
    hint::black_box,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc,
    },
};

use crate::{
    crew::{Crew, Post},
    groups::queue::{CAPACITY, Job, Shape},
    measure::{Made, repeat_alone},
};

/// Alone on its cache lines, as what lies in a segment is.
#[repr(align(128))]
struct Apart<T>(T);

/// Adds one to a number under the lock.
pub(crate) fn mutex() -> Made {
    let lock = Box::new(Apart(Mutex::new(0u64)));
    Ok(Box::new(move |count| {
        repeat_alone(count, || {
            let mut guard = lock.0.lock().expect("no thread has panicked");
            *guard += 1;
            *guard
        })
    }))
}

/// Copies a number under a read lock.
pub(crate) fn rwlock_read() -> Made {
    let lock = Box::new(Apart(RwLock::new(7u64)));
    Ok(Box::new(move |count| repeat_alone(count, || *lock.0.read().expect("no thread has panicked"))))
}

pub(crate) fn fetch_add() -> Made {
    let atomic = Box::new(Apart(AtomicU64::new(0)));
    Ok(Box::new(move |count| repeat_alone(count, || atomic.0.fetch_add(1, SeqCst))))
}

pub(crate) fn sync_channel(shape: Shape) -> Made {
    let (sender, receiver) = mpsc::sync_channel(CAPACITY);
    // Of receivers there is one, and the job is copied.
    let receiver = Arc::new(Mutex::new(receiver));
    Crew::threads(shape.jobs(&sender, &receiver), channel_work)?.contestant(shape.share())
}

type Ends = Job<mpsc::SyncSender<u64>, Arc<Mutex<mpsc::Receiver<u64>>>>;

fn channel_work((post, job): (Post, Ends)) {
    match job {
        Job::Send(sender, producers) => post.attend(|turn| {
            for n in 0..turn.count() / producers {
                sender.send(n).expect("the receiver is there");
            }
        }),
        Job::Receive(receiver, consumers) => {
            let receiver = receiver.lock().expect("no thread has panicked");
            post.attend(|turn| {
                for _ in 0..turn.count() / consumers {
                    black_box(receiver.recv().expect("the sender is there"));
                }
            });
        }
    }
}
