//! From the first look to the last.

use std::{fmt, sync::Arc};

use super::{
    artist::{Artist, Place},
    line::ProgressLine,
};
use crate::sys::fork;

/// Progress that is drawn on stderr until this is dropped.
///
/// On a terminal it is a bar, up to ten times a second; several bars share the terminal. Elsewhere
/// (in a pipe or a file) it is a line at first, then one each five seconds or each tenth of the way,
/// whichever is rarer, and one at the end. The drop looks once more and leaves a line that says how
/// far it came, also if a panic is the cause. Without the feature `progress` there are lines only.
///
/// One thread draws everything that a process draws. A forked child draws nothing of its parent's.
///
/// # Examples
/// ```
/// use commons::Progress;
///
/// # fn main() -> commons::Result<()> {
/// let thumbnails = Progress::new(100)?;
/// let drawing = thumbnails.draw_as("thumbnails");
/// for _ in 0..100 {
///     thumbnails.inc(1);
/// }
/// drop(drawing);                          // thumbnails: 100 of 100, 100%, 345/s, after 0 s
/// # Ok(()) }
/// ```
#[must_use = "it is drawn until this is dropped: `let _drawing = …`"]
pub struct Drawing {
    place: Arc<Place>,
    artist: &'static Artist,
    /// Of the process that draws.
    mark: u64,
}

/// Draws what `look` makes of your own state, until the [`Drawing`] is dropped.
///
/// `look` is called for each line and for each frame of a bar, one call at a time, mostly on the
/// thread that draws; while it takes its time, nothing is drawn. If it panics there, its drawing ends.
///
/// # Panics
/// If `look` does at its first call, which is made here.
///
/// # Examples
/// ```
/// use commons::{ProgressLine, Shareable, Shared, sync::Versioned};
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// commons::init_in_tests!();
///
/// #[derive(Default, Shareable)]
/// #[repr(C)]
/// struct Census {
///     files: AtomicU64,
///     longest: Versioned<[u64; 2]>,
/// }
///
/// # fn main() -> commons::Result<()> {
/// let census = Shared::new(Census::default())?;
/// let seen = census.clone();
/// let _drawing = commons::draw(move || {
///     let [words, file] = seen.longest.get();
///     ProgressLine::new(seen.files.load(Relaxed), 10).message(format!("file {file} has {words} words"))
/// });
/// let worker = commons::spawn(census.clone(), |census| {
///     census.files.fetch_add(1, Relaxed);
///     census.longest.set([91, 1]);
/// })?;
/// worker.join()?;
/// # Ok(()) }
/// ```
#[doc(alias = "tqdm")]
pub fn draw(look: impl FnMut() -> ProgressLine + Send + 'static) -> Drawing {
    Drawing::start(None, look)
}

/// [`draw`] with a label in front.
///
/// # Panics
/// As there.
///
/// # Examples
/// ```
/// use commons::ProgressLine;
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering::Relaxed}};
///
/// let done = Arc::new(AtomicU64::new(0));
/// let seen = done.clone();
/// let _drawing = commons::draw_as("pages", move || ProgressLine::new(seen.load(Relaxed), 0));
/// done.fetch_add(1, Relaxed);
/// ```
#[doc(alias = "tqdm")]
pub fn draw_as(label: &str, look: impl FnMut() -> ProgressLine + Send + 'static) -> Drawing {
    Drawing::start(Some(label.to_owned()), look)
}

impl Drawing {
    pub(crate) fn start(
        label: Option<String>,
        mut look: impl FnMut() -> ProgressLine + Send + 'static,
    ) -> Self {
        let artist = Artist::here();
        let first = look();
        let place = artist.begin(label.as_deref(), first, Box::new(look));
        Self { place, artist, mark: fork::mark() }
    }
}

/// Ends all drawings of this process: somebody else has the terminal.
pub(crate) fn end_all() {
    Artist::here().end_all();
}

impl Drop for Drawing {
    fn drop(&mut self) {
        // In a forked child the drawing is the parent's.
        if self.mark == fork::mark() {
            self.artist.end(&self.place);
        }
    }
}

impl fmt::Debug for Drawing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drawing")
    }
}
