//! The report as comma-separated values.

use std::fmt::Write;

use super::contents::Report;
use super::row::Row;

const NAMES: &str = "part,workload,engine,threads,sharing,scopes,peers,simulated,ns_per_op,ns_low,\
                     ns_high,cpu_ns_per_op,ops,p50_ns,p99_ns,p999_ns,accesses_per_op,\
                     transfers_per_op,failed_cas_per_op,waiting_ns_per_op,waiting,hottest,spread,rounds";

pub fn write(report: &Report) -> String {
    let mut text = format!("{NAMES}\n");
    for (part, row) in report.all_rows() {
        line(&mut text, part, row);
    }
    text
}

/// The names of workloads and engines have no commas or quotes, so they need no quotes. A test checks the
/// names of the engines.
fn line(text: &mut String, part: &str, row: &Row) {
    let count = |number: Option<usize>| number.map_or(String::new(), |number| number.to_string());
    let number =
        |number: Option<f64>| number.map_or(String::new(), |number| format!("{number:.4}"));
    let [low, high] = [0, 1].map(|end| number(row.interval.map(|ends| ends[end])));
    let simulation = row.simulation.as_ref();
    let cells = [
        part.to_owned(),
        row.workload.to_string(),
        row.engine.clone(),
        row.threads.to_string(),
        row.sharing.to_string(),
        count(row.scopes),
        count(row.peers),
        row.simulated.to_string(),
        number(Some(row.ns_per_op)),
        low,
        high,
        number(row.cpu_ns_per_op),
        row.ops.to_string(),
        row.p50_ns.to_string(),
        row.p99_ns.to_string(),
        row.p999_ns.to_string(),
        number(simulation.map(|of| of.accesses_per_op)),
        number(simulation.map(|of| of.transfers_per_op)),
        number(simulation.map(|of| of.failed_cas_per_op)),
        number(simulation.map(|of| of.waiting_ns_per_op)),
        number(simulation.map(|of| of.waiting)),
        simulation.map_or(String::new(), |of| {
            of.hottest
                .first()
                .map_or(String::new(), |word| quoted(&word.name))
        }),
        number(row.spread),
        row.rounds.to_string(),
    ];
    writeln!(text, "{}", cells.join(",")).expect("text takes anything");
}

/// A field that may have commas and quotes.
fn quoted(field: &str) -> String {
    format!("\"{}\"", field.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::super::contents::tests::report;
    use super::super::row::tests::{row, simulated};
    use super::*;
    use crate::case::Workload;

    #[test]
    fn a_simulated_row_has_the_columns_of_a_measured_one() {
        let rows = vec![
            row(Workload::Span, "atomic", 1, &[40.0, 42.0]),
            simulated(Workload::Span, "atomic", 2, 20.0),
        ];
        let text = write(&report(rows));
        let lines: Vec<_> = text.lines().collect();
        let columns = lines[0].split(',').count();
        assert_eq!(lines[1].split(',').count(), columns);
        assert!(
            lines[1]
                .starts_with("threads,span,atomic,1,path,,,false,41.0000,40.0000,42.0000,41.0000,")
        );
        assert!(
            lines[2].starts_with("threads,span,atomic,2,path,,,true,20.0000,,,,"),
            "{}",
            lines[2]
        );
        let words = ",\"system at node.rs:1, \"\"quoted\"\" <b>\",";
        assert!(lines[2].contains(words), "{}", lines[2]);
    }
}
