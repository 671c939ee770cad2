//! Many values of one type in a segment, whole or in parts.
//!
//! | file | the one thing |
//! |---|---|
//! | `layout` | where claims, undo record and elements lie in the payload |
//! | `handle` | making, opening and describing an array |
//! | `elements` | single elements and copies, under the array's lock |
//! | `claim` | ranges as slices, while nobody else writes them |

mod layout;
mod handle;
mod elements;
mod claim;

pub use claim::{Claim, Share};
pub use handle::Array;
