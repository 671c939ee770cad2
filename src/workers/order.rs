//! What goes to workers and comes back, as bytes.
//!
//! | an order | |
//! |---|---|
//! | [`OrderHead`] | which tasks of which call, and their function |
//! | `given` bytes | none; or [`IN_ORDER`] and what the state is made of; or [`IN_ARRAY`] and the handle of an array of bytes that holds it |
//! | for each task: 4 bytes, and so many | its argument, encoded |
//!
//! | an answer | |
//! |---|---|
//! | [`AnswerHead`] | which task, and what became of it |
//! | the rest | as its [`Kind`] says |

use bytemuck::{Pod, Zeroable};

use super::program::{SetupProgram, TaskProgram};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct OrderHead {
    /// At the beginning: see [`Draft::into_bytes`].
    pub(super) number: u64,
    pub(super) call: u64,
    pub(super) task: TaskProgram,
    pub(super) setup: SetupProgram,
    /// So many bytes about what was given.
    pub(super) given: u32,
    pub(super) flags: u16,
    /// Where to see whether the call was called off, if it can be.
    pub(super) place: u16,
}

/// The moments at which tasks begin are of interest.
pub(super) const TIMED: u16 = 1;
/// The call can be called off.
pub(super) const STOPPABLE: u16 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct AnswerHead {
    pub(super) order: u64,
    pub(super) task: u32,
    /// A [`Kind`](super::program::Kind).
    pub(super) kind: u32,
    pub(super) worker: u32,
    /// How long the order took, in microseconds; only the answer to its last task says it.
    pub(super) micros: u32,
}

/// What was given stands in the order itself.
pub(super) const IN_ORDER: u8 = 0;
/// It is too long for that.
pub(super) const IN_ARRAY: u8 = 1;

const HEAD: usize = size_of::<OrderHead>();
/// As much as most arguments of a single task need.
const FEW: usize = 64;
/// Where the rest of an answer begins.
pub(super) const ANSWER: usize = size_of::<AnswerHead>();

/// An order that is put together.
#[derive(Debug)]
pub(super) struct Draft {
    bytes: Vec<u8>,
    tasks: u32,
}

impl Draft {
    /// An order without tasks, and without a number.
    pub(super) fn new(mut head: OrderHead, given: &[u8]) -> Self {
        // A handle at most, of a hundred bytes, or as little.
        head.given = given.len() as u32;
        let mut bytes = Vec::with_capacity(HEAD + given.len() + FEW);
        bytes.extend_from_slice(bytemuck::bytes_of(&head));
        bytes.extend_from_slice(given);
        Self { bytes, tasks: 0 }
    }

    /// Adds a task, whose argument `write` appends. If it fails nothing is added.
    pub(super) fn add<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(at);
            return Err(error);
        }
        let len = (self.bytes.len() - at - 4).min(u32::MAX as usize) as u32;
        self.bytes[at..at + 4].copy_from_slice(&len.to_le_bytes());
        self.tasks += 1;
        Ok(())
    }

    pub(super) fn tasks(&self) -> u32 {
        self.tasks
    }

    /// The order with this number.
    pub(super) fn into_bytes(mut self, number: u64) -> Vec<u8> {
        self.bytes[..8].copy_from_slice(&number.to_le_bytes());
        self.bytes
    }
}

/// An order, read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<'a> {
    pub(super) head: OrderHead,
    pub(super) given: &'a [u8],
    tasks: &'a [u8],
}

/// The number of an order, and its call, if these are the bytes of one.
pub(super) fn head_of(bytes: &[u8]) -> Option<OrderHead> {
    Some(bytemuck::pod_read_unaligned(bytes.get(..HEAD)?))
}

impl<'a> Order<'a> {
    /// `None` if these are not the bytes of an order.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let head = head_of(bytes)?;
        let (given, tasks) = bytes[HEAD..].split_at_checked(head.given as usize)?;
        Some(Self { head, given, tasks })
    }

    /// The arguments, in order.
    pub(super) fn tasks(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.tasks;
        std::iter::from_fn(move || {
            let (len, behind) = rest.split_first_chunk()?;
            let (task, behind) = behind.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            rest = behind;
            Some(task)
        })
    }

    /// An order of the same function with some of its tasks.
    pub(super) fn part(&self, tasks: impl Iterator<Item = &'a [u8]>) -> Draft {
        let mut draft = Draft::new(self.head, self.given);
        for task in tasks {
            let added: Result<(), std::convert::Infallible> = draft.add(|bytes| {
                bytes.extend_from_slice(task);
                Ok(())
            });
            let Ok(()) = added;
        }
        draft
    }
}

/// What an answer says, and where the rest begins.
pub(super) fn read_answer(bytes: &[u8]) -> Option<(AnswerHead, &[u8])> {
    let (head, rest) = bytes.split_at_checked(ANSWER)?;
    Some((bytemuck::pod_read_unaligned(head), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written_and_can_be_divided() {
        let head = OrderHead { call: 8, ..OrderHead::zeroed() };
        let mut draft = Draft::new(head, b"given");
        for task in [&b"one"[..], b"", b"three"] {
            draft
                .add(|bytes| {
                    bytes.extend_from_slice(task);
                    Ok::<_, ()>(())
                })
                .unwrap();
        }
        assert_eq!(draft.add(|_| Err(5)), Err(5));
        assert_eq!(draft.tasks(), 3);
        let bytes = draft.into_bytes(7);
        let order = Order::read(&bytes).unwrap();
        assert_eq!((order.head.number, order.head.call, order.given), (7, 8, &b"given"[..]));
        assert_eq!(order.tasks().collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        let rest = order.part(order.tasks().skip(1)).into_bytes(9);
        let rest = Order::read(&rest).unwrap();
        assert_eq!((rest.head.number, rest.given), (9, &b"given"[..]));
        assert_eq!(rest.tasks().collect::<Vec<_>>(), [&b""[..], b"three"]);
        assert!(Order::read(&bytes[..HEAD + 3]).is_none());
        assert_eq!(Order::read(&bytes[..bytes.len() - 1]).unwrap().tasks().count(), 2);
    }
}
