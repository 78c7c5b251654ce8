//! Ratios between rows. Unlike times, they can be compared between machines.

use super::contents::Ratio;
use super::row::Row;
use crate::case::{Sharing, Workload};

/// The ratios that the engine is judged by, if their rows exist.
pub fn ratios(rows: &[Row], by_peers: &[Row]) -> Vec<Ratio> {
    let mut ratios = Vec::new();
    alone(rows, &mut ratios);
    scaling(rows, &mut ratios);
    contended(rows, &mut ratios);
    peers(by_peers, &mut ratios);
    ratios
}

/// The time of an operation with this number of threads. On one thread sharing makes no difference,
/// so the first row is used.
fn time(
    rows: &[Row],
    workload: Workload,
    engine: &str,
    threads: usize,
    sharing: Option<Sharing>,
) -> Option<f64> {
    let mut found = rows.iter().filter(|row| {
        row.workload == workload
            && row.engine == engine
            && row.threads == threads
            && sharing.is_none_or(|sharing| row.sharing == sharing)
    });
    Some(found.next()?.ns_per_op)
}

fn add(ratios: &mut Vec<Ratio>, of: String, what: &str, above: Option<f64>, below: Option<f64>) {
    if let (Some(above), Some(below)) = (above, below) {
        ratios.push(Ratio {
            of,
            what: what.to_owned(),
            value: above / below,
        });
    }
}

fn alone(rows: &[Row], ratios: &mut Vec<Ratio>) {
    let time = |workload, engine| time(rows, workload, engine, 1, None);
    let floor = time(Workload::Memory, "floor");
    for &workload in Workload::ALL {
        let of = || format!("{workload}, 1 thread");
        let atomic = time(workload, "atomic");
        let what = match workload {
            Workload::Memory => "atomic / floor",
            _ => "atomic / floor of memory",
        };
        add(ratios, of(), what, atomic, floor);
        add(
            ratios,
            of(),
            "mutex / atomic",
            time(workload, "mutex"),
            atomic,
        );
        let exact = time(workload, "atomic-exact");
        add(ratios, of(), "atomic / atomic-exact", atomic, exact);
    }
}

fn scaling(rows: &[Row], ratios: &mut Vec<Ratio>) {
    for &workload in Workload::ALL {
        for &sharing in Sharing::ALL {
            let time = |threads| time(rows, workload, "atomic", threads, Some(sharing));
            let of = format!("{workload}, {sharing}");
            let what = "throughput of atomic, 2 threads / 1 thread";
            // Time per operation is the inverse of throughput.
            add(ratios, of, what, time(1), time(2));
        }
    }
}

fn contended(rows: &[Row], ratios: &mut Vec<Ratio>) {
    for &workload in Workload::ALL {
        let time = |engine| time(rows, workload, engine, 2, Some(Sharing::Path));
        let of = format!("{workload}, path, 2 threads");
        add(ratios, of, "mutex / atomic", time("mutex"), time("atomic"));
    }
}

fn peers(by_peers: &[Row], ratios: &mut Vec<Ratio>) {
    let counts = || by_peers.iter().filter_map(|row| row.peers);
    let (Some(least), Some(most)) = (counts().min(), counts().max()) else {
        return;
    };
    if least == most {
        return;
    }
    for &workload in Workload::ALL {
        let with = |peers| {
            let mut rows = by_peers.iter().filter(|row| row.workload == workload);
            let row = rows.find(|row| row.engine == "atomic" && row.peers == Some(peers));
            row.map(|row| row.ns_per_op)
        };
        let what = format!("atomic, {most} live peers / {least}");
        add(
            ratios,
            format!("{workload}, 1 thread"),
            &what,
            with(most),
            with(least),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row as measured;
    use super::*;

    fn row(workload: Workload, engine: &str, threads: usize, ns_per_op: f64) -> Row {
        measured(workload, engine, threads, &[ns_per_op])
    }

    #[test]
    fn ratios_need_both_rows() {
        let rows = [
            row(Workload::Memory, "floor", 1, 80.0),
            row(Workload::Memory, "atomic", 1, 20.0),
            row(Workload::Memory, "atomic", 2, 10.0),
            row(Workload::Stream, "atomic", 1, 160.0),
        ];
        let with = |peers, ns_per_op| Row {
            peers: Some(peers),
            ..row(Workload::Span, "atomic", 1, ns_per_op)
        };
        let found = ratios(&rows, &[with(10, 50.0), with(1000, 75.0)]);
        let found: Vec<_> = found
            .iter()
            .map(|ratio| (ratio.of.as_str(), ratio.what.as_str(), ratio.value))
            .collect();
        assert_eq!(
            found,
            [
                ("memory, 1 thread", "atomic / floor", 0.25),
                ("stream, 1 thread", "atomic / floor of memory", 2.0),
                (
                    "memory, path",
                    "throughput of atomic, 2 threads / 1 thread",
                    2.0
                ),
                ("span, 1 thread", "atomic, 1000 live peers / 10", 1.5),
            ]
        );
    }
}
