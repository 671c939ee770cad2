//! The crate `ipc-channel`: sockets between processes.

use std::hint::black_box;

use commons::Queue;
use ipc_channel::ipc::{IpcOneShotServer, IpcSender};

use crate::{
    crew::{Crew, Post},
    groups::queue::{Job, Shape},
    measure::Made,
};

pub(crate) fn queue(shape: Shape) -> Made {
    let names = Queue::<String>::unbounded().map_err(|error| error.to_string())?;
    Crew::processes(shape.jobs(&names, &names), work)?.contestant(shape.share())
}

/// The receiver opens a server, under a name of which the sender hears by a queue of ours.
fn work((post, job): (Post, Job<Queue<String>, Queue<String>>)) {
    match job {
        Job::Send(names, _) => {
            let name = names.recv().expect("nobody closes it");
            let sender = IpcSender::connect(name).expect("the server waits");
            sender.send(0).expect("the receiver waits for it");
            post.attend(|turn| {
                for n in 0..turn.count() {
                    sender.send(n).expect("the receiver is there");
                }
            });
        }
        Job::Receive(names, _) => {
            let (server, name) = IpcOneShotServer::<u64>::new().expect("a temporary directory");
            names.send(&name).expect("nobody closes it");
            let (receiver, _) = server.accept().expect("a sender");
            post.attend(|turn| {
                for _ in 0..turn.count() {
                    black_box(receiver.recv().expect("the sender is there"));
                }
            });
        }
    }
}
