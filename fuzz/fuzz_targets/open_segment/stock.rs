//! Valid files of every kind, made by the crate itself: as it left them, and while they were held.

use std::{fs, sync::mpsc, thread};

use commons::{Array, Atomic, AtomicArray, Shared, Value};

use super::{
    stage,
    uses::{MARK, Station},
};

/// The bytes of one kind of object.
pub struct Template {
    pub idle: Vec<u8>,
    /// Its locks and claims are held by a thread that lives.
    pub held: Vec<u8>,
}

pub struct Stock {
    pub templates: Vec<Template>,
    /// The thread that made the files and waits until the process ends.
    pub keeper: u32,
    /// A thread that has ended.
    pub ended: u32,
}

impl Stock {
    /// Makes one object after the other under this name.
    pub fn new(name: &str) -> Self {
        let name = name.to_owned();
        let (send, receive) = mpsc::channel();
        let keeper = thread::spawn(move || {
            send.send((templates(&name), tid())).expect("somebody waits for them");
            loop {
                thread::park();
            }
        });
        drop(keeper);
        let (templates, keeper) = receive.recv().expect("a file of every kind");
        let ended = thread::spawn(tid).join().expect("a number");
        Self { templates, keeper, ended }
    }
}

/// The kernel's number of the calling thread.
pub fn tid() -> u32 {
    // SAFETY: takes nothing and returns a number.
    unsafe { libc::gettid() }.cast_unsigned()
}

/// Makes an object, and reads its file before and while the guard exists.
macro_rules! template {
    ($bytes:ident: $make:expr, $object:ident => $guard:expr) => {{
        let $object = $make.expect("an object in an empty directory");
        let idle = $bytes();
        let held = {
            let _guards = $guard;
            $bytes()
        };
        Template { idle, held }
    }};
}

/// In the order of the numbers of `Opened::open`.
fn templates(name: &str) -> Vec<Template> {
    let bytes = || fs::read(stage::path_of(name)).expect("the object's bytes");
    let words = || Value::create(name, [1u64, 2, 3]);
    let numbers = || Array::<u64>::options().create_with_shape(name, [2, 3]);
    vec![
        template!(bytes: words(), value => value.try_lock()),
        template!(bytes: Value::create(name, MARK), value => value.try_lock()),
        template!(bytes: numbers(), array => (array.try_claim(1..3), array.try_share(4..))),
        template!(bytes: Array::create_from(name, &[[1u32, 2, 3]; 5]), array => array.try_claim(..)),
        template!(bytes: Array::create_from(name, &[MARK; 4]), array => array.len()),
        template!(bytes: AtomicArray::<u32>::create(name, 7), array => array.len()),
        template!(bytes: AtomicArray::<bool>::create(name, 5), array => array.len()),
        template!(bytes: Atomic::create(name, 1u64), atomic => atomic.load()),
        template!(bytes: Shared::create(name, Station::new()), station => station.table().try_lock().ok()),
    ]
}
