//! The report as comma-separated values.

use std::fmt::Write;

use super::contents::{Report, Row};

const NAMES: &str = "part,workload,engine,threads,sharing,scopes,peers,ns_per_op,ops,p50_ns,p99_ns,\
                     p999_ns,spread,rounds";

pub fn write(report: &Report) -> String {
    let mut text = format!("{NAMES}\n");
    let parts = [
        ("threads", &report.rows),
        ("scopes", &report.by_scopes),
        ("peers", &report.by_peers),
    ];
    for (part, rows) in parts {
        for row in rows {
            line(&mut text, part, row);
        }
    }
    text
}

/// Names have no commas or quotes, so no field needs quotes. A test checks the names of the
/// engines.
fn line(text: &mut String, part: &str, row: &Row) {
    let or_empty =
        |number: Option<usize>| number.map_or(String::new(), |number| number.to_string());
    let written = writeln!(
        text,
        "{part},{},{},{},{},{},{},{:.3},{},{},{},{},{},{}",
        row.workload,
        row.engine,
        row.threads,
        row.sharing,
        or_empty(row.scopes),
        or_empty(row.peers),
        row.ns_per_op,
        row.ops,
        row.p50_ns,
        row.p99_ns,
        row.p999_ns,
        row.spread
            .map_or(String::new(), |spread| format!("{spread:.4}")),
        row.rounds,
    );
    written.expect("text takes anything");
}
