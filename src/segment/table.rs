//! Everything this process is attached to, and the handles on it.
//!
//! One file has one attachment in a process, however many handles there are. Attaching and leaving
//! are one critical section: else a handle that is dropped and a name that is opened at the same
//! time would leave the object under the new handle.
//!
//! The table survives a fork: the forking thread holds it while the process is copied, so the child
//! never finds it locked by a thread that it does not have. At exit all attachments are left, so
//! names go although nothing in a `static` is ever dropped.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    ptr::NonNull,
    sync::{
        Arc, Mutex, MutexGuard, Once, PoisonError, TryLockError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::*},
    },
    time::Duration,
};

use super::{attach::Attachment, info::SegmentInfo, lifecycle::Patience, rows};
use crate::{
    raw::region::{self, Peers},
    sys::{fork, hooks, map::Address, shm::Inode},
};

/// What this process is attached to.
#[derive(Debug)]
pub(crate) struct Table {
    here: BTreeMap<Inode, Arc<Attachment>>,
    /// Left at exit, but mapped until the end: other threads may still use the memory.
    departed: Vec<Arc<Attachment>>,
    /// What messages on their way hold.
    pinned: Vec<Segment>,
    /// Named objects that were created here.
    pub(crate) creations: usize,
}

static TABLE: Mutex<Table> =
    Mutex::new(Table { here: BTreeMap::new(), departed: Vec::new(), pinned: Vec::new(), creations: 0 });

/// The table, locked.
pub(crate) fn lock() -> MutexGuard<'static, Table> {
    static FORKS: Once = Once::new();
    FORKS.call_once(|| {
        // The regions' lock is taken inside this one, so its handlers must be there first.
        region::hold_over_forks();
        // Without the handlers only a fork beside a running attach could hang its child.
        let _ = hooks::around_fork(before_fork, after_fork);
    });
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    static DURING_FORK: Cell<Option<MutexGuard<'static, Table>>> = const { Cell::new(None) };
}

extern "C" fn before_fork() {
    let table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    // A thread that is past its last breath forks without the table.
    let _ = DURING_FORK.try_with(|cell| cell.set(Some(table)));
}

extern "C" fn after_fork() {
    let _ = DURING_FORK.try_with(Cell::take);
}

/// How many segments messages on their way hold, for a look without the lock.
static PINNED: AtomicUsize = AtomicUsize::new(0);

impl Table {
    /// Holds what a message has that is on its way; once, in however many messages it is.
    pub(crate) fn pin(&mut self, segments: Vec<Segment>) {
        for segment in segments {
            let held = |other: &Segment| Arc::ptr_eq(&other.attachment, &segment.attachment);
            // One that is held already is not its last handle, so it may go under the lock.
            if !self.pinned.iter().any(held) {
                self.pinned.push(segment);
            }
        }
        PINNED.store(self.pinned.len(), Relaxed);
    }

    /// The first of what messages on their way hold.
    pub(crate) fn first_pinned(&self) -> Option<Segment> {
        self.pinned.first().cloned()
    }

    /// A new handle on what this process is attached to already.
    pub(crate) fn find(&self, inode: Inode) -> Option<Segment> {
        let attachment = self.here.get(&inode)?;
        let _ = attachment.slot(); // in a forked child it becomes the child's own with this use
        Some(Segment::new(attachment))
    }

    /// Whether this process is attached to the file.
    pub(crate) fn has(&self, inode: Inode) -> bool {
        self.here.contains_key(&inode)
    }

    /// The numbers of all attached files, on whatever device.
    pub(crate) fn numbers(&self) -> BTreeSet<u64> {
        self.here.keys().map(|inode| inode.number).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.here.len()
    }

    /// Announces a new attachment to the locks; its first handle.
    pub(crate) fn insert(&mut self, attachment: Attachment) -> Segment {
        if attachment.name().is_some() {
            leave_all_at_exit();
        }
        let attachment = Arc::new(attachment);
        let peers: Arc<dyn Peers> = attachment.clone();
        let peers: Weak<dyn Peers> = Arc::downgrade(&peers);
        let (base, len) = (address(&attachment), attachment.mapping().len());
        region::register(base, len, attachment.slot(), peers);
        let segment = Segment::new(&attachment);
        // We hold the file open, so its number is not given to another one.
        let old = self.here.insert(attachment.hold().inode(), attachment);
        debug_assert!(old.is_none(), "a file is attached twice");
        segment
    }
}

fn address(attachment: &Attachment) -> usize {
    attachment.mapping().base().as_ptr().addr()
}

/// A handle on a mapped segment. Cloning makes another one; the last one that goes leaves.
pub(crate) struct Segment {
    /// A copy of the attachment's, next to hand for atomic operations.
    payload: Address,
    attachment: Arc<Attachment>,
}

impl Segment {
    /// Only while the table is locked, or from another handle.
    fn new(attachment: &Arc<Attachment>) -> Self {
        attachment.handles().fetch_add(1, Relaxed);
        Self { payload: Address(attachment.payload()), attachment: attachment.clone() }
    }

    pub(crate) fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// What does not keep this process attached.
    pub(crate) fn downgrade(&self) -> Weak<Attachment> {
        Arc::downgrade(&self.attachment)
    }

    /// The payload: `payload_len` bytes, aligned as the layout says, mapped while a handle lives.
    #[inline]
    pub(crate) fn payload(&self) -> NonNull<u8> {
        self.payload.0
    }

    /// Bytes of the payload.
    pub(crate) fn payload_len(&self) -> usize {
        usize::try_from(self.attachment.header().payload_len).expect("a checked length fits into memory")
    }

    /// Elements in each dimension; empty for a single element.
    pub(crate) fn shape(&self) -> &[u64] {
        &self.attachment.header().shape
    }

    /// This process's attachment slot.
    pub(crate) fn slot(&self) -> u32 {
        self.attachment.slot()
    }

    /// Whether a handle is in a message of a living process that was not received yet.
    pub(crate) fn is_pinned(&self) -> bool {
        let pins = |row| rows::pins(self.attachment.mapping(), row);
        (0..rows::ROWS).any(|row| pins(row) != 0 && self.slot_is_alive(row))
    }

    /// Whether the process that has attachment `slot` lives.
    pub(crate) fn slot_is_alive(&self, slot: u32) -> bool {
        self.attachment.slot_is_alive(slot)
    }

    /// How often attachment `slot` was taken, modulo 2^32.
    pub(crate) fn slot_generation(&self, slot: u32) -> u32 {
        rows::generation(self.attachment.mapping(), slot)
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.attachment.name()
    }

    pub(crate) fn info(&self) -> SegmentInfo {
        region::refresh_after_fork();
        self.attachment.info()
    }
}

impl Clone for Segment {
    fn clone(&self) -> Self {
        Self::new(&self.attachment)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.attachment.handles().fetch_sub(1, AcqRel) == 1 {
            leave_if_unused(&self.attachment);
        }
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.attachment.header();
        write!(f, "{} {:?} of {}", header.kind_words(), self.name(), header.element)
    }
}

/// Leaves if nobody took a new handle meanwhile and no lock inside is held.
fn leave_if_unused(attachment: &Arc<Attachment>) {
    let mut table = lock();
    let here = table.here.get(&attachment.hold().inode()).is_some_and(|here| Arc::ptr_eq(here, attachment));
    if !here || attachment.handles().load(Acquire) != 0 {
        return;
    }
    let (base, len) = (address(attachment), attachment.mapping().len());
    if region::holds_lock_inside(base, len) {
        return; // a leaked guard: the kernel would walk into unmapped memory when its thread ends
    }
    let gone = table.here.remove(&attachment.hold().inode());
    region::unregister(base);
    attachment.leave();
    drop(table);
    drop(gone); // unmaps, unless a lock asks about its peers just now
    release_arrived();
}

/// Lets go of what messages held that have been read meanwhile.
#[inline]
pub(crate) fn release_arrived() {
    if PINNED.load(Relaxed) != 0 {
        release_pinned();
    }
}

#[cold]
fn release_pinned() {
    let arrived: Vec<Segment> = {
        let mut table = lock();
        let arrived = |segment: &mut Segment| segment.attachment().own_pins() == 0;
        let arrived = table.pinned.extract_if(.., arrived).collect();
        PINNED.store(table.pinned.len(), Relaxed);
        arrived
    };
    drop(arrived); // without the table, which leaving needs
}

/// Everything was left. While this lives, a thread that attaches, names or leaves something waits.
#[must_use = "without it other threads attach things again"]
#[derive(Debug)]
pub(crate) struct Left(#[expect(dead_code, reason = "is there to be held")] MutexGuard<'static, Table>);

/// Leaves everything this process is attached to, without unmapping: it is about to end. `None` if the
/// table was not to be had.
pub(crate) fn leave_all() -> Option<Left> {
    // Whoever holds the table and exits from a signal handler would otherwise wait for himself.
    let mut patience = Patience::new(Duration::from_secs(1));
    let mut table = loop {
        match TABLE.try_lock() {
            Ok(table) => break table,
            Err(TryLockError::Poisoned(table)) => break table.into_inner(),
            Err(TryLockError::WouldBlock) if patience.wait() => {}
            Err(TryLockError::WouldBlock) => return None,
        }
    };
    for attachment in std::mem::take(&mut table.here).into_values() {
        attachment.leave();
        table.departed.push(attachment);
    }
    Some(Left(table))
}

/// At exit of this process and of the children it forks, which leave what they attached themselves.
fn leave_all_at_exit() {
    static MARK: AtomicU64 = AtomicU64::new(0);
    if MARK.compare_exchange(0, fork::mark(), Relaxed, Relaxed).is_ok() {
        // Refused for lack of memory: names of statics stay until the next create, as after a kill.
        let _ = hooks::at_exit(at_exit);
    }
}

extern "C" fn at_exit() {
    drop(leave_all());
}
