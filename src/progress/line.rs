//! What there is to say at one moment.

/// How far something is: what a function of yours makes of your own state, for
/// [`draw`](crate::draw()).
///
/// # Examples
/// ```
/// use commons::ProgressLine;
///
/// let line = ProgressLine::new(1234, 10_000).message("the longest has 91 words");
/// assert_eq!((line.position, line.total), (1234, 10_000));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ProgressLine {
    /// How many are done.
    pub position: u64,
    /// How many there are to do; 0 if nobody knows.
    pub total: u64,
    /// What else there is to say. It is shown behind the numbers.
    pub message: Option<String>,
}

impl ProgressLine {
    /// So many of so many are done; a total of 0 is an unknown one.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::ProgressLine::new(3, 0).message, None);
    /// ```
    pub fn new(position: u64, total: u64) -> Self {
        Self { position, total, message: None }
    }

    /// The same with these words behind the numbers. Control characters in them become spaces.
    ///
    /// # Examples
    /// ```
    /// let line = commons::ProgressLine::new(3, 10).message(format!("{} words", 99));
    /// assert_eq!(line.message.as_deref(), Some("99 words"));
    /// ```
    #[doc(alias("set_postfix", "set_description"))]
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }
}
