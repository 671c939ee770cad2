//! Segments through the thinnest handle: life, names, what is refused, what is left behind.

use std::sync::atomic::{AtomicU64, Ordering::*};

use commons::{ErrorKind, Shared};

fn unique(what: &str) -> String {
    format!("test-{}-{what}", std::process::id())
}

#[test]
fn a_name_goes_with_its_last_handle() {
    let name = unique("life");
    let first = Shared::create(&name, AtomicU64::new(7)).unwrap();
    let second = Shared::<AtomicU64>::open(&name).unwrap();
    first.fetch_add(1, Relaxed);
    assert_eq!(second.load(Relaxed), 8);
    drop(first);
    let third = Shared::<AtomicU64>::open(&name).unwrap();
    drop((second, third));
    assert_eq!(Shared::<AtomicU64>::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
}
