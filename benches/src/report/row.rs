//! The results of one case of one engine, measured or simulated.

use serde::{Deserialize, Serialize};

use crate::case::{Case, Sharing, Workload};
use crate::measure::Slice;
use crate::stats::{interval, median, spread};

/// One case of one engine. Times are in nanoseconds; those of a simulated row are of the simulated machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The workload.
    pub workload: Workload,
    /// The engine.
    pub engine: String,
    /// The number of threads, each on its own core as far as there are enough.
    pub threads: usize,
    /// The state that the threads shared.
    pub sharing: Sharing,
    /// The number of scopes that a reservation was charged on, if this row is from that list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<usize>,
    /// The number of other live peers, if this row is from that list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<usize>,
    /// Whether the row is simulated, not measured.
    pub simulated: bool,
    /// Wall time divided by the operations of all threads: the median of the rounds.
    pub ns_per_op: f64,
    /// The 95 % confidence interval of `ns_per_op`, by bootstrap over the rounds. `None` after a single
    /// round, and for a simulated row.
    pub interval: Option<[f64; 2]>,
    /// The CPU time of all threads divided by their operations: the median of the rounds. `None` where the
    /// system does not say, and for a simulated row.
    pub cpu_ns_per_op: Option<f64>,
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
    /// The number of rounds.
    pub rounds: usize,
    /// The value of `ns_per_op` in each round.
    pub ns_of_rounds: Vec<f64>,
    /// The value of `cpu_ns_per_op` in each round.
    pub cpu_ns_of_rounds: Vec<f64>,
    /// The causes of the times of a simulated row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulation: Option<Simulated>,
}

/// The causes of the times of a simulated row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Simulated {
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
    /// The time in which an operation waits for lines, in nanoseconds.
    pub waiting_ns_per_op: f64,
    /// The share of all cores' time in which they wait for lines.
    pub waiting: f64,
    /// The words on whose lines the most time is lost, the worst first.
    pub hottest: Vec<HotWord>,
}

/// A word whose line moves between cores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HotWord {
    /// The scope if it belongs to one, and the places in the code.
    pub name: String,
    /// The number of lines with this name.
    pub lines: usize,
    /// The share of all cores' time in which they wait for it.
    pub waiting: f64,
    /// The time in which an operation waits for it, in nanoseconds.
    pub waiting_ns_per_op: f64,
    /// The transfers of its line in an operation.
    pub transfers_per_op: f64,
    /// The failed compare-and-swap operations on it in an operation.
    pub failed_cas_per_op: f64,
}

/// The measurements of one case in all rounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rounds {
    /// The wall time of an operation in each round.
    pub ns: Vec<f64>,
    /// The CPU time of an operation in each round; empty where the system does not say.
    pub cpu_ns: Vec<f64>,
    /// The operations of all rounds.
    pub operations: u64,
    /// The latencies: p50, p99 and p99.9.
    pub latencies: [u64; 3],
}

impl Rounds {
    /// Adds the measurement of a round.
    pub fn add(&mut self, slice: &Slice) {
        self.ns.push(slice.ns_per_op());
        self.cpu_ns.extend(slice.cpu_ns_per_op());
        self.operations += slice.operations;
    }

    /// One round in place of these: the median.
    pub fn into_median(self) -> Self {
        let one = |numbers: &[f64]| match numbers {
            [] => Vec::new(),
            numbers => vec![median(numbers)],
        };
        Self {
            ns: one(&self.ns),
            cpu_ns: one(&self.cpu_ns),
            ..self
        }
    }

    /// Adds rounds of the same case. The latencies stay those of the first ones.
    pub fn append(&mut self, mut more: Self) {
        self.ns.append(&mut more.ns);
        self.cpu_ns.append(&mut more.cpu_ns);
        self.operations += more.operations;
    }
}

impl Row {
    /// The row of a case that was measured in these rounds. The seed is that of the confidence interval.
    pub(crate) fn measured(engine: &str, case: &Case, rounds: Rounds, seed: u64) -> Self {
        let [p50_ns, p99_ns, p999_ns] = rounds.latencies;
        Self {
            workload: case.workload,
            engine: engine.to_owned(),
            threads: case.threads,
            sharing: case.sharing,
            scopes: None,
            peers: None,
            simulated: false,
            ns_per_op: median(&rounds.ns),
            interval: interval(&rounds.ns, seed),
            cpu_ns_per_op: (!rounds.cpu_ns.is_empty()).then(|| median(&rounds.cpu_ns)),
            ops: rounds.operations,
            p50_ns,
            p99_ns,
            p999_ns,
            spread: spread(&rounds.ns),
            rounds: rounds.ns.len(),
            ns_of_rounds: rounds.ns,
            cpu_ns_of_rounds: rounds.cpu_ns,
            simulation: None,
        }
    }

    /// The throughput of all threads, in millions of operations a second.
    pub fn mops(&self) -> f64 {
        1e3 / self.ns_per_op
    }

    /// Whether two rows of the same list are of the same case and engine, both measured or both simulated.
    pub(crate) fn is_same_case(&self, other: &Self) -> bool {
        let case = |row: &Self| {
            let Self {
                workload,
                threads,
                sharing,
                scopes,
                peers,
                simulated,
                ..
            } = *row;
            (workload, threads, sharing, scopes, peers, simulated)
        };
        case(self) == case(other) && self.engine == other.engine
    }

    /// The interval of the time per operation, or the time itself if there is none.
    pub(super) fn range(&self) -> [f64; 2] {
        self.interval.unwrap_or([self.ns_per_op; 2])
    }

    /// Whether this row is of the same case as the other one, except for the number of threads.
    pub(super) fn is_on_curve_of(&self, other: &Self) -> bool {
        self.workload == other.workload
            && self.engine == other.engine
            && self.sharing == other.sharing
            && self.simulated == other.simulated
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A measured row with these rounds.
    pub fn row(workload: Workload, engine: &str, threads: usize, rounds: &[f64]) -> Row {
        let case = Case::new(workload, Sharing::Path, threads);
        let rounds = Rounds {
            ns: rounds.to_vec(),
            cpu_ns: rounds.iter().map(|ns| ns * threads as f64).collect(),
            operations: 1,
            latencies: [1, 2, 3],
        };
        Row::measured(engine, &case, rounds, 1)
    }

    /// A simulated row with this time.
    pub fn simulated(workload: Workload, engine: &str, threads: usize, ns: f64) -> Row {
        Row {
            simulated: true,
            interval: None,
            cpu_ns_per_op: None,
            cpu_ns_of_rounds: Vec::new(),
            simulation: Some(Simulated {
                real_ns: 10.0,
                work_ns: 5.0,
                accesses_per_op: 2.0,
                transfers_per_op: 1.5,
                failed_cas_per_op: 0.25,
                waiting_ns_per_op: 30.0,
                waiting: 0.5,
                hottest: vec![HotWord {
                    name: "system at node.rs:1, \"quoted\" <b>".to_owned(),
                    lines: 1,
                    waiting: 0.4,
                    waiting_ns_per_op: 25.0,
                    transfers_per_op: 1.0,
                    failed_cas_per_op: 0.25,
                }],
            }),
            ..row(workload, engine, threads, &[ns])
        }
    }

    #[test]
    fn rounds_become_one_with_their_medians() {
        let rounds = Rounds {
            ns: vec![3.0, 1.0, 2.0],
            operations: 7,
            ..Rounds::default()
        };
        let one = rounds.into_median();
        assert_eq!((&one.ns[..], one.operations), (&[2.0][..], 7));
        assert!(one.cpu_ns.is_empty(), "the system does not say");
    }

    #[test]
    fn a_measured_row_has_all_its_rounds() {
        let row = row(Workload::Span, "atomic", 2, &[9.0, 10.0, 12.0]);
        assert_eq!(row.ns_of_rounds, [9.0, 10.0, 12.0]);
        assert_eq!((row.ns_per_op, row.cpu_ns_per_op), (10.0, Some(20.0)));
        assert_eq!((row.interval, row.rounds), (Some([9.0, 12.0]), 3));
        assert!(!row.simulated);
    }
}
