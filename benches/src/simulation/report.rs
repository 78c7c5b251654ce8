//! A run on the simulated machine as a row of the report.

use rcmgr_machine::HotLine;

use crate::case::Case;
use crate::report::{HotWord, Rounds, Row, Simulated};

use super::case::Run;
use super::work::Work;

/// The number of words that are listed for each row.
const HOTTEST: usize = 5;

/// The row of a run. It has one round, because the same seed and work give the same result.
pub fn row(engine: &str, case: &Case, work: &Work, run: &Run) -> Row {
    let outcome = &run.outcome;
    let operations = run.operations.max(1) as f64;
    let per_op = |count: u64| count as f64 / operations;
    // Without any core time, as on a machine whose accesses are free, no core waits.
    let core_time = outcome.core_time.as_ns();
    let of_core_time = |part: f64| {
        if core_time > 0.0 {
            part / core_time
        } else {
            0.0
        }
    };
    let word = |hot: &HotLine| HotWord {
        name: hot.name.clone(),
        lines: hot.lines,
        waiting: of_core_time(hot.lost.as_ns()),
        waiting_ns_per_op: hot.lost.as_ns() / operations,
        transfers_per_op: per_op(hot.transfers),
        failed_cas_per_op: per_op(hot.failed_cas),
    };
    let rounds = Rounds {
        ns: vec![run.length.as_ns() / operations],
        // A parked thread takes no CPU time, and the simulation does not tell its time apart.
        cpu_ns: Vec::new(),
        operations: run.operations,
        latencies: [0.5, 0.99, 0.999].map(|quantile| run.times.value_at_quantile(quantile)),
    };
    Row {
        simulated: true,
        simulation: Some(Simulated {
            real_ns: work.real_ns,
            work_ns: work.ns,
            accesses_per_op: per_op(outcome.accesses),
            transfers_per_op: per_op(outcome.transfers),
            failed_cas_per_op: per_op(outcome.failed_cas),
            waiting_ns_per_op: outcome.lost.as_ns() / operations,
            waiting: of_core_time(outcome.lost.as_ns()),
            hottest: outcome.hottest.iter().take(HOTTEST).map(word).collect(),
        }),
        ..Row::measured(engine, case, rounds, 0)
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use rcmgr_machine::{Outcome, Time};

    use super::*;
    use crate::case::{Sharing, Workload};

    #[test]
    fn a_run_that_takes_no_time_has_numbers_as_causes() {
        let case = Case::new(Workload::Memory, Sharing::Path, 2);
        let work = Work {
            real_ns: 1.0,
            ns: 0.0,
            of_core: Time::ZERO.into(),
            part: 1.0,
        };
        let run = Run {
            outcome: Outcome {
                hottest: vec![HotLine::default()],
                ..Outcome::default()
            },
            operations: 10,
            times: Histogram::new(3).unwrap(),
            length: Time::ZERO,
        };
        let causes = row("floor", &case, &work, &run).simulation.unwrap();
        assert_eq!((causes.waiting, causes.hottest[0].waiting), (0.0, 0.0));
    }
}
