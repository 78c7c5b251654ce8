//! What honest clients got without and with the proxy, side by side.

use std::fmt::{self, Display, Formatter};

use rcmgr_atomic::{Manager, ScopeClass};

use super::super::format::{duration, grouped, table};
use super::super::verdict::{Check, counters_are_zero};
use super::clients::{PATIENCE, Tally};

/// The results of both runs.
pub struct FewSlots {
    pub slots: u64,
    /// The limit of the proxy: connections of a source.
    pub of_a_source: u64,
    pub without: Tally,
    pub with: Tally,
    /// The manager of the proxy.
    pub manager: Manager,
}

/// The cell of a quantile of nothing.
const NONE: &str = "-";

impl FewSlots {
    /// The checks.
    pub fn checks(&self) -> [Check; 1] {
        let mut check = counters_are_zero(&self.manager);
        check.finding = format!("rcmgr guard: {}", check.finding);
        [check]
    }
}

fn served(run: &Tally) -> String {
    let (served, failed) = (run.served.get(), run.failed.get());
    format!("{} of {}", grouped(served), grouped(served + failed))
}

fn time(run: &Tally, quantile: f64) -> String {
    let time = run.times.quantile(quantile);
    time.map_or(NONE.to_owned(), duration)
}

impl Display for FewSlots {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let title = format!("one address floods a server with {} slots", self.slots);
        let mut table = table([
            &*title,
            "nothing in front of it",
            "rcmgr guard in front of it",
        ]);
        let mut row = |name: &str, cell: &dyn Fn(&Tally) -> String| {
            table.add_row([name.to_owned(), cell(&self.without), cell(&self.with)]);
        };
        let patience = duration(PATIENCE);
        row(
            &format!("honest clients with an answer within {patience}"),
            &served,
        );
        row("time to the answer, p50", &|run| time(run, 0.5));
        row("time to the answer, p99", &|run| time(run, 0.99));
        row("most slots of the flooding address", &|run| {
            grouped(run.held.most())
        });
        let refused = self.manager.refusals(ScopeClass::Peer).total();
        table.add_row([
            format!(
                "refused by its limit of {} connections a source",
                self.of_a_source
            ),
            NONE.to_owned(),
            grouped(refused),
        ]);
        writeln!(f, "{}\n", table.trim_fmt())
    }
}
