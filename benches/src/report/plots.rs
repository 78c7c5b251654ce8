//! Converts the rows of a report to lines of charts.

use super::chart::{Chart, Line, Point};
use super::contents::{Report, names};
use super::row::Row;
use super::scale::Scale;
use crate::case::{Sharing, Workload};

/// The engine that does nothing. It is left out of plots of throughput, because it would compress
/// all other lines.
pub const OFF_SCALE: &str = "null";

/// The quantity that a plot shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Throughput,
    Latency,
}

/// The mark of a simulated line, beside its dashes.
pub const SIMULATED: &str = " (s)";

/// A chart with a line for each engine, over the number of threads. Simulated lines are dashed.
pub fn by_threads(report: &Report, workload: Workload, sharing: Sharing, shown: Shown) -> Chart {
    let point = |row: &Row| match shown {
        Shown::Throughput => {
            let [low, high] = row.range();
            (row.mops(), [1e3 / high, 1e3 / low])
        }
        Shown::Latency => {
            let [low, y, high] = [row.p50_ns, row.p99_ns, row.p999_ns].map(|ns| ns as f64);
            (y, [low, high])
        }
    };
    let hidden = |engine: &str| shown == Shown::Throughput && engine == OFF_SCALE;
    let line = |(look, engine): (usize, String), simulated: bool| {
        let rows = report.rows.iter().filter(|row| {
            (row.workload, row.sharing) == (workload, sharing)
                && row.engine == engine
                && row.simulated == simulated
        });
        let points = rows.map(|row| {
            let (y, range) = point(row);
            let x = row.threads as f64;
            Point { x, y, range }
        });
        Line {
            points: points.collect(),
            name: if simulated {
                engine + SIMULATED
            } else {
                engine
            },
            look,
            dashed: simulated,
        }
    };
    let engines = || {
        names(report)
            .enumerate()
            .filter(|(_, engine)| !hidden(engine))
    };
    let measured = engines().map(|engine| line(engine, false));
    let simulated = engines().map(|engine| line(engine, true));
    let lines = measured
        .chain(simulated)
        .filter(|line| !line.points.is_empty());
    let (what, y_name) = match shown {
        Shown::Throughput => ("throughput", "million operations a second"),
        Shown::Latency => ("latency", "ns, p99; bar from p50 to p99.9"),
    };
    Chart {
        title: format!("{what}, sharing {sharing}"),
        x_name: "threads",
        x_scale: Scale::Log,
        y_name,
        y_scale: Scale::Log,
        lines: lines.collect(),
    }
}

/// The times of the wanted rows, over a number of the row.
pub fn points(
    rows: &[Row],
    wanted: impl Fn(&Row) -> bool,
    number: fn(&Row) -> Option<usize>,
) -> Vec<Point> {
    let point = |row: &Row| {
        Some(Point {
            x: number(row)? as f64,
            y: row.ns_per_op,
            range: row.range(),
        })
    };
    rows.iter()
        .filter(|row| wanted(row))
        .filter_map(point)
        .collect()
}
