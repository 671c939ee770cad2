//! Every lock is kept at once.

#[derive(Debug)]
pub(crate) struct Habit;

impl Habit {
    pub(crate) fn is_formed(&self) -> bool {
        true
    }

    pub(crate) fn keep(&self) {}

    pub(crate) fn notice_loss(&self) {}

    pub(crate) fn lose(&self) {}

    pub(crate) fn start_over(&self) {}
}
