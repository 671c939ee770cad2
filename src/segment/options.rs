//! What a caller may ask for when a name is made or opened.

use std::{fmt, marker::PhantomData};

use super::layout::Settings;

/// How a named object is made or opened, from [`Shared::options()`](crate::Shared::options) and the
/// like.
///
/// # Examples
/// ```
/// use commons::Atomic;
///
/// # fn main() -> commons::Result<()> {
/// let name = format!("options-{}", std::process::id());
/// let visits = Atomic::<u64>::options().persist(true).create(&name, 0)?;
/// drop(visits);                                   // the name stays
/// let visits = Atomic::<u64>::open(&name)?;
/// commons::catalog::remove(&name)?;
/// # Ok(()) }
/// ```
pub struct Options<H> {
    settings: Settings,
    pub(crate) queue: QueueSettings,
    handle: PhantomData<fn() -> H>,
}

/// What a caller may ask for when a queue is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueSettings {
    /// Bytes of messages that may wait.
    pub(crate) bytes: u64,
    /// How often a leased message is delivered; 0: without limit.
    pub(crate) max_attempts: u32,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { bytes: 64 << 20, max_attempts: 0 }
    }
}

impl<H> Options<H> {
    pub(crate) fn new() -> Self {
        Self { settings: Settings::default(), queue: QueueSettings::default(), handle: PhantomData }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The permissions of the object's file, 0o600 unless said otherwise.
    ///
    /// With permissions for the group or for others, the name is one that all users of the machine
    /// share; whoever opens it must ask for the same kind of mode. Only the user who made it can
    /// remove the name.
    ///
    /// # Examples
    /// ```
    /// use commons::Atomic;
    ///
    /// # fn main() -> commons::Result<()> {
    /// let name = format!("mode-{}", std::process::id());
    /// let group = Atomic::<u64>::options().mode(0o660);
    /// let visits = group.create(&name, 0)?;
    /// assert!(Atomic::<u64>::open(&name).is_err());    // that would be a private name
    /// assert_eq!(group.open(&name)?.load(), 0);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.settings.mode = mode;
        self
    }

    /// Whether the name stays when nobody uses the object any more, until it is
    /// [removed](crate::catalog::remove) or the machine restarts. It counts when the object is made.
    ///
    /// # Examples
    /// ```
    /// use commons::{Atomic, catalog};
    ///
    /// # fn main() -> commons::Result<()> {
    /// let name = format!("persist-{}", std::process::id());
    /// drop(Atomic::<u64>::options().persist(true).create(&name, 5)?);
    /// assert!(catalog::inspect(&name)?.persist);
    /// catalog::remove(&name)?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn persist(mut self, persist: bool) -> Self {
        self.settings.persist = persist;
        self
    }
}

impl<H> Clone for Options<H> {
    fn clone(&self) -> Self {
        Self { settings: self.settings, queue: self.queue, handle: PhantomData }
    }
}

impl<H> fmt::Debug for Options<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { mode, persist } = self.settings;
        write!(f, "Options {{ mode: {mode:#o}, persist: {persist} }}")
    }
}
