//! `Array`: elements, claims and handles, between threads and between processes.

#[path = "array/claims.rs"]
mod claims;
mod common;
#[path = "array/elements.rs"]
mod elements;
#[path = "array/handles.rs"]
mod handles;
#[path = "array/model.rs"]
mod model;

commons::init_in_tests!();
