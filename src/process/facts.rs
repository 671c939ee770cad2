//! What a worker must know before it believes anything, as bytes.
//!
//! Written once by the parent, read once by the worker into private memory, checked there.

use bytemuck::{Pod, Zeroable};

use crate::sys::{identity::ProcessId, image::Build};

/// Says that a file is a call, and in which layout: the last digit counts layouts.
const MAGIC: u64 = u64::from_le_bytes(*b"COMMONS1");

/// 128 random bits that tie a worker's argument list to its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub(super) struct Nonce([u8; 16]);

impl Nonce {
    pub(super) fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    pub(super) fn to_hex(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let number = u128::from_str_radix(text, 16).ok()?;
        (text.len() == 32).then_some(Self(number.to_be_bytes()))
    }
}

/// The facts, in the layout of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Facts {
    magic: u64,
    pub(super) nonce: Nonce,
    parent_start: u64,
    parent_pid: u64,
    pub(super) build: Build,
    /// Where the function is, from the start of the image.
    pub(super) function: u64,
    /// Where the code is that decodes its arguments, calls it and encodes its result.
    pub(super) runner: u64,
    pub(super) arguments_len: u64,
}

/// The length of the facts in the file.
pub(super) const LEN: usize = size_of::<Facts>();
const _: () = assert!(LEN == 96 && align_of::<Facts>() == 8);

impl Facts {
    pub(super) fn new(nonce: Nonce, parent: ProcessId, build: Build, function: u64, runner: u64) -> Self {
        Self {
            magic: MAGIC,
            nonce,
            parent_start: parent.start,
            parent_pid: parent.pid.into(),
            build,
            function,
            runner,
            arguments_len: 0,
        }
    }

    pub(super) fn to_bytes(self) -> [u8; LEN] {
        bytemuck::cast(self)
    }

    /// The facts in these bytes, if they are a call's and carry this nonce.
    pub(super) fn from_bytes(bytes: &[u8; LEN], nonce: Nonce) -> Option<Self> {
        let facts: Self = bytemuck::pod_read_unaligned(bytes);
        (facts.magic == MAGIC && facts.nonce == nonce).then_some(facts)
    }

    /// The process that wrote them.
    pub(super) fn parent(&self) -> Option<ProcessId> {
        Some(ProcessId { pid: u32::try_from(self.parent_pid).ok()?, start: self.parent_start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_back_and_others_are_refused() {
        let nonce = Nonce::new([7; 16]);
        let parent = ProcessId { pid: 12, start: 34 };
        let facts = Facts::new(nonce, parent, [1; 32], 5, 6);
        let mut bytes = facts.to_bytes();
        assert_eq!(Facts::from_bytes(&bytes, nonce), Some(facts));
        assert_eq!(facts.parent(), Some(parent));
        assert_eq!(Facts::from_bytes(&bytes, Nonce::new([8; 16])), None);
        bytes[0] ^= 1;
        assert_eq!(Facts::from_bytes(&bytes, nonce), None);
    }

    #[test]
    fn nonces_are_32_hexadecimal_digits() {
        let nonce = Nonce::new([0x0a; 16]);
        assert_eq!(Nonce::from_hex(&nonce.to_hex()), Some(nonce));
        assert_eq!(Nonce::from_hex("+a"), None);
        assert_eq!(Nonce::from_hex(""), None);
        assert_eq!(Nonce::from_hex("not a number"), None);
    }
}
