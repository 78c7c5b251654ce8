//! The report on the terminal.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table};
use rcmgr_atomic::{LimitValue, Resource};
use rcmgr_config::ByteSize;
use rcmgr_metrics::replay::{Report, Scope, WhatIfReport};

use crate::limits::amount::printable;
use crate::limits::table::columns;

/// A longer name, such as a peer id, gets its own line, so that it can be copied.
const LONGEST_NAME: usize = 22;

/// The same for the widest table, so that it fits 80 columns.
const LONGEST_NAME_OF_SCOPE: usize = 9;

/// The report. `limits` describes the limits of the replay, if there are any.
pub fn text(report: &Report, limits: Option<&str>) -> String {
    let mut text = String::new();
    head(&mut text, report);
    scopes(&mut text, &report.scopes);
    closest_limits(&mut text, &report.scopes);
    refusals(&mut text, report);
    if let (Some(what_if), Some(limits)) = (&report.what_if, limits) {
        asked_again(&mut text, what_if, limits);
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("text takes anything");
}

fn head(text: &mut String, report: &Report) {
    let events = report.read.events;
    match (&report.from, &report.to) {
        (Some(from), Some(to)) => {
            let seconds = report.nanos as f64 / 1e9;
            line(text, format_args!("{events} events in {seconds:.3} s"));
            line(text, format_args!("from {from} to {to}"));
        }
        _ => line(text, format_args!("{events} events without times")),
    }
    if report.restarts > 0 {
        let restarts = report.restarts;
        line(
            text,
            format_args!(
                "the manager was created again {restarts} times; the end is that of the \
                          last one"
            ),
        );
    }
    line(text, format_args!(""));
}

fn scopes(text: &mut String, scopes: &[Scope]) {
    let headers = [
        "\nscope",
        "\nrefused",
        "end\nconns",
        "\nstreams",
        "\nfds",
        "\nmemory",
        "peak\nconns",
        "\nstreams",
        "\nfds",
        "\nmemory",
    ];
    let mut table = numbers(&headers, 1);
    let rows = scopes.iter().map(|scope| {
        let at_end = match scope.usage {
            None => ["-", "", "", ""].map(String::from),
            Some([si, so, ci, co, fd, memory]) => [
                format!("{ci}+{co}"),
                format!("{si}+{so}"),
                fd.to_string(),
                size(memory),
            ],
        };
        let peak = &scope.peak;
        let peaks = [
            format!("{}+{}", peak.conns_in, peak.conns_out),
            format!("{}+{}", peak.streams_in, peak.streams_out),
            peak.fd.to_string(),
            size(peak.memory),
        ];
        let refused = [scope.refused.requests.to_string()];
        let cells = refused.into_iter().chain(at_end).chain(peaks);
        (printable(&scope.name), cells.collect())
    });
    named(text, &mut table, (2, LONGEST_NAME_OF_SCOPE), rows);
    line(
        text,
        format_args!("inbound+outbound   end: usage at the end   -: not live then\n"),
    );
}

/// For each scope the limit that its peak came closest to, if the trace has limits.
fn closest_limits(text: &mut String, scopes: &[Scope]) {
    let rows = scopes.iter().filter_map(|scope| {
        let (resource, peak, limit) = closest(scope)?;
        let shown = |amount| match resource {
            Resource::Memory => size(amount),
            _ => amount.to_string(),
        };
        let cells = vec![
            resource.field_name().to_owned(),
            shown(peak),
            format!("of {}", shown(limit)),
        ];
        Some((printable(&scope.name), cells))
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    let mut table = numbers(&["scope", "closest limit", "peak", ""], 2);
    named(text, &mut table, (1, LONGEST_NAME), rows.into_iter());
    line(text, format_args!(""));
}

fn closest(scope: &Scope) -> Option<(Resource, u64, u64)> {
    let limits = Resource::ALL.into_iter().filter_map(|resource| {
        let peak = scope.peak.get(resource);
        match scope.limit?.get(resource) {
            LimitValue::Limited(limit) if peak > 0 => Some((resource, peak, limit)),
            _ => None,
        }
    });
    limits.max_by(|(_, peak, limit), (_, other_peak, other)| {
        let part = |peak: &u64, limit: &u64| *peak as f64 / *limit as f64;
        part(peak, limit).total_cmp(&part(other_peak, other))
    })
}

fn refusals(text: &mut String, report: &Report) {
    if report.blocked_resources.is_empty() {
        line(text, format_args!("nothing was refused"));
        return;
    }
    let mut table = numbers(&["refused by", "what", "requests"], 2);
    for blocked in &report.blocked_resources {
        let what = format!("{} {}", blocked.dir, blocked.resource);
        let value = match blocked.bytes {
            Some(bytes) => format!("{} ({})", blocked.value, size(bytes)),
            None => blocked.value.to_string(),
        };
        table.add_row([blocked.scope, what.trim_start(), &value]);
    }
    lines(text, &table);
}

fn asked_again(text: &mut String, what_if: &WhatIfReport, limits: &str) {
    line(text, format_args!("\nunder {limits}:\n"));
    let mut table = numbers(&["requests", "then", "now"], 3);
    for (count, then, now) in [
        (what_if.granted, "granted", "granted"),
        (what_if.refused, "refused", "refused"),
        (what_if.would_refuse, "granted", "refused"),
        (what_if.would_grant, "refused", "granted"),
        (what_if.not_asked, "asked", "not asked: refused before"),
    ] {
        table.add_row([&count.to_string(), then, now]);
    }
    lines(text, &table);
    if what_if.changes.is_empty() {
        return;
    }
    line(text, format_args!(""));
    let mut table = numbers(&["scopes", "limit", "would refuse", "would grant"], 2);
    for change in &what_if.changes {
        let counts = [change.would_refuse, change.would_grant].map(|count| count.to_string());
        let [refuse, grant] = &counts;
        table.add_row([change.scope, change.resource, refuse, grant]);
    }
    lines(text, &table);
    line(text, format_args!(""));
    let mut table = numbers(&["scope", "would refuse", "would grant"], 1);
    let rows = what_if.scopes.iter().map(|scope| {
        let counts = [scope.would_refuse, scope.would_grant];
        let counts = counts.iter().map(u64::to_string);
        (printable(&scope.name), counts.collect())
    });
    named(text, &mut table, (1, LONGEST_NAME), rows);
}

/// Bytes in the largest unit, with about three digits.
fn size(bytes: u64) -> String {
    let size = ByteSize(bytes);
    let text = format!("{size:.1}");
    match text.find('.') {
        Some(3..) => format!("{size:.0}"),
        _ => text,
    }
}

/// A table with columns of names on the left, and numbers on the right.
fn numbers(headers: &[&str], names: usize) -> Table {
    let mut table = columns(headers.iter().copied());
    for column in table.column_iter_mut().skip(names) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Adds a table of named rows. Names that are longer than `longest` are on a line above their row.
fn named(
    text: &mut String,
    table: &mut Table,
    (header_lines, longest): (usize, usize),
    rows: impl Iterator<Item = (String, Vec<String>)>,
) {
    let mut above = vec![None; header_lines];
    for (name, cells) in rows {
        let (name, long) = match name.chars().count() {
            length if length <= longest => (name, None),
            _ => (String::new(), Some(name)),
        };
        above.push(long);
        table.add_row([name].into_iter().chain(cells));
    }
    for (long, row) in above.into_iter().zip(table.lines()) {
        for one in long.iter().map(String::as_str).chain([row.trim_end()]) {
            line(text, format_args!("{one}"));
        }
    }
}

fn lines(text: &mut String, table: &Table) {
    for row in table.lines() {
        line(text, format_args!("{}", row.trim_end()));
    }
}
