//! No looks before sleeping, and no lingering after it.

#[derive(Debug, Default)]
pub(crate) struct Pace;

impl Pace {
    pub(crate) fn linger(&self, _: impl FnMut() -> bool) {}
}

#[derive(Debug)]
pub(crate) struct Looks;

impl Looks {
    pub(crate) fn new(_: &Pace) -> Self {
        Self
    }

    pub(crate) fn again(&mut self) -> bool {
        false
    }
}
