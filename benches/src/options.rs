//! The options of a study: the cases, and the time to measure them.

use std::time::Duration;

use crate::case::{Sharing, Workload};
use crate::engines::engines;

/// The options of a study: the cases, and the time to measure them.
///
/// ```
/// use rcmgr_study::{Options, Workload, study};
///
/// let mut options = Options::quick();
/// options.workloads = vec![Workload::Memory];
/// options.engines = vec!["floor".into(), "atomic".into()];
/// options.threads = vec![1];
/// options.seconds = 0.02;
/// options.peers = 0;
/// let report = study(&options, &mut |_| {})?;
/// for row in &report.rows {
///     println!("{} {}: {:.0} ns", row.workload, row.engine, row.ns_per_op);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// The names of the engines.
    pub engines: Vec<String>,
    /// The numbers of threads.
    pub threads: Vec<usize>,
    /// The kinds of sharing.
    pub sharings: Vec<Sharing>,
    /// The number of rounds. A round measures each case once. Without time, there are fewer.
    pub rounds: usize,
    /// The time that all measurements take, in seconds, approximately. The set-up takes up to half
    /// as much in addition.
    pub seconds: f64,
    /// The largest number of other live peers. It is measured in powers of ten, from 10 on. Below
    /// 10 that part of the study is left out.
    pub peers: usize,
    /// The time after which no case is measured again. Before, measurements become shorter if the
    /// machine is busy, so that the first round is complete by then. Cases that have no result 8 s
    /// later are left out.
    pub at_most: Option<Duration>,
    /// The seed of the confidence intervals.
    pub seed: u64,
}

impl Options {
    /// All cases, for results to keep: about six minutes.
    pub fn full() -> Self {
        Self {
            workloads: Workload::ALL.to_vec(),
            engines: engines()
                .iter()
                .map(|engine| engine.name().to_owned())
                .collect(),
            threads: threads(std::thread::available_parallelism().map_or(1, usize::from)),
            sharings: Sharing::ALL.to_vec(),
            rounds: 7,
            seconds: 300.0,
            peers: 1_000_000,
            at_most: None,
            seed: 1,
        }
    }

    /// All cases, for a first impression: less than a minute, even on a busy machine.
    pub fn quick() -> Self {
        Self {
            rounds: 5,
            seconds: 28.0,
            at_most: Some(Duration::from_secs(40)),
            ..Self::full()
        }
    }
}

/// The powers of two up to twice the number of cores.
fn threads(cores: usize) -> Vec<usize> {
    let powers = (0..).map(|power| 1 << power);
    powers.take_while(|&threads| threads <= 2 * cores).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_go_up_to_twice_the_cores() {
        assert_eq!(threads(1), [1, 2]);
        assert_eq!(threads(2), [1, 2, 4]);
        assert_eq!(threads(6), [1, 2, 4, 8]);
    }
}
