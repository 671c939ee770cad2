//! The tables of rows, one file per group.

mod lock;
pub(crate) mod memory;
pub(crate) mod pipe;
pub(crate) mod queue;
mod value;
mod workers;

use crate::row::Row;

/// Every row, in the order in which they run.
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    [lock::ROWS, value::ROWS, queue::ROWS, pipe::ROWS, workers::ROWS, memory::ROWS].into_iter().flatten()
}
