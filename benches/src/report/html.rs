//! The report as a web page with plots. The page needs no other file.

use super::chart::{Chart, Line};
use super::contents::{Report, Row, names};
use super::date::date;
use super::page::{Page, Table};
use super::plots::{OFF_SCALE, Shown, by_threads, points};
use super::scale::{Scale, short};
use crate::case::{Sharing, Workload};

pub fn write(report: &Report) -> String {
    let mut page = Page::default();
    let style = include_str!("style.css");
    page.add(format_args!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>rcmgr study</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>"
    ));
    head(&mut page, report);
    at_a_glance(&mut page, report);
    for &workload in Workload::ALL {
        if report.rows.iter().any(|row| row.workload == workload) {
            one_workload(&mut page, report, workload);
        }
    }
    scopes(&mut page, report);
    peers(&mut page, report);
    ratios(&mut page, report);
    left_out(&mut page, report);
    page.add("</main>\n</body>\n</html>");
    page.into_html()
}

fn head(page: &mut Page, report: &Report) {
    let method = &report.method;
    page.element("h1", "What rcmgr costs");
    let when = date(method.unix_time);
    page.paragraph(
        "lead",
        &format!(
            "A run of rcmgr study, version {}, on {when}.",
            method.version
        ),
    );
    let times = match (report.least_rounds(), method.rounds) {
        (least, asked) if least < asked => format!("{least} to {asked} times"),
        (_, 1) => "once".to_owned(),
        (_, asked) => format!("{asked} times"),
    };
    page.add("<dl>");
    let mut fact = |name: &str, value: &str| {
        page.element("dt", name);
        page.element("dd", value);
    };
    fact("Machine", &report.machine.describe());
    fact(
        "Method",
        &format!(
            "Each case was measured {} for {:.0} ms; each round measured all cases of all engines \
             once. Each thread is pinned to its own core as long as there are enough cores. The \
             time per operation is wall time divided by the operations of all threads: the median \
             of the rounds, with the interquartile range. Latencies are from a separate run that \
             timed one operation in four; they include {} ns to read the clock. The study took \
             {:.0} s.",
            times,
            method.slice_seconds * 1e3,
            method.clock_ns,
            method.took_seconds,
        ),
    );
    for engine in &report.engines {
        fact(&engine.name, &engine.about);
    }
    for &sharing in Sharing::ALL {
        fact(&format!("sharing {sharing}"), sharing.about());
    }
    page.add("</dl>");
}

/// All workloads on one thread. Sharing makes no difference there, so the first row is used.
fn at_a_glance(page: &mut Page, report: &Report) {
    page.element("h2", "Overview: one thread");
    page.paragraph("about", "Nanoseconds per operation.");
    let mut table = Table::new(["workload".to_owned()].into_iter().chain(names(report)));
    for &workload in Workload::ALL {
        let one = |engine: &str| {
            let mut rows = report.rows.iter().filter(|row| row.workload == workload);
            rows.find(|row| row.engine == engine && row.threads == 1)
        };
        let cells: Vec<_> = names(report).map(|engine| cell(one(&engine))).collect();
        if cells.iter().any(|cell| cell != NO_ROW) {
            table.row(workload.as_str(), cells.into_iter());
        }
    }
    page.add(table.finish());
}

fn one_workload(page: &mut Page, report: &Report, workload: Workload) {
    page.add("<section>");
    page.element("h2", workload.as_str());
    page.paragraph("about", workload.about());
    let rows = || report.rows.iter().filter(|row| row.workload == workload);
    let mut sharings: Vec<_> = rows().map(|row| row.sharing).collect();
    sharings.sort_unstable();
    sharings.dedup();
    let several = rows().any(|row| row.threads > 1);
    if several {
        page.add("<div class=\"charts\">");
        for &sharing in &sharings {
            page.add(by_threads(report, workload, sharing, Shown::Throughput).svg());
        }
        for &sharing in &sharings {
            page.add(by_threads(report, workload, sharing, Shown::Latency).svg());
        }
        page.add("</div>");
        off_scale(
            page,
            &rows()
                .filter(|row| row.engine == OFF_SCALE)
                .collect::<Vec<_>>(),
        );
    }
    let mut columns: Vec<_> = rows().map(|row| (row.sharing, row.threads)).collect();
    columns.sort_unstable();
    columns.dedup();
    let titles = columns
        .iter()
        .map(|(sharing, threads)| format!("{sharing} {threads}"));
    let mut table = Table::new(["ns per operation".to_owned()].into_iter().chain(titles));
    for engine in names(report) {
        let of = |&(sharing, threads): &(Sharing, usize)| {
            cell(report.row(workload, &engine, sharing, threads))
        };
        let cells: Vec<_> = columns.iter().map(of).collect();
        if cells.iter().any(|cell| cell != NO_ROW) {
            table.row(&engine, cells.into_iter());
        }
    }
    page.add(table.finish());
    page.add("</section>");
}

fn off_scale(page: &mut Page, rows: &[&Row]) {
    let mops = || rows.iter().map(|row| row.mops());
    let (least, most) = (
        mops().fold(f64::INFINITY, f64::min),
        mops().fold(0.0, f64::max),
    );
    if !rows.is_empty() {
        page.paragraph(
            "note",
            &format!(
                "The plots of throughput leave out {OFF_SCALE}, which has {} to {} million \
                 operations a second.",
                short(least),
                short(most),
            ),
        );
    }
}

fn scopes(page: &mut Page, report: &Report) {
    if report.by_scopes.is_empty() {
        return;
    }
    page.add("<section>");
    page.element("h2", "By the number of scopes");
    page.paragraph(
        "about",
        "One thread reserves and releases 4 KiB. The reservation is charged on 1 to 8 scopes: of \
         the system, a peer, a connection, a stream, a stream with protocol, one with service, and \
         a span of such a stream.",
    );
    let lines = names(report).enumerate().map(|(look, engine)| Line {
        points: points(
            &report.by_scopes,
            |row| row.engine == engine,
            |row| row.scopes,
        ),
        name: engine,
        look,
    });
    let chart = Chart {
        title: "memory".to_owned(),
        x_name: "scopes",
        x_scale: Scale::Linear,
        y_name: "ns per operation",
        y_scale: Scale::Linear,
        lines: lines.filter(|line| !line.points.is_empty()).collect(),
    };
    page.add(format_args!(
        "<div class=\"charts\">{}</div>\n</section>",
        chart.svg()
    ));
}

fn peers(page: &mut Page, report: &Report) {
    if report.by_peers.is_empty() {
        return;
    }
    page.add("<section>");
    page.element("h2", "By the number of live peers");
    page.paragraph(
        "about",
        "One thread works with one peer while other peers are live. Each of these has a stream \
         open.",
    );
    page.add("<div class=\"charts\">");
    for engine in names(report) {
        let lines = Workload::ALL.iter().enumerate().map(|(look, &workload)| {
            let is_its = |row: &Row| row.engine == engine && row.workload == workload;
            Line {
                points: points(&report.by_peers, is_its, |row| row.peers),
                name: workload.to_string(),
                look,
            }
        });
        let lines: Vec<_> = lines.filter(|line| !line.points.is_empty()).collect();
        if !lines.is_empty() {
            let chart = Chart {
                title: engine,
                x_name: "other peers",
                x_scale: Scale::Log,
                y_name: "ns per operation",
                y_scale: Scale::Log,
                lines,
            };
            page.add(chart.svg());
        }
    }
    page.add("</div>\n</section>");
}

fn ratios(page: &mut Page, report: &Report) {
    if report.ratios.is_empty() {
        return;
    }
    page.element("h2", "Ratios");
    page.paragraph(
        "about",
        "Ratios can be compared between machines; times cannot.",
    );
    let mut table = Table::new(["what", "ratio"].map(str::to_owned).into_iter());
    for ratio in &report.ratios {
        let what = format!("{}: {}", ratio.of, ratio.what);
        table.row(&what, [format!("{:.2}", ratio.value)].into_iter());
    }
    page.add(table.finish());
}

fn left_out(page: &mut Page, report: &Report) {
    if report.left_out.is_empty() {
        return;
    }
    page.element("h2", "Left out");
    page.add("<ul>");
    for left_out in &report.left_out {
        page.element("li", &format!("{}: {}", left_out.what, left_out.why));
    }
    page.add("</ul>");
}

const NO_ROW: &str = "–";

fn cell(row: Option<&Row>) -> String {
    row.map_or(NO_ROW.to_owned(), |row| match row.ns_per_op {
        ns @ ..10.0 => format!("{ns:.2}"),
        ns @ ..100.0 => format!("{ns:.1}"),
        ns => format!("{ns:.0}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::report::contents::{EngineInfo, Method};

    fn report(rows: Vec<Row>) -> Report {
        Report {
            machine: Machine {
                cpu: Some("<script>alert(\"&\")</script>".to_owned()),
                ..Machine::default()
            },
            method: Method {
                version: "0".to_owned(),
                unix_time: 0,
                rounds: 1,
                slice_seconds: 1.0,
                took_seconds: 1.0,
                clock_ns: 20,
            },
            engines: vec![EngineInfo {
                name: "a<b".to_owned(),
                about: "'quoted'".to_owned(),
            }],
            rows,
            by_scopes: Vec::new(),
            by_peers: Vec::new(),
            ratios: Vec::new(),
            left_out: Vec::new(),
        }
    }

    fn row(threads: usize) -> Row {
        Row {
            workload: Workload::Memory,
            engine: "a<b".to_owned(),
            threads,
            sharing: Sharing::Path,
            scopes: None,
            peers: None,
            ns_per_op: 100.0,
            ops: 1,
            p50_ns: 1,
            p99_ns: 2,
            p999_ns: 3,
            spread: None,
            rounds: 1,
        }
    }

    #[test]
    fn names_in_the_page_stay_text() {
        let page = write(&report(vec![row(1), row(2)]));
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
        assert!(
            page.contains("a&lt;b, 2: 10</title>"),
            "a point says what it is"
        );
        assert!(!page.contains("a<b"));
    }

    #[test]
    fn a_plot_needs_more_than_one_number_of_threads() {
        assert!(!write(&report(vec![row(1)])).contains("<svg"));
        assert!(!write(&report(Vec::new())).contains("<section>"));
    }
}
