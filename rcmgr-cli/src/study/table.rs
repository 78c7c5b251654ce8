//! The report on the terminal.

use std::fmt::Write;

use comfy_table::Table;
use rcmgr_study::{Curve, Report, Row, Sharing, Workload};

use super::layout::{lined, nanos, ratio, section, write_table};
use super::simulated;

/// The engines that all others are compared with.
const FLOOR: &str = "floor";
const ATOMIC: &str = "atomic";

/// The columns to leave out on a narrow terminal, in this order: they follow from others, or they
/// are the least stable.
const BY_IMPORTANCE: [usize; 8] = [7, 12, 5, 6, 8, 10, 4, 9];

/// The report: a table for each workload, one for each of the other parts, and the ratios.
pub fn text(report: &Report, columns: Option<usize>) -> String {
    let mut text = String::new();
    let section = |text: &mut String, name: &str, about: &str| section(text, name, about, columns);
    let table = |text: &mut String, table: Table, droppable: &[usize]| {
        write_table(text, table, columns, droppable);
    };
    for &workload in Workload::ALL {
        if report.rows.iter().any(|row| row.workload == workload) {
            section(&mut text, workload.as_str(), workload.about());
            table(&mut text, by_threads(report, workload), &BY_IMPORTANCE);
            simulated::causes(&mut text, report, workload, columns);
        }
    }
    if !report.by_scopes.is_empty() {
        let about = "Reserve and release 4 KiB on 1 thread: ns by the number of charged scopes.";
        section(&mut text, "scopes", about);
        table(&mut text, across(&report.by_scopes, |row| row.scopes), &[]);
    }
    if !report.by_peers.is_empty() {
        let about = "1 thread: ns by the number of other live peers.";
        section(&mut text, "peers", about);
        table(&mut text, across(&report.by_peers, |row| row.peers), &[]);
    }
    if !report.curves.is_empty() {
        let about =
            "the universal scalability law of each curve, for up to as many threads as cores.";
        section(&mut text, "scalability", about);
        table(&mut text, laws(report), &[8, 7]);
    }
    simulated::beside_reality(&mut text, report, columns);
    if !report.ratios.is_empty() {
        section(&mut text, "ratios", "Between rows of this run.");
        let mut ratios = lined(["where", "what", "ratio"], 2);
        for ratio in &report.ratios {
            ratios.add_row([&ratio.of, &ratio.what, &format!("{:.2}", ratio.value)]);
        }
        table(&mut text, ratios, &[]);
    }
    notes(&mut text, report);
    text
}

fn notes(text: &mut String, report: &Report) {
    let mut note = |note: String| {
        writeln!(text, "note: {note}").expect("text takes anything");
    };
    for left_out in &report.left_out {
        note(format!("left out: {}: {}", left_out.what, left_out.why));
    }
    let method = &report.method;
    let rounds = report.least_rounds();
    if rounds < method.rounds {
        let asked = method.rounds;
        note(format!(
            "the time was over after {rounds} of {asked} rounds"
        ));
    }
    let rounds = match report.has_simulated() {
        true => "the median of its measurements".to_owned(),
        false => format!("the median of {} rounds", method.rounds),
    };
    note(format!(
        "ns/op is wall time divided by the operations of all threads, {rounds}; spread is the \
         interquartile range divided by the median, and n/a after a single round; 95 % is the \
         confidence interval of a bootstrap, and CPU the CPU time of all threads divided by their \
         operations",
    ));
    note(
        "/ floor is relative to the floor of memory on one thread, / atomic to atomic in the same \
         case, and scaling is the throughput relative to one thread"
            .to_owned(),
    );
    if let Some(machine) = &report.simulated_machine {
        note(
            "simulated rows are marked (s): values are real, times are those of cache lines on the \
             simulated machine, and the work between accesses is measured on one real thread; \
             waiting is the share of all cores' time in which they wait for lines"
                .to_owned(),
        );
        let (name, about) = (&machine.name, &machine.about);
        note(format!(
            "simulated machine {name}: {about} Seed {}.",
            method.seed
        ));
    }
    if !report.curves.is_empty() {
        note(
            "on n threads, the law has the throughput n / (1 + contention (n - 1) + coherence n (n - 1)) \
             relative to one; the peak is where it is highest; R2 and the largest error say how well it fits"
                .to_owned(),
        );
    }
    if report.has_measured() {
        note(format!(
            "measured latencies include {} ns to read the clock",
            method.clock_ns,
        ));
    }
    note(format!(
        "{}; measured in {:.0} s",
        report.machine.describe(),
        method.took_seconds,
    ));
    note(method.describe_build());
}

fn by_threads(report: &Report, workload: Workload) -> Table {
    let header = [
        "sharing", "threads", "engine", "ns/op", "spread", "95 %", "CPU", "/ floor", "/ atomic",
        "scaling", "p50", "p99", "p99.9",
    ];
    let mut table = lined(header, 3);
    for row in report.rows.iter().filter(|row| row.workload == workload) {
        let to = |engine, threads| {
            let other = report.row_beside(row, engine, threads);
            other.map(|other| row.ns_per_op / other.ns_per_op)
        };
        let floor_of_memory =
            memory_floor(report, row.simulated).map(|floor| row.ns_per_op / floor);
        // Throughput relative to one thread: the inverse ratio of the times per operation.
        let scaling = to(&row.engine, 1).map(|time| 1.0 / time);
        table.add_row([
            row.sharing.to_string(),
            row.threads.to_string(),
            marked(&row.engine, row.simulated),
            nanos(row.ns_per_op),
            spread(row.spread),
            interval(row.interval),
            row.cpu_ns_per_op.map_or("-".to_owned(), nanos),
            ratio(floor_of_memory),
            ratio(to(ATOMIC, row.threads)),
            ratio(scaling),
            nanos(row.p50_ns as f64),
            nanos(row.p99_ns as f64),
            nanos(row.p999_ns as f64),
        ]);
    }
    table
}

fn laws(report: &Report) -> Table {
    let header = [
        "workload",
        "sharing",
        "engine",
        "contention",
        "coherence",
        "peak",
        "R2",
        "largest error",
        "points",
    ];
    let mut table = lined(header, 3);
    for curve in &report.curves {
        let Curve {
            workload,
            engine,
            sharing,
            simulated,
            law,
        } = curve;
        table.add_row([
            workload.to_string(),
            sharing.to_string(),
            marked(engine, *simulated),
            format!("{:.4}", law.contention),
            format!("{:.6}", law.coherence),
            law.peak.map_or("-".to_owned(), |peak| format!("{peak:.1}")),
            law.r_squared
                .map_or("-".to_owned(), |value| format!("{value:.3}")),
            format!("{:.0} %", law.largest_error * 100.0),
            law.points.to_string(),
        ]);
    }
    table
}

fn marked(engine: &str, simulated: bool) -> String {
    let mark = if simulated { " (s)" } else { "" };
    format!("{engine}{mark}")
}

/// The floor of memory on one thread, which every workload is compared with. On one thread sharing
/// makes no difference.
fn memory_floor(report: &Report, simulated: bool) -> Option<f64> {
    let mut floors = Sharing::ALL.iter();
    let find = if simulated {
        Report::simulated_row
    } else {
        Report::row
    };
    let row = floors.find_map(|&sharing| find(report, Workload::Memory, FLOOR, sharing, 1))?;
    Some(row.ns_per_op)
}

/// A table with a line for each workload and engine, and a column for each number.
fn across(rows: &[Row], number: fn(&Row) -> Option<usize>) -> Table {
    let mut numbers: Vec<_> = rows.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let header = ["workload".to_owned(), "engine".to_owned()];
    let header = header
        .into_iter()
        .chain(numbers.iter().map(usize::to_string));
    let mut table = lined(header, 2);
    let mut lines: Vec<_> = rows.iter().map(|row| (row.workload, &row.engine)).collect();
    lines.dedup();
    let mut done = Vec::new();
    for line in lines {
        if done.contains(&line) {
            continue;
        }
        done.push(line);
        let of_line = |row: &&Row| (row.workload, &row.engine) == line;
        let cell = |&at: &usize| {
            let mut rows = rows.iter().filter(of_line);
            let row = rows.find(|row| number(row) == Some(at));
            row.map_or("-".to_owned(), |row| nanos(row.ns_per_op))
        };
        let names = [line.0.to_string(), line.1.clone()];
        table.add_row(names.into_iter().chain(numbers.iter().map(cell)));
    }
    table
}

/// The ends of a confidence interval.
fn interval(ends: Option<[f64; 2]>) -> String {
    ends.map_or("-".to_owned(), |[low, high]| {
        format!("{}-{}", nanos(low), nanos(high))
    })
}

/// In percent. A single measurement has no spread.
fn spread(spread: Option<f64>) -> String {
    match spread.map(|spread| spread * 100.0) {
        None => "n/a".to_owned(),
        Some(percent @ ..10.0) => format!("{percent:.1} %"),
        Some(percent) => format!("{percent:.0} %"),
    }
}
