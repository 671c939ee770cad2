//! Any error of the user's, sent home from another process.

use std::{error::Error as StdError, fmt, panic::Location};

use serde::{Deserialize, Serialize};

/// An error of any type, in a form that crosses processes: message, source chain, location.
///
/// `?` turns every [`std::error::Error`] into one and notes where that happened. It is a fixed
/// structure and never user code, so the receiving side can always rebuild it.
///
/// # Examples
/// ```
/// use commons::Failure;
///
/// fn size(path: &str) -> Result<u64, Failure> {
///     Ok(std::fs::metadata(path)?.len())
/// }
/// let failure = size("/no/such/file").unwrap_err();
/// assert!(failure.message().contains("No such file"));
/// assert!(failure.location().contains(".rs:"));
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    message: String,
    sources: Vec<String>,
    location: String,
}

impl Failure {
    /// A failure with this message, made here.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(commons::Failure::new("no such model").to_string(), "no such model");
    /// ```
    #[track_caller]
    pub fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), sources: Vec::new(), location: Location::caller().to_string() }
    }

    /// What the error said.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the errors below it said, nearest first.
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// `file:line:column` of the `?` or the call that made this.
    pub fn location(&self) -> &str {
        &self.location
    }
}

impl<E: StdError> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        let sources = std::iter::successors(error.source(), |&error| error.source()).map(ToString::to_string);
        Self {
            message: error.to_string(),
            sources: sources.collect(),
            location: Location::caller().to_string(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        // An error that prints its source itself (the common habit) is not made to say it twice.
        self.sources
            .iter()
            .filter(|s| !self.message.contains(s.as_str()))
            .try_for_each(|s| write!(f, ": {s}"))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} (at {})", self.location)
    }
}
