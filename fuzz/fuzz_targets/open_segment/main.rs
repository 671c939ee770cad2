//! Any bytes as a segment file, opened as every kind of object and used.
//!
//! | file | the one thing |
//! |---|---|
//! | `recipe` | input bytes become a file, and changes to it while it is in use |
//! | `stock` | valid files made by the crate itself, which recipes start from |
//! | `stage` | the file under its name, in use by somebody else |
//! | `uses` | everything that is done with it; `tests/corrupt.rs` does the same |

#![no_main]

mod uses;
mod stage;
mod stock;
mod recipe;

use std::{cell::RefCell, time::Duration};

use commons::catalog;
use libfuzzer_sys::fuzz_target;

use self::{recipe::Recipe, stage::Stage, stock::Stock, uses::Opened};

thread_local! {
    static PLACE: RefCell<Option<(Stage, Stock)>> = const { RefCell::new(None) };
}

fuzz_target!(init: prepare(), |data: &[u8]| {
    PLACE.with_borrow(|place| {
        let (stage, stock) = place.as_ref().expect("`init` runs first, on the same thread");
        run(stage, &Recipe::read(data, stock));
    });
});

fn prepare() {
    stage::own_directory();
    let place = (Stage::new("it"), Stock::new("stock"));
    PLACE.with_borrow_mut(|old| *old = Some(place));
}

fn run(stage: &Stage, recipe: &Recipe) {
    let patience = Duration::from_millis(if recipe.patient { 3 } else { 0 });
    stage.set(&recipe.file, recipe.len);
    let mut opened = Opened::open(stage.name(), recipe.kind);
    opened.use_all(&stage.payload(), patience);
    if !recipe.live.is_empty() {
        for (at, bytes) in &recipe.live {
            stage.scribble(*at, bytes);
        }
        if opened.count() == 0 {
            stage.look_again();
        }
        opened.use_all(&stage.payload(), Duration::ZERO);
        opened = Opened::open(stage.name(), recipe.kind);
        opened.use_all(&stage.payload(), Duration::ZERO);
    }
    if recipe.list {
        std::hint::black_box((catalog::list(), catalog::names())).0.expect("a directory that can be read");
    }
    drop(opened);
    stage.check();
}
