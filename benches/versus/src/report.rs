//! What a row prints: a line for people, or an object for programs.

use serde_json::json;

use crate::{
    machine,
    measure::Round,
    row::{NO_TARGET, Outcome, Row},
};

/// Who reads the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Lines,
    Json,
}

impl Form {
    /// Says something about the run as a whole. Standard output belongs to the rows where programs
    /// read it.
    pub(crate) fn remark(self, sentence: &str) {
        match self {
            Self::Lines => println!("{sentence}"),
            Self::Json => eprintln!("{sentence}"),
        }
    }

    pub(crate) fn row(self, row: &Row, outcome: &Outcome) {
        match self {
            Self::Lines => println!("{}", line(row, outcome)),
            Self::Json => println!("{}", object(row, outcome)),
        }
    }
}

fn line(row: &Row, outcome: &Outcome) -> String {
    let name = format!("{}/{}", row.group, row.name);
    let target = if row.target == NO_TARGET { "none".to_owned() } else { row.target.to_string() };
    let verdict = verdict(row, outcome);
    match outcome {
        Outcome::Compared { ours, peer, others } => {
            let shown = |cost| format_cost(row.round, cost);
            let (ours, theirs) = (shown(ours.median()), shown(peer.median()));
            let ratio = outcome.ratio().unwrap_or(f64::NAN);
            let both = format!("ours={ours} {}={theirs}", row.peer);
            let meanwhile = match others {
                others if *others >= machine::NOTEWORTHY => format!("  (other work: {others:.1} CPUs)"),
                _ => String::new(),
            };
            format!("{name:<26} {both:<34} ratio={ratio:<6.3} target={target:<5} {verdict}{meanwhile}")
        }
        Outcome::Skipped(why) | Outcome::Failed(why) => {
            format!("{name:<26} {:<34} {:<12} target={target:<5} {verdict}: {why}", row.peer, "")
        }
    }
}

fn object(row: &Row, outcome: &Outcome) -> serde_json::Value {
    let mut object = json!({
        "group": row.group,
        "name": row.name,
        "peer": row.peer,
        "target": row.target,
        "verdict": verdict(row, outcome),
    });
    match outcome {
        Outcome::Compared { ours, peer, others } => {
            object["ratio"] = outcome.ratio().into();
            let unit = match row.round {
                Round::Time(_) => "ns",
                Round::Bytes => "bytes",
                Round::Descriptors => "descriptors",
            };
            object[format!("ours_{unit}")] = ours.median().into();
            object[format!("peer_{unit}")] = peer.median().into();
            object[format!("ours_quartiles_{unit}")] = json!(ours.quartiles());
            object[format!("peer_quartiles_{unit}")] = json!(peer.quartiles());
            object["rounds"] = ours.rounds().into();
            object["other_work_cpus"] = (*others).into();
        }
        Outcome::Skipped(why) | Outcome::Failed(why) => object["why"] = why.as_str().into(),
    }
    object
}

fn verdict(row: &Row, outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Skipped(_) => "skipped",
        _ if outcome.is_miss(row) => "MISS",
        _ => "ok",
    }
}

fn format_cost(round: Round, cost: f64) -> String {
    match round {
        Round::Time(_) => time(cost),
        Round::Bytes => bytes(cost),
        Round::Descriptors => format!("{cost:.2}"),
    }
}

fn bytes(bytes: f64) -> String {
    match bytes {
        few if few < 1024.0 => format!("{few:.0}B"),
        some if some < 1024.0 * 1024.0 => format!("{:.1}KiB", some / 1024.0),
        many => format!("{:.1}MiB", many / 1024.0 / 1024.0),
    }
}

/// Nanoseconds in the unit that people would use.
fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        few if few < 10.0 => format!("{few:.2}ns"),
        some if some < 1e3 => format!("{some:.1}ns"),
        micro if micro < 1e6 => format!("{:.2}µs", micro / 1e3),
        milli if milli < 1e9 => format!("{:.2}ms", milli / 1e6),
        many => format!("{:.2}s", many / 1e9),
    }
}
