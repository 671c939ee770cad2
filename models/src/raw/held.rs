//! What a thread holds: the steps of the product's record of this name, without the list in memory.
//!
//! Each of announce, link and unlink is a step, before which the thread can die. What the kernel
//! would find by walking the list stands here in a vector.

use std::cell::{Cell, RefCell};

use super::region;
use crate::{
    scene::{me, step},
    sys::robust::{self, Node},
};

pub(crate) const MAX_HELD: usize = 1024;

#[derive(Debug)]
pub(crate) struct Thread {
    announced: Cell<Option<*const Node>>,
    held: RefCell<Vec<*const Node>>,
}

impl Thread {
    pub(crate) const fn new() -> Self {
        Self { announced: Cell::new(None), held: RefCell::new(Vec::new()) }
    }

    pub(crate) fn current() -> &'static Thread {
        &me().locks
    }

    pub(crate) fn tid(&self) -> u32 {
        me().tid()
    }

    pub(crate) fn birth(&self) -> u16 {
        0
    }

    pub(crate) fn recent_slot(&self, address: usize) -> Option<u32> {
        region::slot_of(address)
    }

    pub(crate) fn slot_of(&self, address: usize) -> Option<u32> {
        region::slot_of(address)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.held.borrow().len() >= MAX_HELD
    }

    pub(crate) fn announce(&self, node: &Node) {
        step();
        self.announced.set(Some(node));
    }

    pub(crate) fn push(&self, node: &Node) {
        step();
        self.held.borrow_mut().push(node);
    }

    pub(crate) fn pop(&self) {
        step();
        self.held.borrow_mut().pop();
    }

    pub(crate) fn is_newest(&self, node: &Node) -> bool {
        self.held.borrow().last() == Some(&(&raw const *node))
    }

    pub(crate) fn remove(&self, node: &Node) -> bool {
        step();
        let mut held = self.held.borrow_mut();
        let at = held.iter().rposition(|&other| std::ptr::eq(other, node));
        at.map(|at| held.remove(at)).is_some()
    }

    pub(crate) fn holds(&self, node: &Node) -> bool {
        self.held.borrow().iter().any(|&other| std::ptr::eq(other, node))
    }

    /// What happens when a thread ends in good order is no part of the models.
    pub(super) fn set_returning(&self, _: bool) {}

    /// `exit_robust_list` of Linux, in `kernel/futex`: what is linked, newest first, then what is
    /// announced.
    pub(crate) fn exit(&self, tid: u32) {
        let announced = self.announced.take();
        let linked = self.held.take().into_iter().rev().filter(|&node| Some(node) != announced);
        let all = linked.map(|node| (node, false)).chain(announced.map(|node| (node, true)));
        for (node, announced) in all {
            // SAFETY: the machine is alive: it is on the stack of the thread, or behind a pointer that
            // the scene keeps until all threads have ended.
            let node = unsafe { &*node };
            robust::handle_death(&node.word, tid, announced);
        }
    }

    /// For the next execution.
    pub(crate) fn forget(&self) {
        self.announced.set(None);
        self.held.borrow_mut().clear();
    }
}
