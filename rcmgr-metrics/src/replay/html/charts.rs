//! The charts of usage over time, with the limits that the trace has.

use rcmgr_core::{LimitValue, Resource};

use super::chart::{Chart, Line};
use super::format::{amount, name, seconds};
use super::page::Page;
use crate::replay::over_time::OverTime;
use crate::replay::report::{Report, Scope};

/// The charts of a scope: the title, and the name and resource of each line.
const CHARTS: [(&str, &[(&str, Resource)]); 3] = [
    ("memory", &[("Memory", Resource::Memory)]),
    (
        "connections",
        &[
            ("ConnsInbound", Resource::ConnsInbound),
            ("ConnsOutbound", Resource::ConnsOutbound),
            ("Conns", Resource::Conns),
            ("FD", Resource::Fd),
        ],
    ),
    (
        "streams",
        &[
            ("StreamsInbound", Resource::StreamsInbound),
            ("StreamsOutbound", Resource::StreamsOutbound),
            ("Streams", Resource::Streams),
        ],
    ),
];

/// Writes the charts of all scopes.
pub fn write(page: &mut Page, report: &Report) {
    if report.over_time.is_empty() {
        return;
    }
    page.element("h2", "", "Over time");
    page.element(
        "p",
        "about",
        "For each part of the time: the highest usage, and the number of refused requests. A thin \
         line is a limit; a limit far above the usage is only in the text.",
    );
    for over_time in &report.over_time {
        let scope = report
            .scopes
            .iter()
            .find(|scope| scope.name == over_time.name);
        page.add("<section>");
        page.element("h3", "", &name(&over_time.name));
        page.add("<div class=\"charts\">");
        of_scope(page, over_time, scope, report.nanos);
        page.add("</div>\n</section>");
    }
}

fn of_scope(page: &mut Page, over_time: &OverTime, scope: Option<&Scope>, nanos: u64) {
    let ends = || ["0 s".to_owned(), format!("{} s", seconds(nanos))];
    let limit_of = |resource| match scope?.limit?.get(resource) {
        LimitValue::Limited(limit) => Some(limit),
        LimitValue::Unlimited => None,
    };
    for (title, lines) in CHARTS {
        let lines = lines.iter().filter_map(|&(name, resource)| {
            let limit = limit_of(resource);
            // The total says no more than its parts, except beside its limit.
            let is_total = matches!(resource, Resource::Conns | Resource::Streams);
            (limit.is_some() || !is_total).then(|| Line {
                name,
                values: values(over_time, resource),
                limit,
            })
        });
        let chart = Chart {
            title,
            lines: lines.collect(),
            ends: ends(),
            show: match title {
                "memory" => |value| amount(Resource::Memory, value),
                _ => |value| value.to_string(),
            },
            is_size: title == "memory",
        };
        chart.html().into_iter().for_each(|html| page.add(html));
    }
    let refused = Chart {
        title: "refused requests",
        lines: vec![Line {
            name: "at most",
            values: over_time.refused.clone(),
            limit: None,
        }],
        ends: ends(),
        show: |value| value.to_string(),
        is_size: false,
    };
    refused.html().into_iter().for_each(|html| page.add(html));
}

/// The usage of a resource in each part of the time.
fn values(over_time: &OverTime, resource: Resource) -> Vec<u64> {
    let counter = |at: usize| over_time.usage.iter().map(|usage| usage[at]).collect();
    match resource {
        Resource::Streams => over_time.streams.clone(),
        Resource::Conns => over_time.conns.clone(),
        Resource::StreamsInbound => counter(0),
        Resource::StreamsOutbound => counter(1),
        Resource::ConnsInbound => counter(2),
        Resource::ConnsOutbound => counter(3),
        Resource::Fd => counter(4),
        Resource::Memory => counter(5),
    }
}
