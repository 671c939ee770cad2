//! The asymmetric barrier, with a full fence on both sides: loom has no other.
//!
//! Between the two sides that is the same promise. It is more than the product has where the light
//! side also orders something else, which the comments on orderings must then not count on.

use crate::primitive::{Ordering::SeqCst, fence};

pub(crate) fn is_registered() -> bool {
    true
}

pub(crate) fn light() {
    fence(SeqCst);
}

pub(crate) fn heavy() -> bool {
    fence(SeqCst);
    true
}
