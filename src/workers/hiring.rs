//! Starting workers: as many as there is work for, unless they do not live.

use std::sync::Arc;

use super::{
    crew::{Crew, Office, Stage},
    worker::{Post, work},
};
use crate::{
    error::Result,
    process::{Exit, ProcessError},
};

/// So many workers in a row that end before their first order, and nothing will come of the next one.
const BAD_STARTS: u32 = 3;

/// How bad it is if so many do: one that somebody kills counts one.
const WORST: u32 = 90;

impl Crew {
    /// Starts workers until there are so many.
    pub(super) fn hire(self: &Arc<Self>, office: &mut Office, wanted: usize) -> Result<()> {
        let mut missing = wanted.saturating_sub(office.workers.iter().flatten().count());
        if missing == 0 {
            return Ok(());
        }
        let share = self.habits.share();
        let builder = self.habits.builder(share);
        for (desk, place) in office.workers.iter_mut().enumerate() {
            if missing == 0 {
                break;
            }
            if place.is_some() {
                continue;
            }
            let post = Post {
                orders: self.orders.clone(),
                answers: self.answers.clone(),
                control: self.control.clone(),
                desk: desk as u32,
                recycle_after: self.habits.recycle_after,
                idle_timeout: self.habits.idle_timeout,
                share,
            };
            let crew = Arc::downgrade(self);
            let told = move || {
                if let Some(crew) = crew.upgrade() {
                    crew.died(desk);
                }
            };
            *place = Some(Arc::new(builder.spawn_and_tell(post, work, told)?));
            missing -= 1;
        }
        Ok(())
    }

    /// As many workers as there is work for.
    pub(super) fn wanted(&self, office: &Office) -> usize {
        match (office.stage, self.habits.idle_timeout) {
            _ if office.resting || office.frozen => 0,
            (Stage::Terminated, _) => 0,
            (Stage::Open, None) => self.habits.workers,
            _ => self.habits.workers.min(office.books.waiting.len() + office.books.running.len()),
        }
    }

    /// Starts those that are wanted. On the pool's thread, so that they may use the CPUs of who made the pool.
    pub(super) fn heal(self: &Arc<Self>, office: &mut Office) {
        if let Err(error) = self.hire(office, self.wanted(office))
            && office.workers.iter().flatten().next().is_none()
        {
            self.give_up(office, &error.to_string());
        }
    }

    /// A worker has ended, which was of use or not: are others to be started?
    pub(super) fn mind_starts(
        &self,
        office: &mut Office,
        of_use: bool,
        exit: Exit,
        told: Option<&ProcessError>,
    ) {
        // Those that somebody kills may be killed more often.
        let bad = match exit {
            _ if of_use => 0,
            Exit::Signal(1 | 2 | 9 | 15) => 1,
            _ => WORST / BAD_STARTS,
        };
        office.bad_starts = if of_use { 0 } else { office.bad_starts + bad };
        if office.bad_starts >= WORST {
            (office.bad_starts, office.resting) = (0, true);
        }
        if office.resting && office.workers.iter().all(Option::is_none) {
            if bad == 0 {
                // The last one that was left ended otherwise: others may do as well.
                office.resting = false;
            } else {
                let why = told.map_or_else(|| exit.to_string(), ToString::to_string);
                self.give_up(office, &why);
            }
        }
    }
}
