//! commons and its peers, side by side in one run.
//!
//! `cargo run --release -p versus [FILTER…] [--quick] [--json]`; see `docs/performance.md`.

mod clock;
mod cpus;
mod crew;
mod groups;
mod machine;
mod measure;
mod peers;
mod report;
mod row;

use std::process::ExitCode;

use crate::{
    groups::memory,
    machine::{Machine, OtherWork},
    measure::Plan,
    report::Form,
    row::Row,
};

const USAGE: &str = "usage: versus [FILTER…] [--quick] [--json]

Measures commons and its peers side by side and prints a line for each row.

  FILTER   a group, or group/name; without one all rows run
  --quick  fewer rounds
  --json   one object per row

Exit status: 0 if every target was reached, 1 if one was missed, 2 if the arguments make no sense.";

struct Arguments {
    filters: Vec<String>,
    plan: Plan,
    form: Form,
}

fn main() -> ExitCode {
    commons::init();
    if std::env::args().nth(1).as_deref() == Some(memory::DO_NOTHING) {
        return memory::do_nothing();
    }
    match arguments(std::env::args().skip(1)) {
        Ok(arguments) => run(&arguments),
        Err(status) => status,
    }
}

fn arguments(words: impl Iterator<Item = String>) -> Result<Arguments, ExitCode> {
    let mut arguments = Arguments { filters: Vec::new(), plan: Plan::FULL, form: Form::Lines };
    for word in words {
        match word.as_str() {
            "--quick" => arguments.plan = Plan::QUICK,
            "--json" => arguments.form = Form::Json,
            "--help" | "-h" => {
                println!("{USAGE}");
                return Err(ExitCode::SUCCESS);
            }
            filter if !filter.starts_with('-') && groups::all().any(|row| row.matches(filter)) => {
                arguments.filters.push(word);
            }
            unknown => {
                let rows: Vec<String> =
                    groups::all().map(|row| format!("{}/{}", row.group, row.name)).collect();
                eprintln!(
                    "{USAGE}\n\nThere is no option or row `{unknown}`. The rows are: {}.",
                    rows.join(", ")
                );
                return Err(ExitCode::from(2));
            }
        }
    }
    Ok(arguments)
}

fn run(arguments: &Arguments) -> ExitCode {
    let Arguments { filters, plan, form } = arguments;
    form.remark(&Machine::this().to_string());
    if let Some(sentence) = machine::sentence(OtherWork::sample(), "keeps") {
        form.remark(&sentence);
    }
    let wanted = |row: &&Row| filters.is_empty() || filters.iter().any(|filter| row.matches(filter));
    let whole = OtherWork::from_now();
    let mut misses = 0;
    for row in groups::all().filter(wanted) {
        let outcome = row.run(*plan);
        form.row(row, &outcome);
        misses += usize::from(outcome.is_miss(row));
    }
    if let Some(sentence) = machine::sentence(whole.cpus(), "kept") {
        form.remark(&sentence);
    }
    if misses == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
