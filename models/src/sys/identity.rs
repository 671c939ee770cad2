//! Who the calling thread is.

use std::num::NonZeroU32;

use crate::scene::me;

pub(crate) fn current_tid() -> NonZeroU32 {
    NonZeroU32::new(me().tid()).expect("thread ids begin at 1")
}
