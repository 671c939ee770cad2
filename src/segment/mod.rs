//! Floor 3: a name becomes a mapped, versioned, typed piece of memory that survives crashes.
//!
//! | file | the one thing |
//! |---|---|
//! | `name` | which names are valid, and which file a name is |
//! | `kind`, `fingerprint` | what is inside, in numbers and words |
//! | `schema`, `locks`, `rows`, `header` | the bytes of the file, as `docs/format.md` tells them |
//! | `layout` | what a creator wants and what an opener expects |
//! | `file` | opening one with suspicion, reading what it says |
//! | `lifecycle` | who may use a file and who removes its name; the protocol and its essay |
//! | `attach` | one file mapped into this process, with a row and a slot of its own |
//! | `table` | all of them: one attachment for each file, handles on it, fork and exit |
//! | `peers` | which of the others are dead |
//! | `info`, `catalog` | what people and tools may know |
//! | `birth`, `open`, `growth` | making a segment, finding one, giving it more memory |
//! | `pins` | keeping an object alive while its handle travels |
//! | `wire` | handles in messages |
//! | `options` | what a caller may ask for |

mod name;
mod kind;
mod fingerprint;
mod schema;
mod locks;
mod rows;
mod header;
mod layout;
mod info;
mod file;
mod lifecycle;
mod attach;
mod peers;
mod table;
mod birth;
pub mod catalog;
mod open;
mod pins;
mod wire;
mod growth;
mod options;

pub(crate) use self::{
    catalog::{sweep, sweep_at_end},
    file::with_descriptors,
    fingerprint::Element,
    kind::Kind,
    layout::{Expected, Layout, Settings},
    options::QueueSettings,
    pins::{
        Kept, Pins, Unreceived, has_pins, keeping, pinning, pinning_any, pinning_for, receiving,
        wait_for_pins,
    },
    table::{Segment, leave_all, release_arrived},
};
pub use self::{info::SegmentInfo, options::Options};
