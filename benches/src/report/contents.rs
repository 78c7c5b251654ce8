//! The contents of a report, as plain data.

use serde::{Deserialize, Serialize};

use super::curves::Curve;
use super::method::Method;
use super::reality::{Beside, Order};
use super::row::Row;
use crate::case::{Sharing, Workload};
use crate::machine::Machine;

/// The results of a study, measured or simulated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The machine that it ran on.
    pub machine: Machine,
    /// The method.
    pub method: Method,
    /// The machine of the simulated rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated_machine: Option<rcmgr_machine::Machine>,
    /// The engines that took part.
    pub engines: Vec<EngineInfo>,
    /// The results of each workload, by engine, sharing and threads. Measured rows come first.
    pub rows: Vec<Row>,
    /// Memory reservations on one thread, by the number of scopes that are charged.
    pub by_scopes: Vec<Row>,
    /// The results of one thread, by the number of other live peers.
    pub by_peers: Vec<Row>,
    /// Ratios between measured rows.
    pub ratios: Vec<Ratio>,
    /// The universal scalability law, fitted to throughput by threads.
    pub curves: Vec<Curve>,
    /// The scaling of simulated rows beside that of measured ones.
    pub model: Vec<Beside>,
    /// The order of the engines in simulated rows beside that in measured ones.
    pub orders: Vec<Order>,
    /// The cases that were not measured, with the reason.
    pub left_out: Vec<LeftOut>,
}

/// An engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// Its name.
    pub name: String,
    /// A description in one sentence.
    pub about: String,
}

/// A case that was not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// A description in one sentence.
    pub what: String,
    /// The reason.
    pub why: String,
}

/// The ratio of two rows of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The case, such as `memory, 1 thread`.
    pub of: String,
    /// Numerator and denominator, such as `mutex / atomic`.
    pub what: String,
    /// The ratio.
    pub value: f64,
}

impl Report {
    /// The smallest number of rounds of any measured case. It is less than requested if the time was over
    /// before.
    pub fn least_rounds(&self) -> usize {
        let measured = self.all_rows().filter(|(_, row)| !row.simulated);
        measured.map(|(_, row)| row.rounds).min().unwrap_or(0)
    }

    /// All rows, each with the name of its list: `threads`, `scopes` or `peers`.
    pub fn all_rows(&self) -> impl Iterator<Item = (&'static str, &Row)> {
        let lists = [
            ("threads", &self.rows),
            ("scopes", &self.by_scopes),
            ("peers", &self.by_peers),
        ];
        lists
            .into_iter()
            .flat_map(|(list, rows)| rows.iter().map(move |row| (list, row)))
    }

    /// The measured row of this case, if there is one.
    pub fn row(
        &self,
        workload: Workload,
        engine: &str,
        sharing: Sharing,
        threads: usize,
    ) -> Option<&Row> {
        self.find(workload, engine, sharing, threads, false)
    }

    /// The simulated row of this case, if there is one.
    pub fn simulated_row(
        &self,
        workload: Workload,
        engine: &str,
        sharing: Sharing,
        threads: usize,
    ) -> Option<&Row> {
        self.find(workload, engine, sharing, threads, true)
    }

    /// The row of the same case as this one, for another engine and number of threads: measured if this one
    /// is measured, simulated if it is simulated.
    pub fn row_beside(&self, row: &Row, engine: &str, threads: usize) -> Option<&Row> {
        self.find(row.workload, engine, row.sharing, threads, row.simulated)
    }

    fn find(
        &self,
        workload: Workload,
        engine: &str,
        sharing: Sharing,
        threads: usize,
        simulated: bool,
    ) -> Option<&Row> {
        self.rows.iter().find(|row| {
            row.workload == workload
                && row.engine == engine
                && row.sharing == sharing
                && row.threads == threads
                && row.simulated == simulated
        })
    }

    /// Whether any row is simulated.
    pub fn has_simulated(&self) -> bool {
        self.rows.iter().any(|row| row.simulated)
    }

    /// Whether any row is measured.
    pub fn has_measured(&self) -> bool {
        self.all_rows().any(|(_, row)| !row.simulated)
    }
}

/// The engines' names.
pub(super) fn names(report: &Report) -> impl Iterator<Item = String> {
    report.engines.iter().map(|engine| engine.name.clone())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::report::method::Method;

    /// A report of one engine with these rows.
    pub fn report(rows: Vec<Row>) -> Report {
        let mut engines: Vec<EngineInfo> = Vec::new();
        for row in &rows {
            if !engines.iter().any(|engine| engine.name == row.engine) {
                engines.push(EngineInfo {
                    name: row.engine.clone(),
                    about: "'quoted'".to_owned(),
                });
            }
        }
        let simulated = rows.iter().any(|row| row.simulated);
        let machine = Machine {
            cores: 64,
            ..Machine::default()
        };
        Report {
            curves: crate::report::curves::curves(&rows, machine.cores),
            model: crate::report::reality::beside(&rows, 1),
            orders: crate::report::reality::orders(&rows),
            simulated_machine: simulated
                .then(|| rcmgr_machine::Machine::shipped("desktop"))
                .flatten(),
            machine,
            method: Method {
                rounds: 1,
                slice_seconds: 1.0,
                took_seconds: 1.0,
                clock_ns: 20,
                ..Method::begin(1)
            },
            engines,
            rows,
            by_scopes: Vec::new(),
            by_peers: Vec::new(),
            ratios: Vec::new(),
            left_out: Vec::new(),
        }
    }
}
