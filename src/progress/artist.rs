//! The one thread of a process that draws, for as long as there is something to draw.
//!
//! A forked child has neither the thread nor the drawings. What it inherits of them it never
//! touches, because the thread may have been in the middle of something; it makes its own.

use std::{
    convert::Infallible,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use super::{
    bars::Screen,
    line::ProgressLine,
    picture::{Look, Picture},
};
use crate::sys::{per_process::PerProcess, signals};

/// What all drawings of a process share.
#[derive(Debug, Default)]
pub(super) struct Artist {
    drawings: Mutex<Drawings>,
    /// A drawing came, or the last one went.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Drawings {
    places: Vec<Arc<Place>>,
    /// Made with the first of some drawings: until the next, stderr may have become something else.
    screen: Option<Screen>,
    has_thread: bool,
    has_changed: bool,
}

/// Where one picture is drawn. Empty when it is done, or when its look has panicked.
#[derive(Default)]
pub(super) struct Place(Mutex<Option<Picture>>);

impl Artist {
    /// This process's.
    pub(super) fn here() -> &'static Self {
        static ARTIST: PerProcess<Artist> = PerProcess::new();
        let Ok(artist) = ARTIST.get_or_try_init(|| Ok::<_, Infallible>(Self::default()));
        artist
    }

    /// Draws from now on.
    pub(super) fn begin(&'static self, label: Option<&str>, first: ProgressLine, look: Look) -> Arc<Place> {
        let mut drawings = lock(&self.drawings);
        if drawings.places.is_empty() {
            drawings.screen = Screen::new();
        }
        let picture = Picture::new(drawings.screen.as_ref(), label, first, look);
        let place = Arc::new(Place(Mutex::new(Some(picture))));
        drawings.places.push(place.clone());
        if !drawings.has_thread {
            let thread = thread::Builder::new().name("commons-progress".into());
            // Where no thread can be had, the beginning and the end are drawn.
            drawings.has_thread = thread.spawn(|| self.work()).is_ok();
        }
        self.wake(drawings);
        place
    }

    /// Draws no more.
    pub(super) fn end(&self, place: &Arc<Place>) {
        place.end();
        // Only now: the screen is this one's until then.
        let mut drawings = lock(&self.drawings);
        drawings.places.retain(|other| !Arc::ptr_eq(other, place));
        if drawings.places.is_empty() {
            self.wake(drawings);
        }
    }

    /// Nothing is drawn any more of what is drawn now.
    pub(super) fn end_all(&self) {
        let places = lock(&self.drawings).places.clone();
        places.iter().for_each(|place| self.end(place));
    }

    fn wake(&self, mut drawings: MutexGuard<'_, Drawings>) {
        drawings.has_changed = true;
        drop(drawings);
        self.changed.notify_one();
    }

    fn work(&self) {
        signals::block_in_this_thread();
        let mut drawings = lock(&self.drawings);
        while !drawings.places.is_empty() {
            drawings.has_changed = false;
            // Not under the lock: a look may take its time, or begin a drawing itself.
            let places = drawings.places.clone();
            drop(drawings);
            let now = Instant::now();
            let next = places.iter().filter_map(|place| place.draw(now)).min();
            drop(places);
            drawings = self.wait_until(next);
        }
        drawings.has_thread = false;
    }

    /// Sleeps until then, or until a drawing comes or the last one goes.
    fn wait_until(&self, next: Option<Instant>) -> MutexGuard<'_, Drawings> {
        let drawings = lock(&self.drawings);
        let nothing_new = |drawings: &mut Drawings| !drawings.has_changed;
        match next {
            Some(next) => {
                let time = next.saturating_duration_since(Instant::now());
                let waited = self.changed.wait_timeout_while(drawings, time, nothing_new);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.changed.wait_while(drawings, nothing_new).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl Place {
    /// Draws if it is time to. When it will be next; never, if there is no picture any more.
    fn draw(&self, now: Instant) -> Option<Instant> {
        let mut place = lock(&self.0);
        let picture = place.as_mut()?;
        let next = catch_unwind(AssertUnwindSafe(|| picture.draw(now))).ok();
        if next.is_none() {
            // The panic has been told. Others go on.
            *place = None;
        }
        next
    }

    fn end(&self) {
        let Some(picture) = lock(&self.0).take() else { return };
        let end = || {
            // A panic has been told, and must not become a second one.
            let _ = catch_unwind(AssertUnwindSafe(|| picture.end()));
        };
        if thread::panicking() {
            // indicatif draws nothing in a thread that panics.
            thread::scope(|scope| {
                let _ = thread::Builder::new().spawn_scoped(scope, end);
            });
        } else {
            end();
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
