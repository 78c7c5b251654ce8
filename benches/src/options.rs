//! What is to be measured, and for how long.

use std::time::Duration;

use crate::case::{Sharing, Workload};
use crate::engines::engines;

/// What is to be measured, and for how long.
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
    /// The engines by name.
    pub engines: Vec<String>,
    /// The numbers of threads.
    pub threads: Vec<usize>,
    /// What the threads share.
    pub sharings: Vec<Sharing>,
    /// How often each case is measured. Each round goes once through all cases.
    pub rounds: usize,
    /// About how long all measuring takes, in seconds. Setting up comes on top, with up to half as
    /// much.
    pub seconds: f64,
    /// The most live peers beside which the workloads are measured, from 10 on in powers of ten.
    /// Below 10 that part of the study is left out.
    pub peers: usize,
    /// Rounds that would begin later than this are left out.
    pub at_most: Option<Duration>,
}

impl Options {
    /// Everything, for figures to keep: some six minutes.
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
        }
    }

    /// Everything, for a first look: less than a minute, also on a machine that is busy.
    pub fn quick() -> Self {
        Self {
            rounds: 3,
            seconds: 28.0,
            at_most: Some(Duration::from_secs(42)),
            ..Self::full()
        }
    }
}

/// 1, 2, 4 and so on, up to twice the cores.
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
