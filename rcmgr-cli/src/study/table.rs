//! The report on the terminal.

use std::fmt::Write;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use rcmgr_study::{Report, Row, Sharing, Workload};

use crate::fitted::fitted;
use crate::output::wrapped;

/// The engines that all others are compared with.
const FLOOR: &str = "floor";
const ATOMIC: &str = "atomic";

/// The columns to leave out on a narrow terminal, in this order: they follow from others, or they
/// are the least stable.
const BY_IMPORTANCE: [usize; 5] = [5, 10, 6, 8, 7];

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

/// Writes the head of a section.
pub fn section(text: &mut String, name: &str, about: &str, columns: Option<usize>) {
    let line = format!("{name}: {about}\n");
    let line = columns.map_or_else(|| line.clone(), |columns| wrapped(&line, columns));
    writeln!(text, "{line}").expect("text takes anything");
}

/// Writes a table that fits the terminal.
pub fn write_table(text: &mut String, table: Table, columns: Option<usize>, droppable: &[usize]) {
    let lines = fitted(table, columns, droppable);
    writeln!(text, "{lines}\n").expect("text takes anything");
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
    note(format!(
        "ns/op is wall time divided by the operations of all threads, the median of {} rounds; \
         spread is the interquartile range divided by the median, and n/a after a single round",
        method.rounds,
    ));
    note(
        "/ floor is relative to the floor of memory on one thread, / atomic to atomic in the same \
         case, and scaling is the throughput relative to one thread"
            .to_owned(),
    );
    note(format!(
        "latencies include {} ns to read the clock",
        method.clock_ns,
    ));
    note(format!(
        "{}; measured in {:.0} s",
        report.machine.describe(),
        method.took_seconds,
    ));
}

fn by_threads(report: &Report, workload: Workload) -> Table {
    let header = [
        "sharing", "threads", "engine", "ns/op", "spread", "/ floor", "/ atomic", "scaling", "p50",
        "p99", "p99.9",
    ];
    let mut table = lined(header, 3);
    for row in report.rows.iter().filter(|row| row.workload == workload) {
        let to = |engine, threads| {
            let other = report.row(workload, engine, row.sharing, threads);
            other.map(|other| row.ns_per_op / other.ns_per_op)
        };
        let floor_of_memory = memory_floor(report).map(|floor| row.ns_per_op / floor);
        // Throughput relative to one thread: the inverse ratio of the times per operation.
        let scaling = to(&row.engine, 1).map(|time| 1.0 / time);
        table.add_row([
            row.sharing.to_string(),
            row.threads.to_string(),
            row.engine.clone(),
            nanos(row.ns_per_op),
            spread(row.spread),
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

/// The floor of memory on one thread, which every workload is compared with. On one thread sharing
/// makes no difference.
fn memory_floor(report: &Report) -> Option<f64> {
    let mut floors = Sharing::ALL.iter();
    let row = floors.find_map(|&sharing| report.row(Workload::Memory, FLOOR, sharing, 1))?;
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

/// In percent. A single measurement has no spread.
fn spread(spread: Option<f64>) -> String {
    match spread.map(|spread| spread * 100.0) {
        None => "n/a".to_owned(),
        Some(percent @ ..10.0) => format!("{percent:.1} %"),
        Some(percent) => format!("{percent:.0} %"),
    }
}

/// Three significant digits.
pub fn nanos(nanos: f64) -> String {
    match nanos {
        ..10.0 => format!("{nanos:.2}"),
        ..100.0 => format!("{nanos:.1}"),
        _ => format!("{nanos:.0}"),
    }
}

pub fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))
}

/// An empty table with columns of names on the left, and numbers on the right.
pub fn lined<T: Into<comfy_table::Row>>(header: T, names: usize) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(names) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
