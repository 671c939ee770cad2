//! Two terminals that talk to each other.
//!
//! `cargo run --example chat -- NAME`, in one terminal and then in another one. The first waits under
//! the name, the second connects to it. A line that is typed in one appears in the other; the end of
//! the input (Ctrl-D) says goodbye.

use std::{
    env,
    io::{self, BufRead, Write},
    process::exit,
    thread,
};

use commons::{Connection, Error, ErrorKind, Listener, RecvError};

type Line = Connection<String, String>;

/// Whoever comes first listens.
fn meet(name: &str) -> Result<Line, Error> {
    loop {
        match Connection::connect(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            met => return met,
        }
        match Listener::bind(name) {
            Ok(listener) => {
                eprintln!("Waiting for somebody: `chat {name}` in another terminal.");
                return listener.accept();
            }
            // Both came at the same time.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Prints what the other one says, until there is no other one.
fn listen(line: &Line) {
    loop {
        match line.recv() {
            Ok(words) => {
                println!("> {words}");
                let _ = io::stdout().flush();
            }
            Err(RecvError::Disconnected) => break eprintln!("The other one has gone."),
            Err(error) => break eprintln!("{error}"),
        }
    }
}

fn main() -> Result<(), Error> {
    commons::init();
    let Some(name) = env::args().nth(1) else {
        eprintln!("usage: chat NAME");
        exit(2);
    };
    let line = meet(&name)?;
    eprintln!("Connected. Ctrl-D ends it.");
    let ear = line.clone();
    thread::spawn(move || {
        listen(&ear);
        // Nobody is left to talk to, and the input may never end.
        exit(0);
    });
    for words in io::stdin().lock().lines().map_while(Result::ok) {
        if line.send(&words).is_err() {
            break;
        }
    }
    Ok(())
}
