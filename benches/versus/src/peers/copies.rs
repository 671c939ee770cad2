//! Copying memory, which is the least that a message can cost.

use std::hint::black_box;

use crate::measure::{Made, repeat};

/// Copies so many bytes from one place to another, and on to a third.
pub(crate) fn twice(len: usize) -> Made {
    let (first, mut second, mut third) = (vec![7u8; len], vec![0; len], vec![0; len]);
    Ok(Box::new(move |count| {
        repeat(count, || {
            second.copy_from_slice(black_box(&first));
            third.copy_from_slice(black_box(&second));
            black_box(&mut third);
        })
    }))
}
