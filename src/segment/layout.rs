//! What a creator wants and what an opener expects.

use super::{
    fingerprint::Element,
    header::{self, Header, Home, MAX_ALIGN, MAX_DIMENSIONS},
    kind::Kind,
    name::Scope,
    rows,
};
use crate::error::{Error, ErrorKind, Result};

/// What a caller may choose for a segment with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) mode: u32,
    pub(crate) persist: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { mode: 0o600, persist: false }
    }
}

impl Settings {
    /// Whose name it is; an error for a mode that its own owner could not use.
    pub(crate) fn scope(&self) -> Result<Scope> {
        if self.mode & !0o666 != 0 || self.mode & 0o600 != 0o600 {
            let why = format!(
                "mode {:#o} is not possible for a segment; it has read and write for the owner, may have them for \
                 group and others, and nothing else, such as 0o660",
                self.mode
            );
            return Err(Error::new(ErrorKind::InvalidInput, why));
        }
        Ok(Scope::of_mode(self.mode))
    }
}

/// What a new segment is made for.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) kind: Kind,
    pub(crate) element: Element,
    /// Empty for a single element.
    pub(crate) shape: Vec<u64>,
    /// Bytes of the machine and all elements together.
    pub(crate) payload_len: u64,
    pub(crate) payload_align: u64,
    /// How many bytes of the payload get memory at once; `None`: all. The rest gets it by
    /// `Segment::reserve`, before it is touched.
    pub(crate) reserved: Option<u64>,
}

impl Layout {
    /// How many elements there are; an error for a shape that no header can say.
    pub(crate) fn count(&self) -> Result<u64> {
        let error = |why: String| Err(Error::new(ErrorKind::InvalidInput, why));
        if self.shape.len() > MAX_DIMENSIONS {
            return error(format!(
                "a shape of {} dimensions is not possible; {MAX_DIMENSIONS} are the most",
                self.shape.len()
            ));
        }
        if self.payload_align.max(self.element.align) > MAX_ALIGN {
            return error(format!(
                "{} cannot be placed in a segment, where alignments end at {MAX_ALIGN}",
                self.element
            ));
        }
        match header::element_count(&self.shape) {
            Some(count) => Ok(count),
            None => error(format!("shape {:?} has more elements than a number can say", self.shape)),
        }
    }

    /// Where the payload begins behind a schema of this many bytes.
    pub(crate) fn payload_offset(&self, schema_len: usize) -> u64 {
        let align = self.payload_align.max(self.element.align).max(64);
        (rows::END as u64 + schema_len as u64).next_multiple_of(align)
    }
}

/// What an opener needs a segment to be.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) kind: Kind,
    pub(crate) element: Element,
    /// `None` takes every shape.
    pub(crate) shape: Option<Vec<u64>>,
    /// Bytes of the payload that has this many elements; `None` if there can be none.
    pub(crate) payload_len: fn(count: u64) -> Option<u64>,
    pub(crate) payload_align: u64,
}

impl Expected {
    /// Whether a segment is that; an error that has both sides in words if not.
    pub(crate) fn check(&self, found: &Header, label: &str) -> Result<()> {
        let mismatch = |why: String| Err(Error::new(ErrorKind::Mismatch, format!("{label} {why}")));
        let (ours, theirs) = (&self.element, &found.element);
        if self.kind.number() != found.kind {
            let (kind, name) = (found.kind_words(), &theirs.type_name);
            return mismatch(format!(
                "is a {kind} of {name}, but was opened as a {:?} of {}",
                self.kind, ours.type_name
            ));
        }
        let layouts = |e: &Element| (e.size, e.align);
        if layouts(ours) != layouts(theirs) || ours.fingerprint != theirs.fingerprint {
            let fields =
                ours.field_difference(&theirs.fields).map_or(String::new(), |words| format!(": {words}"));
            return mismatch(format!("holds {theirs}, but was opened for {ours}{fields}"));
        }
        if let Some(shape) = self.shape.as_ref().filter(|&shape| *shape != found.shape) {
            let words = |shape: &[u64]| match shape {
                [] => "a single element".to_owned(),
                [len] => format!("{len} elements"),
                more => format!("shape {more:?}"),
            };
            return mismatch(format!("has {}, but was opened for {}", words(&found.shape), words(shape)));
        }
        let expected = (self.payload_len)(found.count);
        if expected != Some(found.payload_len) || !found.payload_offset.is_multiple_of(self.payload_align) {
            return mismatch(format!(
                "has a payload of {} bytes at byte {}, but {} elements of {ours} in a {:?} need {expected:?} bytes \
                 aligned to {}; build both programs with one version of commons",
                found.payload_len, found.payload_offset, found.count, self.kind, self.payload_align
            ));
        }
        Ok(())
    }
}

/// Whether thread ids of `ours` mean the same at `theirs`; an error that says which do not.
pub(crate) fn check_home(ours: &Home, theirs: &Home, label: &str) -> Result<()> {
    let differs = if ours.boot != theirs.boot {
        "on another boot of this machine"
    } else if ours.pid_namespace != theirs.pid_namespace {
        "in another pid namespace (another container)"
    } else if ours.time_namespace != theirs.time_namespace {
        "in another time namespace"
    } else {
        return Ok(());
    };
    let why = format!(
        "{label} was made {differs}, where other process and thread ids are used: the kernel would take living lock \
         holders for dead ones. Start both programs in one pid namespace"
    );
    Err(Error::new(ErrorKind::OtherNamespace, why))
}
