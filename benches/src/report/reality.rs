//! The model beside reality: simulated rows beside measured ones of the same case.

use serde::{Deserialize, Serialize};

use super::row::Row;
use crate::case::{Sharing, Workload};
use crate::stats::{interval, median};

/// A simulated scaling is off if it differs from the measured one by more than both.
const ABSOLUTE: f64 = 0.25;
const RELATIVE: f64 = 0.20;

/// The scaling of one case in reality and in the simulation: the throughput of several threads relative to
/// one thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// The workload.
    pub workload: Workload,
    /// The engine.
    pub engine: String,
    /// The state that the threads shared.
    pub sharing: Sharing,
    /// The number of threads.
    pub threads: usize,
    /// The measured scaling. Each round gives one. This is their median.
    pub real: f64,
    /// Its 95 % confidence interval.
    pub interval: Option<[f64; 2]>,
    /// The simulated scaling.
    pub simulated: f64,
    /// Whether the simulated scaling differs from the measured one by more than 0.25 and more than 20 %.
    pub is_off: bool,
}

/// The order of the engines in one case, from the fastest on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The workload.
    pub workload: Workload,
    /// The state that the threads shared.
    pub sharing: Sharing,
    /// The number of threads.
    pub threads: usize,
    /// The measured order.
    pub real: Vec<String>,
    /// The simulated order.
    pub simulated: Vec<String>,
    /// Whether two engines have the other order in the simulation, although their measured confidence
    /// intervals do not overlap.
    pub is_off: bool,
}

/// All cases of several threads that have measured and simulated rows, with their rows of one thread.
pub fn beside(rows: &[Row], seed: u64) -> Vec<Beside> {
    let find = |row: &Row, threads, simulated| {
        rows.iter().find(|other| {
            other.workload == row.workload
                && other.engine == row.engine
                && other.sharing == row.sharing
                && other.threads == threads
                && other.simulated == simulated
        })
    };
    let several = rows.iter().filter(|row| row.simulated && row.threads > 1);
    let beside = |row: &Row| {
        let real = find(row, row.threads, false)?;
        let real_one = find(row, 1, false)?;
        let simulated = find(row, 1, true)?.ns_per_op / row.ns_per_op;
        // One thread and several were measured together. The speed of the machine varies more from round to
        // round than within one.
        let rounds = real_one.ns_of_rounds.iter().zip(&real.ns_of_rounds);
        let scalings: Vec<f64> = rounds.map(|(one, several)| one / several).collect();
        let measured = median(&scalings);
        Some(Beside {
            workload: row.workload,
            engine: row.engine.clone(),
            sharing: row.sharing,
            threads: row.threads,
            real: measured,
            interval: interval(&scalings, seed),
            simulated,
            is_off: is_off(measured, simulated),
        })
    };
    several.filter_map(beside).collect()
}

fn is_off(real: f64, simulated: f64) -> bool {
    let difference = (simulated - real).abs();
    difference > ABSOLUTE && difference > RELATIVE * real
}

/// The order of the engines in each case that has measured and simulated rows of at least two engines.
pub fn orders(rows: &[Row]) -> Vec<Order> {
    let mut cases: Vec<_> = rows
        .iter()
        .filter(|row| row.simulated)
        .map(|row| (row.workload, row.sharing, row.threads))
        .collect();
    cases.sort_unstable();
    cases.dedup();
    let order = |(workload, sharing, threads): (Workload, Sharing, usize)| {
        let of_case = |simulated| {
            let is_its = move |row: &&Row| {
                (row.workload, row.sharing, row.threads) == (workload, sharing, threads)
                    && row.simulated == simulated
            };
            let mut found: Vec<&Row> = rows.iter().filter(is_its).collect();
            found.sort_by(|one, other| one.ns_per_op.total_cmp(&other.ns_per_op));
            found
        };
        let [mut real, mut simulated] = [false, true].map(of_case);
        let is_in =
            |row: &Row, others: &[&Row]| others.iter().any(|other| other.engine == row.engine);
        real.retain(|row| is_in(row, &simulated));
        simulated.retain(|row| is_in(row, &real));
        let place = |row: &Row| {
            simulated
                .iter()
                .position(|other| other.engine == row.engine)
        };
        let is_off = real.iter().enumerate().any(|(at, fast)| {
            let mut slower = real[at + 1..].iter();
            slower.any(|slow| fast.range()[1] < slow.range()[0] && place(fast) > place(slow))
        });
        let names = |rows: &[&Row]| rows.iter().map(|row| row.engine.clone()).collect();
        (real.len() > 1).then(|| Order {
            workload,
            sharing,
            threads,
            real: names(&real),
            simulated: names(&simulated),
            is_off,
        })
    };
    cases.into_iter().filter_map(order).collect()
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::{row, simulated};
    use super::*;

    /// A measured and a simulated scaling of one case, from one thread to two.
    fn case(real: f64, simulation: f64) -> Beside {
        let memory = Workload::Memory;
        let rows = [
            row(memory, "atomic", 1, &[10.0, 10.1, 9.9]),
            row(memory, "atomic", 2, &[10.1, 10.1, 9.8].map(|ns| ns / real)),
            simulated(memory, "atomic", 1, 20.0),
            simulated(memory, "atomic", 2, 20.0 / simulation),
            // Without measured rows.
            simulated(memory, "atomic", 4, 5.0),
            simulated(memory, "floor", 2, 5.0),
        ];
        let all = beside(&rows, 1);
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    #[test]
    fn a_scaling_is_off_if_it_differs_by_more_than_a_quarter_and_a_fifth() {
        assert!(!case(2.0, 2.0).is_off);
        // 0.3 more, and 15 %.
        assert!(!case(2.0, 1.7).is_off);
        // 0.2 more, and 67 %.
        assert!(!case(0.3, 0.5).is_off);
        assert!(case(1.0, 1.3).is_off);
        assert!(case(1.0, 0.7).is_off);
        let one = case(1.0, 1.3);
        assert!(
            (one.real - 1.0).abs() < 1e-9 && (one.simulated - 1.3).abs() < 1e-9,
            "{one:?}"
        );
        let [low, high] = one.interval.unwrap();
        assert!(low < 1.0 && 1.0 < high, "{one:?}");
    }

    #[test]
    fn each_round_has_a_scaling_of_its_own() {
        let memory = Workload::Memory;
        // The machine is slow in the third round. The threads disturb each other in the second.
        let rows = [
            row(memory, "atomic", 1, &[10.0, 20.0, 40.0]),
            row(memory, "atomic", 2, &[5.0, 40.0, 20.0]),
            simulated(memory, "atomic", 1, 20.0),
            simulated(memory, "atomic", 2, 10.0),
        ];
        let [one] = &beside(&rows, 1)[..] else {
            panic!("one case")
        };
        assert_eq!((one.real, one.interval), (2.0, Some([0.5, 2.0])));
        assert!(!one.is_off);
    }

    #[test]
    fn engines_in_another_order_are_off_unless_they_are_too_close_to_tell() {
        let memory = Workload::Memory;
        let order = |slow: &[f64]| {
            let rows = [
                row(memory, "atomic", 2, &[10.0, 11.0]),
                row(memory, "mutex", 2, slow),
                row(memory, "null", 2, &[1.0, 1.0]),
                simulated(memory, "mutex", 2, 7.0),
                simulated(memory, "atomic", 2, 9.0),
            ];
            let all = orders(&rows);
            assert_eq!(all.len(), 1, "{all:?}");
            all[0].clone()
        };
        let swapped = order(&[20.0, 21.0]);
        assert_eq!(
            (swapped.real, swapped.simulated.len()),
            (vec!["atomic".to_owned(), "mutex".to_owned()], 2)
        );
        assert!(swapped.is_off);
        assert!(!order(&[10.5, 12.0]).is_off);
        assert!(!order(&[5.0, 6.0]).is_off);
    }
}
