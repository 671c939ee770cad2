//! Everything that is done with a segment that may be damaged.
//!
//! Only calls that must answer whatever the bytes are. A lock that somebody holds may be waited for
//! without end, so what knows no timeout is called only where the words in the file say that the
//! lock is free; and what panics on corrupt bits only where `try_get` was content.

#![allow(dead_code, reason = "the fuzz target and the tests use different parts")]

use std::{
    fmt::{self, Debug, Write as _},
    mem::offset_of,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use commons::{
    Array, Atomic, AtomicArray, ErrorKind, Plain, Result, Shareable, Shared, Value,
    bytemuck::Pod,
    catalog,
    sync::{Mutex, MutexGuard, TryLockError, Versioned},
};

/// A type with bits that are no value, and with padding.
#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
pub struct Mark {
    pub weight: u32,
    pub phase: Phase,
    pub letter: char,
}

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(u8)]
pub enum Phase {
    Idle = 1,
    Busy = 2,
}

pub const MARK: Mark = Mark { weight: 7, phase: Phase::Busy, letter: 'ä' };

/// A structure with every kind of field.
#[derive(Shareable)]
#[repr(C)]
pub struct Station {
    hits: AtomicU64,
    lanes: [AtomicU32; 3],
    best: Versioned<Mark>,
    table: Mutex<[u64; 4]>,
}

impl Station {
    pub fn new() -> Self {
        Self {
            hits: AtomicU64::new(1),
            lanes: [const { AtomicU32::new(2) }; 3],
            best: Versioned::new(MARK),
            table: Mutex::new([3; 4]),
        }
    }

    pub fn table(&self) -> &Mutex<[u64; 4]> {
        &self.table
    }
}

/// More elements than this are not copied; a file with holes may honestly have very many.
const MANY: usize = 1 << 14;

/// The payload in the file, to see which locks are free.
pub struct Payload(pub Vec<u8>);

impl Payload {
    fn is_free(&self, lock: usize) -> bool {
        const TID: u32 = 0x3fff_ffff;
        self.0.get(lock..lock + 4).is_some_and(|word| u32::from_ne_bytes(word.try_into().unwrap()) & TID == 0)
    }

    /// Whether an array's lock is free and nothing in it is claimed.
    fn is_unclaimed(&self) -> bool {
        const USED: std::ops::Range<usize> = 40..48;
        self.is_free(0) && self.0.get(USED).is_some_and(|used| used.iter().all(|&byte| byte == 0))
    }
}

/// What the name can be opened as. At most one kind, whatever the file says.
pub struct Opened {
    name: String,
    words: Option<Value<[u64; 3]>>,
    mark: Option<Value<Mark>>,
    numbers: Option<Array<u64>>,
    triples: Option<Array<[u32; 3]>>,
    marks: Option<Array<Mark>>,
    counters: Option<AtomicArray<u32>>,
    flags: Option<AtomicArray<bool>>,
    counter: Option<Atomic<u64>>,
    station: Option<Shared<Station>>,
}

impl Opened {
    /// Opens it as the kind with this number, or as every kind there is.
    pub fn open(name: &str, kind: Option<usize>) -> Self {
        let is = |number| kind.is_none_or(|kind| kind == number);
        let opened = Self {
            name: name.to_owned(),
            words: is(0).then(|| answer(Value::open(name))).flatten(),
            mark: is(1).then(|| answer(Value::open(name))).flatten(),
            numbers: is(2).then(|| answer(Array::open(name))).flatten(),
            triples: is(3).then(|| answer(Array::open(name))).flatten(),
            marks: is(4).then(|| answer(Array::open(name))).flatten(),
            counters: is(5).then(|| answer(AtomicArray::open(name))).flatten(),
            flags: is(6).then(|| answer(AtomicArray::open(name))).flatten(),
            counter: is(7).then(|| answer(Atomic::open(name))).flatten(),
            station: is(8).then(|| answer(Shared::open(name))).flatten(),
        };
        assert!(opened.count() <= 1, "one file was opened as {} kinds of object", opened.count());
        opened
    }

    pub fn count(&self) -> usize {
        [
            self.words.is_some(),
            self.mark.is_some(),
            self.numbers.is_some(),
            self.triples.is_some(),
            self.marks.is_some(),
            self.counters.is_some(),
            self.flags.is_some(),
            self.counter.is_some(),
            self.station.is_some(),
        ]
        .into_iter()
        .filter(|&is| is)
        .count()
    }

    /// `payload` as it stands in the file; a lock that somebody holds is waited for as long as `patience`.
    pub fn use_all(&self, payload: &Payload, patience: Duration) {
        if let Some(info) = answer(catalog::inspect(&self.name)) {
            show(&info);
        }
        if let Some(value) = &self.words {
            show(&value.info());
            use_value(value, [7, 8, 9], payload, patience);
        }
        if let Some(value) = &self.mark {
            show(&value.info());
            use_value(value, MARK, payload, patience);
        }
        if let Some(array) = &self.numbers {
            use_array(array, 5, patience);
        }
        if let Some(array) = &self.triples {
            use_array(array, [5, 6, 7], patience);
        }
        if let Some(array) = &self.marks {
            use_checked_array(array, payload);
        }
        if let Some(array) = &self.counters {
            show(&array.info());
            use_atomic_array(array, 5);
            if let Some(last) = array.len().checked_sub(1) {
                array.fetch_add(last, 3);
                assert_eq!(array.load(last), 8);
            }
        }
        if let Some(array) = &self.flags {
            show(&array.info());
            use_atomic_array(array, true);
        }
        if let Some(atomic) = &self.counter {
            show(&(atomic, atomic.info()));
            atomic.store(4);
            assert_eq!((atomic.fetch_max(6), atomic.load()), (4, 6));
        }
        if let Some(station) = &self.station {
            show(&(station, Shared::info(station)));
            use_station(station, payload, patience);
        }
    }
}

/// The object, or nothing after a look at the error: it is of a kind for bad files, and says something.
fn answer<T>(opened: Result<T>) -> Option<T> {
    let error = match opened {
        Ok(object) => return Some(object),
        Err(error) => error,
    };
    let fit = matches!(
        error.kind(),
        ErrorKind::Corrupt
            | ErrorKind::Mismatch
            | ErrorKind::OtherNamespace
            | ErrorKind::NoSpace
            | ErrorKind::Os
    );
    assert!(fit && !error.to_string().is_empty(), "{:?}: {error}", error.kind());
    None
}

fn show(what: &impl Debug) {
    write!(Nowhere, "{what:?}").expect("every text goes nowhere");
}

/// Printing must not fail, whatever is printed; the text itself is of no use.
struct Nowhere;

impl fmt::Write for Nowhere {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        std::hint::black_box(text);
        Ok(())
    }
}

fn use_value<T>(value: &Value<T>, new: T, payload: &Payload, patience: Duration)
where
    T: Plain + Send + PartialEq + Debug,
{
    show(value);
    if let Ok(old) = value.try_get() {
        if let Some(guard) = value.try_lock() {
            assert!(value.try_lock().is_none() && *guard == old);
        }
        if let Some(mut guard) = value.lock_timeout(patience) {
            *guard = new;
        }
        show(&value.wait_until_timeout(|_| true, patience).is_ok());
        show(&value.wait_until_timeout(|_| false, Duration::ZERO).is_err());
    }
    if payload.is_free(0) {
        value.set(new);
        assert_eq!(value.get(), new);
        value.update(|inside| assert_eq!(*inside, new));
        assert_eq!(value.try_get().unwrap(), new);
    }
}

fn use_array<T>(array: &Array<T>, new: T, patience: Duration)
where
    T: Pod + Plain + Send + Sync + PartialEq + Debug,
{
    show(&(array, array.info(), array.shape()));
    let len = array.len();
    assert_eq!(array.is_empty(), len == 0);
    assert!(array.claim_timeout(len + 1.., Duration::ZERO).is_err() && array.read(len, &mut [new]).is_err());
    let Some(mut all) = taken(array.claim_timeout(.., patience)) else {
        show(&taken(array.try_share(..len / 2)));
        return;
    };
    assert_eq!(all.len(), len);
    if let (Some(first), true) = (all.first_mut(), len > 1) {
        *first = new;
    }
    if let Some(last) = all.last_mut() {
        *last = new;
        assert!(array.read(len - 1, &mut [new]).is_err(), "claimed by this thread");
    }
    drop(all);
    // The whole array was free just now, but a scribbled table may have room for one claim only.
    if let (Some(low), Some(mut high)) =
        (taken(array.try_share(..len / 2)), taken(array.try_claim(len / 2..)))
    {
        assert_eq!(low.len() + high.len(), len);
        if let Some(last) = high.last_mut() {
            *last = new;
        }
        show(&low.first());
    }
    if let Some(last) = len.checked_sub(1) {
        assert_eq!(array.get(last), Some(new));
        array.set(0, new);
        array.update(last, |inside| *inside = new);
        assert_eq!(array.get(0), Some(new));
        array.write(last, &[new]).unwrap();
        let mut read = [T::zeroed()];
        array.read(last, &mut read).unwrap();
        assert_eq!(read, [new]);
    }
    assert_eq!(array.get(len), None);
    if len <= MANY {
        assert_eq!(array.to_vec().len(), len);
    }
}

/// Arrays of what is not `Pod` have no claims, and so no calls with a timeout.
fn use_checked_array(array: &Array<Mark>, payload: &Payload) {
    show(&(array, array.info(), array.shape()));
    let len = array.len();
    assert!(array.read(len, &mut [MARK]).is_err());
    if !payload.is_unclaimed() {
        return;
    }
    let mut read = vec![MARK; len.min(MANY)];
    match array.read(0, &mut read) {
        Ok(()) if len <= MANY => assert_eq!(array.to_vec(), read),
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
    }
    if let Some(last) = len.checked_sub(1) {
        array.set(last, MARK);
        array.update(last, |inside| assert_eq!(*inside, MARK));
        assert_eq!(array.get(last), Some(MARK));
        array.write(0, &[MARK]).unwrap();
    }
}

/// What a claim or share gave; `None` if somebody else holds the range.
fn taken<T>(part: Result<T>) -> Option<T> {
    match part {
        Ok(part) => Some(part),
        Err(error) => {
            let held = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
            assert!(held, "{:?}: {error}", error.kind());
            None
        }
    }
}

fn use_atomic_array<T>(array: &AtomicArray<T>, new: T)
where
    T: commons::Word,
{
    show(array);
    let len = array.len();
    for index in [Some(0), len.checked_sub(1)].into_iter().flatten().filter(|&index| index < len) {
        array.swap(index, new);
        assert_eq!(array.load(index), new);
        assert!(array.compare_exchange(index, new, new).is_ok());
    }
    if len <= MANY {
        assert_eq!(array.to_vec().len(), len);
    }
}

fn use_station(station: &Station, payload: &Payload, patience: Duration) {
    station.hits.store(9, Relaxed);
    station.lanes[2].store(9, Relaxed);
    assert_eq!((station.hits.load(Relaxed), station.lanes[2].load(Relaxed)), (9, 9));
    show(&station.best);
    show(&station.best.try_get());
    if payload.is_free(offset_of!(Station, best)) {
        station.best.set(MARK);
        station.best.update(|inside| assert_eq!(*inside, MARK));
        assert_eq!(station.best.get(), MARK);
    }
    show(&station.table);
    for attempt in 0..2 {
        let guard =
            if attempt == 0 { station.table.try_lock() } else { station.table.lock_timeout(patience) };
        match guard {
            Ok(mut guard) => guard[3] ^= 1,
            Err(TryLockError::OwnerDied(died)) => {
                let mut guard = died.into_guard();
                guard.fill(0);
                MutexGuard::mark_consistent(&mut guard);
            }
            Err(TryLockError::WouldBlock | TryLockError::TimedOut) => continue,
        }
        // A lock that was given back is free.
        assert!(station.table.try_lock().is_ok());
    }
}
