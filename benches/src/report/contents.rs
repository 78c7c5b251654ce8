//! The contents of a report, as plain data.

use serde::Serialize;

use crate::case::{Sharing, Workload};
use crate::machine::Machine;

/// What a study found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What it was measured on.
    pub machine: Machine,
    /// How it was measured.
    pub method: Method,
    /// The engines that took part.
    pub engines: Vec<EngineInfo>,
    /// Each workload, by engine, sharing and threads.
    pub rows: Vec<Row>,
    /// One thread that reserves memory, by the number of scopes that it is charged on.
    pub by_scopes: Vec<Row>,
    /// One thread, by the number of other peers that are alive.
    pub by_peers: Vec<Row>,
    /// Ratios of some rows.
    pub ratios: Vec<Ratio>,
    /// What was not measured, and why.
    pub left_out: Vec<LeftOut>,
}

/// How it was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Method {
    /// The version of rcmgr.
    pub version: String,
    /// When it began, in seconds since 1970.
    pub unix_time: u64,
    /// How often each row was to be measured.
    pub rounds: usize,
    /// How long each of these took, in seconds.
    pub slice_seconds: f64,
    /// How long all of it took, in seconds.
    pub took_seconds: f64,
    /// What the latencies have in them that is not the operation: reading the clock, in
    /// nanoseconds.
    pub clock_ns: u64,
}

/// An engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EngineInfo {
    /// Its name.
    pub name: String,
    /// What it is.
    pub about: String,
}

/// One case of one engine. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What was done.
    #[serde(serialize_with = "as_text")]
    pub workload: Workload,
    /// By what.
    pub engine: String,
    /// How many threads did it.
    pub threads: usize,
    /// What they shared.
    #[serde(serialize_with = "as_text")]
    pub sharing: Sharing,
    /// How many scopes a reservation was charged on, where that is what was varied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<usize>,
    /// How many other peers were alive, where that is what was varied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<usize>,
    /// Wall time by the operations of all threads: the median of the rounds.
    pub ns_per_op: f64,
    /// The operations of all rounds.
    pub ops: u64,
    /// Half of the operations that were timed took at most this long.
    pub p50_ns: u64,
    /// 99 % did.
    pub p99_ns: u64,
    /// 99.9 % did.
    pub p999_ns: u64,
    /// The interquartile range of the rounds' `ns_per_op`, as a part of the median.
    pub spread: f64,
    /// How many rounds there were.
    pub rounds: usize,
}

impl Row {
    /// Operations of all threads, in millions a second.
    pub fn mops(&self) -> f64 {
        1e3 / self.ns_per_op
    }
}

/// What was not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// What it is.
    pub what: String,
    /// Why.
    pub why: String,
}

impl Report {
    /// How often the case was measured that was measured least: less than was asked for if the
    /// time was over before.
    pub fn least_rounds(&self) -> usize {
        let all = self
            .rows
            .iter()
            .chain(&self.by_scopes)
            .chain(&self.by_peers);
        all.map(|row| row.rounds).min().unwrap_or(0)
    }

    /// The row of a workload.
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

/// How two rows of one run compare.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ratio {
    /// Where, such as `memory, 1 thread`.
    pub of: String,
    /// What is divided by what, such as `mutex / atomic`.
    pub what: String,
    /// The ratio.
    pub value: f64,
}

fn as_text<S: serde::Serializer>(
    name: &impl std::fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}
