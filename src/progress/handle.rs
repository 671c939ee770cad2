//! The handle: making and opening a counter, naming and sending it.

use std::{alloc::Layout as MemoryLayout, fmt, sync::atomic::AtomicU64};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    error::Result,
    placed::Placed,
    segment::{Element, Kind, Options, SegmentInfo, Settings},
    shareable::Shareable,
};

/// What lies in the segment.
///
/// | word | written by | if its writer dies here |
/// |---|---|---|
/// | `position` | anyone, in one step | it has counted or not |
/// | `total` | anyone, in one step | as before or new |
#[derive(commons::Shareable)]
#[repr(C)]
pub(super) struct Counter {
    pub(super) position: AtomicU64,
    /// 0: unknown.
    pub(super) total: AtomicU64,
}

/// How much of something is done: a counter that any process or thread advances, and that any may
/// [draw](Progress::draw).
///
/// A handle: cloning it, or sending it to a worker, reaches the same counter. A worker that is killed
/// takes nothing away of what it has counted. Where a number is not enough, [`draw`](crate::draw())
/// draws a structure of your own.
///
/// # Examples
/// ```
/// use commons::Progress;
///
/// commons::init_in_tests!();
///
/// # fn main() -> commons::Result<()> {
/// let done = Progress::new(200)?;
/// let _drawing = done.draw_as("thumbnails");
/// let work = |done: Progress| (0..100).for_each(|_| done.inc(1));
/// let workers = [commons::spawn(done.clone(), work)?, commons::spawn(done.clone(), work)?];
/// for worker in workers {
///     worker.join()?;
/// }
/// assert!(done.is_done());
/// # Ok(()) }
/// ```
#[doc(alias = "tqdm")]
pub struct Progress {
    pub(super) counter: Placed<Counter>,
}

impl Progress {
    /// An anonymous counter at 0 of `total`: those have it who are handed a handle. A total of 0 is an
    /// unknown one.
    ///
    /// # Errors
    /// `NoSpace` if there is no memory for it.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Progress::new(10)?.position(), 0);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn new(total: u64) -> Result<Self> {
        let counter = Placed::create(None, &Settings::default(), Kind::Progress, element(), at(total));
        counter.map(|counter| Self { counter })
    }

    /// A new counter with this name, which other programs can open and look at.
    ///
    /// # Errors
    /// `AlreadyExists` if something has the name, `InvalidName`, `NoSpace`.
    ///
    /// # Examples
    /// ```
    /// # let name = format!("progress-create-{}", std::process::id());
    /// let pages = commons::Progress::create(&name, 10)?;
    /// pages.inc(3);
    /// assert_eq!(commons::Progress::open(&name)?.position(), 3);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn create(name: &str, total: u64) -> Result<Self> {
        Self::options().create(name, total)
    }

    /// The counter of this name.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Mismatch` if it is something else, `InvalidName`, `Corrupt`,
    /// `Denied`, `OtherNamespace`.
    ///
    /// # Examples
    /// ```
    /// assert!(commons::Progress::open("doc-no-such-progress").is_err());
    /// ```
    pub fn open(name: &str) -> Result<Self> {
        Self::options().open(name)
    }

    /// The counter of this name, a new one at 0 of `total` if there is none.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create), without `NotFound` and `AlreadyExists`.
    ///
    /// # Examples
    /// ```
    /// # let name = format!("progress-both-{}", std::process::id());
    /// let first = commons::Progress::open_or_create(&name, 10)?;
    /// assert_eq!(commons::Progress::open_or_create(&name, 20)?.total(), 10);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn open_or_create(name: &str, total: u64) -> Result<Self> {
        Self::options().open_or_create(name, total)
    }

    /// How to make or open a named counter otherwise than by default.
    ///
    /// # Examples
    /// ```
    /// # let name = format!("progress-options-{}", std::process::id());
    /// let group = commons::Progress::options().mode(0o660);
    /// let pages = group.create(&name, 10)?;
    /// assert_eq!(group.open(&name)?.total(), 10);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn options() -> Options<Self> {
        Options::new()
    }

    /// The name, `None` for an anonymous counter.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Progress::new(10)?.name(), None);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.counter.name()
    }

    /// What it is, how large, and who has it.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Progress::new(10)?.info().kind, "Progress");
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn info(&self) -> SegmentInfo {
        self.counter.info()
    }
}

impl Options<Progress> {
    /// [`Progress::create`] with these options.
    ///
    /// # Errors
    /// As there, and `InvalidInput` for a mode that is not possible.
    ///
    /// # Examples
    /// ```
    /// # let name = format!("progress-ocreate-{}", std::process::id());
    /// let pages = commons::Progress::options().mode(0o660).create(&name, 10)?;
    /// assert_eq!(pages.info().mode, 0o660);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn create(&self, name: &str, total: u64) -> Result<Progress> {
        Placed::create(Some(name), self.settings(), Kind::Progress, element(), at(total))
            .map(|counter| Progress { counter })
    }

    /// [`Progress::open`] with these options.
    ///
    /// # Errors
    /// As there, and `InvalidInput` for a mode that is not possible.
    ///
    /// # Examples
    /// ```
    /// let wrong = commons::Progress::options().mode(0o400).open("x").unwrap_err();
    /// assert_eq!(wrong.kind(), commons::ErrorKind::InvalidInput);
    /// ```
    pub fn open(&self, name: &str) -> Result<Progress> {
        Placed::open(name, self.settings(), Kind::Progress, element()).map(|counter| Progress { counter })
    }

    /// [`Progress::open_or_create`] with these options.
    ///
    /// # Errors
    /// As there, and `InvalidInput` for a mode that is not possible.
    ///
    /// # Examples
    /// ```
    /// # let name = format!("progress-oboth-{}", std::process::id());
    /// let options = commons::Progress::options().mode(0o660);
    /// let first = options.open_or_create(&name, 10)?;
    /// assert_eq!(options.open_or_create(&name, 20)?.total(), 10);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn open_or_create(&self, name: &str, total: u64) -> Result<Progress> {
        Placed::open_or_create(name, self.settings(), Kind::Progress, element(), at(total))
            .map(|counter| Progress { counter })
    }
}

fn element() -> Element {
    Element::new(MemoryLayout::new::<Counter>(), Counter::type_name(), Counter::fields())
}

fn at(total: u64) -> Counter {
    Counter { position: AtomicU64::new(0), total: AtomicU64::new(total) }
}

impl Clone for Progress {
    fn clone(&self) -> Self {
        Self { counter: self.counter.clone() }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Progress");
        if let Some(name) = self.name() {
            debug.field("name", &name);
        }
        debug.field("position", &self.position()).field("total", &self.total()).finish()
    }
}

impl Serialize for Progress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.counter.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Progress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Placed::deserialize(deserializer, Kind::Progress, element()).map(|counter| Self { counter })
    }
}
