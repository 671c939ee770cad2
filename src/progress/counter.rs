//! Counting and drawing, by handle.
//!
//! Relaxed throughout: the numbers are for eyes, and order nothing else.

use std::sync::atomic::Ordering::Relaxed;

use super::{drawing::Drawing, handle::Progress, line::ProgressLine};

impl Progress {
    /// Counts `n` more.
    ///
    /// # Examples
    /// ```
    /// let pages = commons::Progress::new(10)?;
    /// pages.inc(2);
    /// assert_eq!(pages.position(), 2);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[doc(alias = "update")]
    #[inline]
    pub fn inc(&self, n: u64) {
        self.counter.position.fetch_add(n, Relaxed);
    }

    /// Goes to this position. What others count at the same time is lost or not.
    ///
    /// # Examples
    /// ```
    /// let bytes = commons::Progress::new(4096)?;
    /// bytes.set(512);
    /// assert_eq!(bytes.position(), 512);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[inline]
    pub fn set(&self, n: u64) {
        self.counter.position.store(n, Relaxed);
    }

    /// How many are done.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Progress::new(10)?.position(), 0);
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[doc(alias = "n")]
    #[inline]
    pub fn position(&self) -> u64 {
        self.counter.position.load(Relaxed)
    }

    /// How many there are to do; 0 if nobody knows.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Progress::new(10)?.total(), 10);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn total(&self) -> u64 {
        self.counter.total.load(Relaxed)
    }

    /// There are so many to do, as has turned out.
    ///
    /// # Examples
    /// ```
    /// let lines = commons::Progress::new(0)?;
    /// lines.inc(7);
    /// lines.set_total(7);
    /// assert!(lines.is_done());
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn set_total(&self, total: u64) {
        self.counter.total.store(total, Relaxed);
    }

    /// Whether all of a known total is done.
    ///
    /// # Examples
    /// ```
    /// assert!(!commons::Progress::new(0)?.is_done());
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn is_done(&self) -> bool {
        let total = self.total();
        total != 0 && self.position() >= total
    }

    /// Draws it on stderr, in this process, until the [`Drawing`] is dropped. A name is its label.
    ///
    /// # Examples
    /// ```
    /// let pages = commons::Progress::new(3)?;
    /// let _drawing = pages.draw();
    /// pages.inc(3);
    /// # Ok::<(), commons::Error>(())
    /// ```
    pub fn draw(&self) -> Drawing {
        Drawing::start(self.name().map(str::to_owned), self.look())
    }

    /// [`draw`](Self::draw) with this label.
    ///
    /// # Examples
    /// ```
    /// let pages = commons::Progress::new(3)?;
    /// let _drawing = pages.draw_as("pages");
    /// # Ok::<(), commons::Error>(())
    /// ```
    #[doc(alias("desc", "set_description"))]
    pub fn draw_as(&self, label: &str) -> Drawing {
        Drawing::start(Some(label.to_owned()), self.look())
    }

    fn look(&self) -> impl FnMut() -> ProgressLine + Send + 'static {
        let seen = self.clone();
        move || ProgressLine::new(seen.position(), seen.total())
    }
}
