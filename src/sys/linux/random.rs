//! Bytes that nobody can guess.
//!
//! `ssize_t getrandom(void *buf, size_t len, unsigned flags)`,
//! <https://man7.org/linux/man-pages/man2/getrandom.2.html>.

use std::io;

use rustix::{
    io::retry_on_intr,
    rand::{GetRandomFlags, getrandom},
};

/// Sixteen random bytes; requests up to 256 bytes are never cut short.
pub(crate) fn bytes() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    retry_on_intr(|| getrandom(&mut bytes, GetRandomFlags::empty()))?;
    Ok(bytes)
}
