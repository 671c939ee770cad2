//! One comparison: ours, a peer, and the ratio to reach.

use std::panic;

use crate::{
    machine::OtherWork,
    measure::{self, Costs, Made, Plan, Round},
};

/// The target of a row that is only shown.
pub(crate) const NO_TARGET: f64 = f64::INFINITY;

/// A row of a group's table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    pub(crate) peer: &'static str,
    /// What ours may cost at most, as a multiple of what the peer costs.
    pub(crate) target: f64,
    pub(crate) round: Round,
    pub(crate) ours: fn() -> Made,
    pub(crate) theirs: fn() -> Made,
}

/// What came of a row.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Both ran.
    Compared {
        ours: Costs,
        peer: Costs,
        /// How many CPUs were busy with other work meanwhile.
        others: f64,
    },
    /// The peer is not on this machine, and why.
    Skipped(String),
    /// Ours did not run, and why.
    Failed(String),
}

impl Row {
    /// A word that is the group's name, or `group/name`.
    pub(crate) fn matches(&self, word: &str) -> bool {
        word == self.group || word.split_once('/') == Some((self.group, self.name))
    }

    /// Measures it. What panics is a failed row, and the others still run.
    pub(crate) fn run(&self, plan: Plan) -> Outcome {
        panic::catch_unwind(|| self.measure(plan)).unwrap_or_else(|panic| {
            let words = panic.downcast::<String>().map(|words| *words);
            Outcome::Failed(words.unwrap_or_else(|_| "it panicked".to_owned()))
        })
    }

    fn measure(&self, plan: Plan) -> Outcome {
        let work = OtherWork::from_now();
        let mut theirs = match (self.theirs)() {
            Ok(theirs) => theirs,
            Err(why) => return Outcome::Skipped(why),
        };
        let mut ours = match (self.ours)() {
            Ok(ours) => ours,
            Err(why) => return Outcome::Failed(why),
        };
        let [ours_costs, peer_costs] = measure::side_by_side(plan, self.round, &mut ours, &mut theirs);
        // Their processes end here: only then is their time counted as ours.
        drop((ours, theirs));
        Outcome::Compared { ours: ours_costs, peer: peer_costs, others: work.cpus() }
    }
}

impl Outcome {
    /// Ours divided by the peer, from the medians.
    pub(crate) fn ratio(&self) -> Option<f64> {
        match self {
            Self::Compared { ours, peer, .. } => Some(ours.median() / peer.median()),
            Self::Skipped(_) | Self::Failed(_) => None,
        }
    }

    /// Whether the row keeps its promise; a row without a peer promises nothing.
    pub(crate) fn is_miss(&self, row: &Row) -> bool {
        match self {
            Self::Compared { .. } => self.ratio().is_none_or(|ratio| ratio > row.target),
            Self::Skipped(_) => false,
            Self::Failed(_) => true,
        }
    }
}
