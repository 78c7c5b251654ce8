//! What honest clients got from the server without and with the manager, under the same flood.

use std::fmt::{self, Display, Formatter};

use super::format::{duration, grouped, table};
use super::tally::Tally;

/// The counters of both runs.
pub struct Contrast<'a> {
    /// The run without the manager.
    pub without: &'a Tally,
    /// The run with the manager; `None` if it was left out after an interrupt.
    pub with: Option<&'a Tally>,
}

/// A row: its name, and the cell of a run.
type Line = (&'static str, fn(&Tally) -> String);

/// The cell of a run that did not take place, or of a quantile of nothing.
const NONE: &str = "-";

const LINES: [Line; 7] = [
    ("honest requests answered", |run| share(run)),
    ("  answers", |run| grouped(run.under_flood.answered.get())),
    ("  tries without an answer", |run| {
        grouped(run.under_flood.unanswered.get())
    }),
    ("wait for an answer, p50", |run| time(run, 0.5)),
    ("wait for an answer, p99", |run| time(run, 0.99)),
    ("honest connections lost", |run| {
        grouped(run.honest.lost.get())
    }),
    ("server crashes, out of memory", |run| {
        grouped(run.server.crashes.get())
    }),
];

/// The part of the tries that were answered.
fn share(run: &Tally) -> String {
    let share = run.under_flood.share();
    share.map_or(NONE.to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// The time from the first try of a request to its answer, or to the end of the flood.
fn time(run: &Tally, quantile: f64) -> String {
    let time = run.under_flood.waits.quantile(quantile);
    time.map_or(NONE.to_owned(), duration)
}

impl Display for Contrast<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut table = table([
            "during the same flood",
            "without the manager",
            "with the manager",
        ]);
        for (name, cell) in LINES {
            let cells = [Some(self.without), self.with];
            let cells = cells.map(|run| run.map_or(NONE.to_owned(), cell));
            table.add_row([name.to_owned()].into_iter().chain(cells));
        }
        writeln!(f, "{}\n", table.trim_fmt())
    }
}
