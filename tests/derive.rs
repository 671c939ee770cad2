//! What `#[derive(Shareable)]` and `#[derive(Plain)]` write.

#![allow(clippy::single_range_in_vec_init, reason = "a tag alone is one range of bytes")]

#[path = "derive/enums.rs"]
mod enums;
#[path = "derive/place.rs"]
mod place;
#[path = "derive/shareable.rs"]
mod shareable;
#[path = "derive/structs.rs"]
mod structs;
