//! The parts of the page about scaling: the causes of simulated times, the scalability law, and the model
//! beside reality.

use super::contents::Report;
use super::curves::Curve;
use super::page::{Cell, Page, Table};
use super::plots::SIMULATED;
use super::reality::{Beside, Order};
use crate::case::Workload;

/// The share of all cores' time from which on a word is listed.
const LEAST_WAITING: f64 = 0.01;

/// The causes of the simulated times of a workload, and the words that the most cores wait for.
pub fn causes(page: &mut Page, report: &Report, workload: Workload) {
    let rows = report.rows.iter().filter(|row| row.workload == workload);
    let rows: Vec<_> = rows
        .filter_map(|row| Some((row, row.simulation.as_ref()?)))
        .collect();
    let Some(most) = rows.iter().map(|(row, _)| row.threads).max() else {
        return;
    };
    page.paragraph(
        "about",
        "Simulated, for each operation: accesses to atomics and locks, cache lines moved between \
         cores, failed compare-and-swap operations, and the time that it waits for lines, also as a \
         share of all cores' time.",
    );
    let titles = [
        "sharing, engine, cores",
        "accesses",
        "transfers",
        "failed CAS",
        "waiting, ns",
        "waiting",
    ];
    let mut table = Table::new(titles.map(str::to_owned).into_iter());
    for (row, of) in &rows {
        let name = format!(
            "{}, {}{SIMULATED}, {}",
            row.sharing, row.engine, row.threads
        );
        let cells = [
            format!("{:.1}", of.accesses_per_op),
            format!("{:.2}", of.transfers_per_op),
            format!("{:.2}", of.failed_cas_per_op),
            format!("{:.1}", of.waiting_ns_per_op),
            percent(of.waiting),
        ];
        table.row_of_class("simulated", &name, cells.into_iter());
    }
    page.add(table.finish());

    let titles = [
        "sharing, engine",
        "waiting",
        "waiting, ns",
        "transfers",
        "failed CAS",
        "lines",
        "word",
    ];
    let mut table = Table::new(titles.map(str::to_owned).into_iter());
    let mut is_empty = true;
    for (row, of) in rows
        .iter()
        .filter(|(row, _)| row.threads == most && most > 1)
    {
        for word in of
            .hottest
            .iter()
            .filter(|word| word.waiting >= LEAST_WAITING)
        {
            is_empty = false;
            let cells = [
                Cell::from(percent(word.waiting)),
                format!("{:.1}", word.waiting_ns_per_op).into(),
                format!("{:.2}", word.transfers_per_op).into(),
                format!("{:.2}", word.failed_cas_per_op).into(),
                word.lines.to_string().into(),
                Cell::of_class("name", &*word.name),
            ];
            let name = format!("{}, {}{SIMULATED}", row.sharing, row.engine);
            table.row_of_class("simulated", &name, cells.into_iter());
        }
    }
    if !is_empty {
        let about = format!("The words that {most} simulated cores wait for, for each operation.");
        page.paragraph("about", &about);
        page.add(table.finish());
    }
}

/// The scalability law of every curve.
pub fn laws(page: &mut Page, report: &Report) {
    if report.curves.is_empty() {
        return;
    }
    page.element("h2", "The universal scalability law");
    page.paragraph(
        "about",
        "On n cores, throughput relative to one core is n / (1 + contention (n - 1) + coherence \
         n (n - 1)). The coefficients are fitted by least squares of relative errors, neither below \
         zero, for up to as many threads as there are cores. The peak is the number of cores with \
         the highest throughput. One point determines contention alone. The largest error is that \
         of the law, relative to the throughput.",
    );
    let titles = [
        "curve",
        "contention",
        "coherence",
        "peak",
        "R²",
        "largest error",
        "points",
    ];
    let mut table = Table::new(titles.map(str::to_owned).into_iter());
    for curve in &report.curves {
        let Curve {
            workload,
            engine,
            sharing,
            simulated,
            law,
        } = curve;
        let (class, mark) = if *simulated {
            ("simulated", SIMULATED)
        } else {
            ("", "")
        };
        let none = || "–".to_owned();
        let cells = [
            format!("{:.4}", law.contention),
            format!("{:.6}", law.coherence),
            law.peak.map_or_else(none, |peak| format!("{peak:.1}")),
            law.r_squared
                .map_or_else(none, |value| format!("{value:.3}")),
            percent(law.largest_error),
            law.points.to_string(),
        ];
        let name = format!("{workload}, {sharing}, {engine}{mark}");
        table.row_of_class(class, &name, cells.into_iter());
    }
    page.add(table.finish());
}

/// The scaling and the order of the engines in the simulation beside those in reality. Those that are off are
/// in red.
pub fn beside_reality(page: &mut Page, report: &Report) {
    if report.model.is_empty() && report.orders.is_empty() {
        return;
    }
    page.element("h2", "The model beside reality");
    if !report.model.is_empty() {
        scalings(page, report);
    }
    if !report.orders.is_empty() {
        orders(page, report);
    }
}

fn scalings(page: &mut Page, report: &Report) {
    let off = report.model.iter().filter(|beside| beside.is_off).count();
    page.paragraph(
        "about",
        &format!(
            "The throughput of several threads relative to one. A simulated scaling in red differs \
             from the measured one by more than 0.25 and by more than 20 %: {off} of {}. They can \
             only agree if the simulated machine has the costs of the measured one.",
            report.model.len(),
        ),
    );
    let titles = ["case", "measured", "95 % interval", "simulated"];
    let mut table = Table::new(titles.map(str::to_owned).into_iter());
    for beside in &report.model {
        let Beside {
            workload,
            engine,
            sharing,
            threads,
            real,
            interval,
            simulated,
            is_off,
        } = beside;
        let interval = interval.map_or("–".to_owned(), |[low, high]| {
            format!("{low:.2} to {high:.2}")
        });
        let class = if *is_off { "off" } else { "" };
        let cells = [
            Cell::from(format!("{real:.2}")),
            interval.into(),
            Cell::of_class(class, format!("{simulated:.2}")),
        ];
        let name = format!("{workload}, {sharing}, {engine}, {threads} threads");
        table.row(&name, cells.into_iter());
    }
    page.add(table.finish());
}

fn orders(page: &mut Page, report: &Report) {
    page.paragraph(
        "about",
        "The order of the engines, the fastest first. A simulated order in red swaps two engines \
         whose measured intervals do not overlap.",
    );
    let titles = ["case", "measured", "simulated"];
    let mut table = Table::new(titles.map(str::to_owned).into_iter());
    for order in &report.orders {
        let Order {
            workload,
            sharing,
            threads,
            real,
            simulated,
            is_off,
        } = order;
        let class = if *is_off { "off" } else { "name" };
        let cells = [
            Cell::of_class("name", real.join(", ")),
            Cell::of_class(class, simulated.join(", ")),
        ];
        let name = format!("{workload}, {sharing}, {threads} threads");
        table.row(&name, cells.into_iter());
    }
    page.add(table.finish());
}

fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}
