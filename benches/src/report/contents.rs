//! The contents of a report, as plain data.

use serde::Serialize;

use crate::case::{Sharing, Workload};
use crate::machine::Machine;

/// The results of a study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The machine that it ran on.
    pub machine: Machine,
    /// The method.
    pub method: Method,
    /// The engines that took part.
    pub engines: Vec<EngineInfo>,
    /// The results of each workload, by engine, sharing and threads.
    pub rows: Vec<Row>,
    /// Memory reservations on one thread, by the number of scopes that are charged.
    pub by_scopes: Vec<Row>,
    /// The results of one thread, by the number of other live peers.
    pub by_peers: Vec<Row>,
    /// Ratios between rows.
    pub ratios: Vec<Ratio>,
    /// The cases that were not measured, with the reason.
    pub left_out: Vec<LeftOut>,
}

/// The method.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Method {
    /// The version of rcmgr.
    pub version: String,
    /// The start time, in seconds since 1970.
    pub unix_time: u64,
    /// The number of rounds that was requested.
    pub rounds: usize,
    /// The time of one measurement, in seconds; less if the time was short.
    pub slice_seconds: f64,
    /// The time of the whole study, in seconds.
    pub took_seconds: f64,
    /// The time to read the clock, in nanoseconds. All latencies include it.
    pub clock_ns: u64,
}

/// An engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EngineInfo {
    /// Its name.
    pub name: String,
    /// A description in one sentence.
    pub about: String,
}

/// One case of one engine. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The workload.
    #[serde(serialize_with = "as_text")]
    pub workload: Workload,
    /// The engine.
    pub engine: String,
    /// The number of threads.
    pub threads: usize,
    /// The state that the threads shared.
    #[serde(serialize_with = "as_text")]
    pub sharing: Sharing,
    /// The number of scopes that a reservation was charged on, if this row is from that list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<usize>,
    /// The number of other live peers, if this row is from that list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<usize>,
    /// Wall time divided by the operations of all threads: the median of the rounds.
    pub ns_per_op: f64,
    /// The operations of all rounds.
    pub ops: u64,
    /// The median latency.
    pub p50_ns: u64,
    /// The 99th percentile of the latency.
    pub p99_ns: u64,
    /// The 99.9th percentile of the latency.
    pub p999_ns: u64,
    /// The interquartile range of the rounds' `ns_per_op`, divided by the median. `None` after a
    /// single round.
    pub spread: Option<f64>,
    /// The number of measured rounds.
    pub rounds: usize,
}

impl Row {
    /// The throughput of all threads, in millions of operations a second.
    pub fn mops(&self) -> f64 {
        1e3 / self.ns_per_op
    }

    /// Half of the spread, at most one half: the length of a bar on each side of a point.
    pub(super) fn half_spread(&self) -> f64 {
        self.spread.unwrap_or(0.0).min(1.0) / 2.0
    }
}

/// A case that was not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// A description in one sentence.
    pub what: String,
    /// The reason.
    pub why: String,
}

impl Report {
    /// The smallest number of rounds of any case. It is less than requested if the time was over
    /// before.
    pub fn least_rounds(&self) -> usize {
        let all = self
            .rows
            .iter()
            .chain(&self.by_scopes)
            .chain(&self.by_peers);
        all.map(|row| row.rounds).min().unwrap_or(0)
    }

    /// The row of this case, if it was measured.
    pub fn row(
        &self,
        workload: Workload,
        engine: &str,
        sharing: Sharing,
        threads: usize,
    ) -> Option<&Row> {
        self.rows.iter().find(|row| {
            row.workload == workload
                && row.engine == engine
                && row.sharing == sharing
                && row.threads == threads
        })
    }
}

/// The engines' names.
pub(super) fn names(report: &Report) -> impl Iterator<Item = String> {
    report.engines.iter().map(|engine| engine.name.clone())
}

/// The ratio of two rows of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ratio {
    /// The case, such as `memory, 1 thread`.
    pub of: String,
    /// Numerator and denominator, such as `mutex / atomic`.
    pub what: String,
    /// The ratio.
    pub value: f64,
}

pub fn as_text<S: serde::Serializer>(
    name: &impl std::fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}
