//! The report as a web page: one file, with plots, which refers to nothing else.

use std::fmt::{Display, Write};

use super::chart::{Chart, Line, Point, escape};
use super::date::date;
use super::scale::{Scale, short};
use super::{Report, Row};
use crate::{Sharing, Workload};

/// What does nothing would press all others together in a plot of throughput.
const OFF_SCALE: &str = "null";

pub fn write(report: &Report) -> String {
    let mut page = Page(String::new());
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
    page.0
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
    page.add("<dl>");
    let mut fact = |name: &str, value: &str| {
        page.element("dt", name);
        page.element("dd", value);
    };
    fact("Machine", &report.machine.describe());
    fact(
        "Method",
        &format!(
            "Each case was measured {} times for {:.0} ms; each round went through all cases of all \
             engines. Times per operation are wall time by the operations of all threads: the median \
             of the rounds, with their interquartile range. Latencies come from a pass of their own, \
             in which one operation in four was timed; reading the clock, {} ns, is in them. All took \
             {:.0} s.",
            method.rounds,
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

/// One thread, all workloads: sharing makes no difference there, so the first row will do.
fn at_a_glance(page: &mut Page, report: &Report) {
    page.element("h2", "One thread, at a glance");
    page.paragraph("about", "Nanoseconds for an operation.");
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
                "Not in the plots of throughput: {OFF_SCALE}, with {} to {} million operations a \
                 second.",
                short(least),
                short(most),
            ),
        );
    }
}

/// What a plot shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Throughput,
    Latency,
}

fn by_threads(report: &Report, workload: Workload, sharing: Sharing, shown: Shown) -> Chart {
    let point = |row: &Row| match shown {
        Shown::Throughput => {
            // Half of the interquartile range to either side.
            let part = row.spread.min(1.0) / 2.0;
            let y = row.mops();
            (y, [y / (1.0 + part), y / (1.0 - part)])
        }
        Shown::Latency => {
            let [low, y, high] = [row.p50_ns, row.p99_ns, row.p999_ns].map(|ns| ns as f64);
            (y, [low, high])
        }
    };
    let hidden = |engine: &str| shown == Shown::Throughput && engine == OFF_SCALE;
    let of_engine = |(look, engine): (usize, String)| {
        let rows = report.rows.iter().filter(|row| {
            (row.workload, row.sharing) == (workload, sharing) && row.engine == engine
        });
        let points = rows.map(|row| {
            let (y, range) = point(row);
            let x = row.threads as f64;
            Point { x, y, range }
        });
        Line {
            points: points.collect(),
            name: engine,
            look,
        }
    };
    let lines = names(report)
        .enumerate()
        .filter(|(_, engine)| !hidden(engine));
    let lines = lines.map(of_engine).filter(|line| !line.points.is_empty());
    let (what, y_name) = match shown {
        Shown::Throughput => ("throughput", "million operations a second"),
        Shown::Latency => ("latency", "ns, p99; bar from p50 to p99.9"),
    };
    Chart {
        title: format!("{what}, sharing {sharing}"),
        x_name: "threads",
        x_scale: Scale::Log,
        y_name,
        y_scale: Scale::Log,
        lines: lines.collect(),
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
        "One thread reserves 4 KiB and releases them, on something that is charged on so many scopes: \
         the system, a peer, a connection, a stream, a stream with protocol, with service, and a \
         span of that.",
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
        "<div class=\"charts wide\">{}</div>\n</section>",
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
        "One thread works with one peer, while so many others are alive: each has a stream open.",
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

/// The times of some rows by a number.
fn points(
    rows: &[Row],
    wanted: impl Fn(&Row) -> bool,
    number: fn(&Row) -> Option<usize>,
) -> Vec<Point> {
    let point = |row: &Row| {
        let y = row.ns_per_op;
        let part = row.spread.min(1.0) / 2.0;
        Some(Point {
            x: number(row)? as f64,
            y,
            range: [y * (1.0 - part), y * (1.0 + part)],
        })
    };
    rows.iter()
        .filter(|row| wanted(row))
        .filter_map(point)
        .collect()
}

fn ratios(page: &mut Page, report: &Report) {
    if report.ratios.is_empty() {
        return;
    }
    page.element("h2", "Ratios");
    page.paragraph(
        "about",
        "They travel from one machine to another; times do not.",
    );
    let mut table = Table::new(["where", "what", "ratio"].map(str::to_owned).into_iter());
    for ratio in &report.ratios {
        let value = format!("{:.2}", ratio.value);
        table.row(&ratio.of, [ratio.what.clone(), value].into_iter());
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

fn names(report: &Report) -> impl Iterator<Item = String> {
    report.engines.iter().map(|engine| engine.name.clone())
}

const NO_ROW: &str = "–";

fn cell(row: Option<&Row>) -> String {
    row.map_or(NO_ROW.to_owned(), |row| match row.ns_per_op {
        ns @ ..10.0 => format!("{ns:.2}"),
        ns @ ..100.0 => format!("{ns:.1}"),
        ns => format!("{ns:.0}"),
    })
}

struct Page(String);

impl Page {
    /// Adds what is HTML already.
    fn add(&mut self, html: impl Display) {
        writeln!(self.0, "{html}").expect("text takes anything");
    }

    /// Adds text.
    fn element(&mut self, name: &str, text: &str) {
        self.add(format_args!("<{name}>{}</{name}>", escape(text)));
    }

    fn paragraph(&mut self, class: &str, text: &str) {
        self.add(format_args!("<p class=\"{class}\">{}</p>", escape(text)));
    }
}

/// A name on the left of each row, and cells.
struct Table(Page);

impl Table {
    fn new(titles: impl Iterator<Item = String>) -> Self {
        let mut page = Page(String::new());
        page.add("<div class=\"scroll\"><table>\n<thead><tr>");
        titles.for_each(|title| page.element("th", &title));
        page.add("</tr></thead>\n<tbody>");
        Self(page)
    }

    fn row(&mut self, name: &str, cells: impl Iterator<Item = String>) {
        self.0.add("<tr>");
        self.0.element("th", name);
        cells.for_each(|cell| self.0.element("td", &cell));
        self.0.add("</tr>");
    }

    fn finish(mut self) -> String {
        self.0.add("</tbody>\n</table></div>");
        self.0.0
    }
}
