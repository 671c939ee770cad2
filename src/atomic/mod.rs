//! Numbers that all processes change without a lock.
//!
//! | file | the one thing |
//! |---|---|
//! | `word` | which types are one machine word, and what can be done to it |
//! | `single` | [`Atomic<T>`]: one of them |
//! | `array` | [`AtomicArray<T>`]: many of them |

mod word;
mod single;
mod array;

pub use self::{
    array::AtomicArray,
    single::Atomic,
    word::{Bits, Number, Word},
};
