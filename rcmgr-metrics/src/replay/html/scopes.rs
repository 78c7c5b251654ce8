//! The table of scopes: the peak of each resource beside its limit, and the usage at the end.

use rcmgr_core::{LimitValue, Resource};

use super::format::{amount, name};
use super::page::Page;
use crate::replay::report::{Report, Scope};

/// The resources in the order of the columns. They have their names in limits files, so that a
/// reader finds the setting.
const COLUMNS: [Resource; 8] = [
    Resource::ConnsInbound,
    Resource::ConnsOutbound,
    Resource::Conns,
    Resource::StreamsInbound,
    Resource::StreamsOutbound,
    Resource::Streams,
    Resource::Fd,
    Resource::Memory,
];

/// Writes the table.
pub fn write(page: &mut Page, report: &Report) {
    page.element("h2", "", "Scopes");
    page.element(
        "p",
        "about",
        "System and transient, then the scopes with the most refusals. For each resource: the \
         highest usage, of the limit that the trace has, and below it the usage at the end. A dash \
         means that the scope did not exist at the end.",
    );
    page.add("<table class=\"scopes\">\n<thead><tr>");
    let columns = COLUMNS.iter().map(|resource| resource.field_name());
    for title in ["scope", "refused", "events"].into_iter().chain(columns) {
        page.element("th", "", title);
    }
    page.add("</tr></thead>\n<tbody>");
    report.scopes.iter().for_each(|scope| row(page, scope));
    page.add("</tbody>\n</table>");
}

/// A row. Each cell has its title, which is shown where the table has no room for columns.
fn row(page: &mut Page, scope: &Scope) {
    page.add("<tr>");
    page.element("th", "", &name(&scope.name));
    for (title, count) in [
        ("refused", scope.refused.requests),
        ("events", scope.events),
    ] {
        page.add(format_args!("<td data-title=\"{title}\">"));
        page.element("b", "", &count.to_string());
        page.add("</td>");
    }
    for resource in COLUMNS {
        let peak = scope.peak.get(resource);
        let limit = match scope.limit.map(|limit| limit.get(resource)) {
            Some(LimitValue::Limited(limit)) => Some(limit),
            _ => None,
        };
        let used = amount(resource, peak);
        let of = limit.map(|limit| format!("of {}", amount(resource, limit)));
        let at_end = match &scope.usage {
            Some(usage) => amount(resource, value(usage, resource)),
            None => "–".to_owned(),
        };
        let class = match limit {
            _ if peak == 0 => "unused",
            Some(limit) if peak >= limit => "full",
            _ => "",
        };
        page.add(format_args!(
            "<td class=\"{class}\" data-title=\"{}\">",
            resource.field_name()
        ));
        page.element("b", "", &used);
        if let Some(of) = of {
            page.element("i", "", &of);
        }
        page.element("small", "", &at_end);
        page.add("</td>");
    }
    page.add("</tr>");
}

/// The usage of a resource, of the six counters of a scope.
fn value(usage: &[u64; 6], resource: Resource) -> u64 {
    let &[streams_in, streams_out, conns_in, conns_out, fd, memory] = usage;
    match resource {
        Resource::Memory => memory,
        Resource::Fd => fd,
        Resource::Streams => streams_in.saturating_add(streams_out),
        Resource::StreamsInbound => streams_in,
        Resource::StreamsOutbound => streams_out,
        Resource::Conns => conns_in.saturating_add(conns_out),
        Resource::ConnsInbound => conns_in,
        Resource::ConnsOutbound => conns_out,
    }
}
