//! The report of a simulated study.

use rcmgr_machine::{HotLine, Machine};
use serde::Serialize;

use crate::case::{Case, Sharing, Workload};
use crate::report::{LeftOut, as_text};

use super::case::Run;
use super::work::Work;

/// The number of words that are listed for each row.
const HOTTEST: usize = 5;

/// The results of a simulated study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimulatedReport {
    /// The version of rcmgr.
    pub version: String,
    /// The machine.
    pub machine: Machine,
    /// The seed.
    pub seed: u64,
    /// The results, by workload, sharing, engine and cores.
    pub rows: Vec<SimulatedRow>,
    /// The cases that were not simulated, with the reason.
    pub left_out: Vec<LeftOut>,
}

/// One case of one engine. Times are in nanoseconds of the simulated machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimulatedRow {
    /// The workload.
    #[serde(serialize_with = "as_text")]
    pub workload: Workload,
    /// The engine.
    pub engine: String,
    /// The number of cores, each with one thread.
    pub threads: usize,
    /// The state that the threads shared.
    #[serde(serialize_with = "as_text")]
    pub sharing: Sharing,
    /// Always true: it marks the row beside rows of real runs.
    pub simulated: bool,
    /// Time divided by the operations of all threads.
    pub ns_per_op: f64,
    /// The operations of all threads.
    pub ops: u64,
    /// The median latency.
    pub p50_ns: u64,
    /// The 99th percentile of the latency.
    pub p99_ns: u64,
    /// The 99.9th percentile of the latency.
    pub p999_ns: u64,
    /// The same as `ns_per_op` on real threads of this machine, if it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub real_ns_per_op: Option<f64>,
    /// The time of an operation on one real thread, which the work comes from.
    pub real_ns: f64,
    /// The work of an operation: the part of its time that is not in accesses.
    pub work_ns: f64,
    /// The accesses to atomics and locks in an operation.
    pub accesses_per_op: f64,
    /// The lines that an operation moves from one core to another.
    pub transfers_per_op: f64,
    /// The compare-and-swap operations that fail in an operation.
    pub failed_cas_per_op: f64,
    /// The share of all cores' time in which they wait for lines.
    pub waiting: f64,
    /// The words on whose lines the most time is lost, the worst first.
    pub hottest: Vec<HotWord>,
}

/// A word whose line moves between cores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HotWord {
    /// The scope if it belongs to one, and the places in the code.
    pub name: String,
    /// The number of lines with this name.
    pub lines: usize,
    /// The share of all cores' time in which they wait for it.
    pub waiting: f64,
    /// The transfers of its line in an operation.
    pub transfers_per_op: f64,
    /// The failed compare-and-swap operations on it in an operation.
    pub failed_cas_per_op: f64,
}

impl SimulatedReport {
    pub(super) fn new(machine: &Machine, seed: u64) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: machine.clone(),
            seed,
            rows: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// The report as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has a form in JSON") + "\n"
    }

    /// The row of this case, if it was simulated.
    pub fn row(
        &self,
        workload: Workload,
        engine: &str,
        sharing: Sharing,
        threads: usize,
    ) -> Option<&SimulatedRow> {
        self.rows.iter().find(|row| {
            row.workload == workload
                && row.engine == engine
                && row.sharing == sharing
                && row.threads == threads
        })
    }

    /// Adds a reason why an engine has no rows for a workload, once.
    pub(super) fn leave_out(&mut self, engine: &str, workload: Workload, why: &str) {
        let left_out = LeftOut {
            what: format!("{engine}, {workload}"),
            why: why.to_owned(),
        };
        if !self.left_out.contains(&left_out) {
            self.left_out.push(left_out);
        }
    }

    pub(super) fn add(
        &mut self,
        engine: &str,
        case: &Case,
        work: &Work,
        run: &Run,
        real_ns_per_op: Option<f64>,
    ) {
        let outcome = &run.outcome;
        let per_op = |count: u64| count as f64 / run.operations as f64;
        let of_core_time = |part: f64| part / outcome.core_time.as_ns();
        let word = |hot: &HotLine| HotWord {
            name: hot.name.clone(),
            lines: hot.lines,
            waiting: of_core_time(hot.lost.as_ns()),
            transfers_per_op: per_op(hot.transfers),
            failed_cas_per_op: per_op(hot.failed_cas),
        };
        let [p50_ns, p99_ns, p999_ns] =
            [0.5, 0.99, 0.999].map(|quantile| run.times.value_at_quantile(quantile));
        self.rows.push(SimulatedRow {
            workload: case.workload,
            engine: engine.to_owned(),
            threads: case.threads,
            sharing: case.sharing,
            simulated: true,
            ns_per_op: run.length.as_ns() / run.operations as f64,
            ops: run.operations,
            p50_ns,
            p99_ns,
            p999_ns,
            real_ns_per_op,
            real_ns: work.real_ns,
            work_ns: work.before_access.as_ns() * work.accesses,
            accesses_per_op: per_op(outcome.accesses),
            transfers_per_op: per_op(outcome.transfers),
            failed_cas_per_op: per_op(outcome.failed_cas),
            waiting: of_core_time(outcome.lost.as_ns()),
            hottest: outcome.hottest.iter().take(HOTTEST).map(word).collect(),
        });
    }
}
