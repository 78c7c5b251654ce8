//! The report as a web page with plots. The page needs no other file.

use rcmgr_config::ByteSize;

use super::chart::{Chart, Line};
use super::over_time::OverTime;
use super::page::Page;
use super::report::{Report, Scope};
use super::what_if::WhatIfReport;

/// Writes the page.
pub fn write(report: &Report) -> String {
    let mut page = Page::default();
    let style = include_str!("style.css");
    page.add(format_args!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>rcmgr replay</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>"
    ));
    head(&mut page, report);
    refusals(&mut page, report);
    if let Some(what_if) = &report.what_if {
        what_if_section(&mut page, what_if);
    }
    scopes(&mut page, report);
    over_time(&mut page, report);
    page.add("</main>\n</body>\n</html>");
    page.into_html()
}

fn head(page: &mut Page, report: &Report) {
    page.element("h1", "", "Replay of a trace");
    let text = match (&report.from, &report.to) {
        (Some(from), Some(to)) => format!(
            "{} events from {from} to {to}, {} seconds.",
            report.read.events,
            seconds(report.nanos)
        ),
        _ => format!("{} events without times.", report.read.events),
    };
    page.element("p", "lead", &text);
    for note in report.read.lines() {
        page.element("p", "note", &note);
    }
    if report.restarts > 0 {
        let note = format!(
            "The manager was created again {} times; the values at the end are those of the last \
             one.",
            report.restarts
        );
        page.element("p", "note", &note);
    }
}

fn refusals(page: &mut Page, report: &Report) {
    page.element("h2", "", "Refusals by class of scopes");
    if report.blocked_resources.is_empty() {
        page.element("p", "about", "Nothing was refused.");
        return;
    }
    page.table(
        &["scope", "resource", "direction", "refused"],
        report.blocked_resources.iter().map(|blocked| {
            let value = match blocked.bytes {
                Some(bytes) => format!("{} ({})", blocked.value, size(bytes)),
                None => blocked.value.to_string(),
            };
            [blocked.scope, blocked.resource, blocked.dir, &value].map(String::from)
        }),
    );
}

fn what_if_section(page: &mut Page, what_if: &WhatIfReport) {
    page.element("h2", "", "Under the other limits");
    page.table(
        &["requests", ""],
        [
            ("granted in the trace and in the replay", what_if.granted),
            ("refused in the trace and in the replay", what_if.refused),
            (
                "granted in the trace, refused in the replay",
                what_if.would_refuse,
            ),
            (
                "refused in the trace, granted in the replay",
                what_if.would_grant,
            ),
            (
                "not asked, because the connection or stream was refused before",
                what_if.not_asked,
            ),
        ]
        .into_iter()
        .map(|(name, count)| [name.to_owned(), count.to_string()]),
    );
    if !what_if.changes.is_empty() {
        page.table(
            &["scope", "limit", "would refuse", "would grant"],
            what_if.changes.iter().map(|change| {
                let counts =
                    [change.would_refuse, change.would_grant].map(|count| count.to_string());
                let [refuse, grant] = counts;
                [change.scope.into(), change.resource.into(), refuse, grant]
            }),
        );
        page.table(
            &["scope", "would refuse", "would grant"],
            what_if.scopes.iter().map(|scope| {
                let counts = [scope.would_refuse, scope.would_grant].map(|count| count.to_string());
                let [refuse, grant] = counts;
                [scope.name.clone(), refuse, grant]
            }),
        );
    }
}

fn scopes(page: &mut Page, report: &Report) {
    page.element("h2", "", "Scopes");
    page.element(
        "p",
        "about",
        "System and transient, then the scopes with the most refusals. A dash means that the scope \
         did not exist at the end.",
    );
    let row = |scope: &Scope| {
        let peak = &scope.peak;
        let at_end = match scope.usage {
            Some([si, so, ci, co, fd, memory]) => [
                format!("{ci} / {co}"),
                format!("{si} / {so}"),
                fd.to_string(),
                size(memory),
            ],
            None => std::array::from_fn(|_| "–".to_owned()),
        };
        let peaks = [
            format!("{} / {}", peak.conns_in, peak.conns_out),
            format!("{} / {}", peak.streams_in, peak.streams_out),
            peak.fd.to_string(),
            size(peak.memory),
        ];
        let refused = [scope.refused.requests.to_string(), scope.events.to_string()];
        let cells = [scope.name.clone()].into_iter();
        let cells = cells.chain(refused).chain(at_end).chain(peaks);
        cells.collect::<Vec<_>>()
    };
    page.table(
        &[
            "scope",
            "refused",
            "events",
            "conns in / out",
            "streams in / out",
            "fds",
            "memory",
            "peak conns",
            "peak streams",
            "peak fds",
            "peak memory",
        ],
        report.scopes.iter().map(row),
    );
}

/// The charts of a scope: title, and the name and index of each counter.
const PICTURES: [(&str, &[(&str, usize)]); 3] = [
    ("memory", &[("memory", 5)]),
    (
        "connections",
        &[("inbound", 2), ("outbound", 3), ("fds", 4)],
    ),
    ("streams", &[("inbound", 0), ("outbound", 1)]),
];

fn over_time(page: &mut Page, report: &Report) {
    if report.over_time.is_empty() {
        return;
    }
    page.element("h2", "", "Over time");
    page.element(
        "p",
        "about",
        "For each part of the time: the highest usage, and the number of refused requests.",
    );
    for over_time in &report.over_time {
        page.add("<section>");
        page.element("h3", "", &over_time.name);
        page.add("<div class=\"charts\">");
        pictures(page, over_time, report.nanos);
        page.add("</div>\n</section>");
    }
}

fn pictures(page: &mut Page, over_time: &OverTime, nanos: u64) {
    let ends = || ["0 s".to_owned(), format!("{} s", seconds(nanos))];
    for (title, lines) in PICTURES {
        let is_size = title == "memory";
        let line = |&(name, place): &(&'static str, usize)| Line {
            name,
            values: over_time.usage.iter().map(|usage| usage[place]).collect(),
        };
        let chart = Chart {
            title,
            lines: lines.iter().map(line).collect(),
            ends: ends(),
            show: if is_size { size } else { count },
            is_size,
        };
        chart.svg().into_iter().for_each(|svg| page.add(svg));
    }
    let refused = Chart {
        title: "refused requests",
        lines: vec![Line {
            name: "refused",
            values: over_time.refused.clone(),
        }],
        ends: ends(),
        show: count,
        is_size: false,
    };
    refused.svg().into_iter().for_each(|svg| page.add(svg));
}

/// Seconds with a useful number of digits.
fn seconds(nanos: u64) -> String {
    match nanos as f64 / 1e9 {
        seconds @ ..10.0 => format!("{seconds:.3}"),
        seconds => format!("{seconds:.0}"),
    }
}

fn size(bytes: u64) -> String {
    format!("{:.1}", ByteSize(bytes))
}

fn count(count: u64) -> String {
    count.to_string()
}
