//! The tables of rows, one file per group.

mod lock;
mod value;

use crate::row::Row;

/// Every row, in the order in which they run.
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    [lock::ROWS, value::ROWS].into_iter().flatten()
}
