//! The universal scalability law of every curve: throughput by threads, measured or simulated.

use serde::{Deserialize, Serialize};

use super::row::Row;
use crate::case::{Sharing, Workload};
use crate::scalability::Law;

/// The law of one curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The workload.
    pub workload: Workload,
    /// The engine.
    pub engine: String,
    /// The state that the threads shared.
    pub sharing: Sharing,
    /// Whether the curve is simulated.
    pub simulated: bool,
    /// The law.
    #[serde(flatten)]
    pub law: Law,
}

/// The laws of all curves with a row of one thread and one of more. More threads than cores take turns, which
/// the law does not describe, so measured rows with more are not used.
pub fn curves(rows: &[Row], cores: usize) -> Vec<Curve> {
    let is_first =
        |&(at, row): &(usize, &Row)| !rows[..at].iter().any(|other| other.is_on_curve_of(row));
    let curve = |(_, first): (usize, &Row)| {
        let of_it = rows.iter().filter(|row| row.is_on_curve_of(first));
        let points = of_it
            .filter(|row| row.simulated || row.threads <= cores)
            .map(|row| (row.threads, row.mops()));
        let points: Vec<_> = points.collect();
        Some(Curve {
            workload: first.workload,
            engine: first.engine.clone(),
            sharing: first.sharing,
            simulated: first.simulated,
            law: Law::fit(&points)?,
        })
    };
    rows.iter()
        .enumerate()
        .filter(is_first)
        .filter_map(curve)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::{row, simulated};
    use super::*;

    /// The time per operation on these threads, if a tenth of the work is serial.
    fn amdahl(threads: usize) -> f64 {
        (1.0 + 0.1 * (threads - 1) as f64) / threads as f64 * 40.0
    }

    #[test]
    fn measured_and_simulated_rows_are_curves_of_their_own() {
        let mut rows = Vec::new();
        for threads in [1, 2, 4, 8] {
            rows.push(row(Workload::Span, "atomic", threads, &[amdahl(threads)]));
            rows.push(simulated(Workload::Span, "atomic", threads, 40.0));
        }
        let [measured, simulated] = &curves(&rows, 8)[..] else {
            panic!("there are two curves")
        };
        assert!(!measured.simulated && simulated.simulated);
        assert!((measured.law.contention - 0.1).abs() < 1e-9, "{measured:?}");
        // Throughput stays the same: all work is serial.
        assert!(
            (simulated.law.contention - 1.0).abs() < 1e-9,
            "{simulated:?}"
        );
    }

    #[test]
    fn more_threads_than_cores_are_not_a_part_of_the_curve() {
        let rows = [1, 2, 4].map(|threads| {
            // On two cores, four threads do the work of two.
            let working = threads.min(2);
            row(Workload::Span, "atomic", threads, &[amdahl(working)])
        });
        let [curve] = &curves(&rows, 2)[..] else {
            panic!("there is one curve")
        };
        assert_eq!(curve.law.points, 1);
        assert!((curve.law.contention - 0.1).abs() < 1e-9, "{curve:?}");
        assert!(curves(&rows, 1).is_empty());
    }
}
