//! The report as a web page with plots. The page needs no other file.

mod chart;
mod charts;
mod format;
mod page;
mod scopes;

use format::{name, seconds, size};
use page::Page;

use super::report::Report;
use super::what_if::WhatIfReport;

/// Writes the page.
pub fn write(report: &Report) -> String {
    let mut page = Page::default();
    let style = include_str!("html/style.css");
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
    scopes::write(&mut page, report);
    charts::write(&mut page, report);
    page.add("</main>\n</body>\n</html>");
    page.into_html()
}

fn head(page: &mut Page, report: &Report) {
    page.element("h1", "", "Replay of a trace");
    let events = report.read.events;
    match (&report.from, &report.to) {
        (Some(from), Some(to)) => {
            let seconds = seconds(report.nanos);
            page.element(
                "p",
                "lead",
                &format!("{events} events in {seconds} seconds"),
            );
            page.element("p", "about", &format!("from {from} to {to}"));
        }
        _ => page.element("p", "lead", &format!("{events} events without times")),
    }
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
                [name(&scope.name), refuse, grant]
            }),
        );
    }
}
