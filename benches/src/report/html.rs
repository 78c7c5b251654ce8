//! The report as a web page with plots. The page needs no other file.

use super::chart::{Chart, Line};
use super::contents::{Report, names};
use super::model_page;
use super::page::{Page, Table};
use super::plots::{OFF_SCALE, SIMULATED, Shown, by_threads, points};
use super::row::Row;
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
    model_page::laws(&mut page, report);
    model_page::beside_reality(&mut page, report);
    ratios(&mut page, report);
    left_out(&mut page, report);
    page.add("</main>\n</body>\n</html>");
    page.into_html()
}

fn head(page: &mut Page, report: &Report) {
    let method = &report.method;
    page.element("h1", "What rcmgr costs");
    page.paragraph(
        "lead",
        &format!(
            "A run of rcmgr study, version {}, on {}.",
            method.version, method.date
        ),
    );
    page.add("<dl>");
    let mut fact = |name: &str, value: &str| {
        page.element("dt", name);
        page.element("dd", value);
    };
    fact("Machine", &report.machine.describe());
    if let Some(machine) = &report.simulated_machine {
        let (name, about) = (&machine.name, &machine.about);
        fact("Simulated machine", &format!("{name}: {about}"));
    }
    fact("Build", &method.describe_build());
    fact("Arguments", &method.arguments.join(" "));
    if report.has_measured() {
        fact("Method", &measured(report));
    }
    if report.has_simulated() {
        let simulated = "Rows in italics and dashed lines are simulated. Values are real, and time \
                         is simulated: that of cache lines between the cores of the simulated \
                         machine. The work between accesses is measured on one real thread.";
        fact("Simulation", simulated);
    }
    for engine in &report.engines {
        fact(&engine.name, &engine.about);
    }
    for &sharing in Sharing::ALL {
        fact(&format!("sharing {sharing}"), sharing.about());
    }
    page.add("</dl>");
}

/// The method of measured rows, in some sentences.
fn measured(report: &Report) -> String {
    let method = &report.method;
    let slice = format!("{:.0} ms", method.slice_seconds * 1e3);
    let times = match (report.least_rounds(), method.rounds) {
        (least, _) if report.has_simulated() => {
            format!("in {least} rounds, each the median of several measurements of {slice}")
        }
        (least, asked) if least < asked => format!("{least} to {asked} times for {slice}"),
        (_, 1) => format!("once for {slice}"),
        (_, asked) => format!("{asked} times for {slice}"),
    };
    let order = match report.has_simulated() {
        true => "beside its simulation",
        false => "in rounds of all cases of all engines",
    };
    format!(
        "Each case was measured {times}, {order}. Each thread is pinned to its own core \
         as long as there are enough cores. The time per operation is wall time divided by the \
         operations of all threads: the median of these, with the 95 % confidence \
         interval of a bootstrap (seed {}). CPU time is that of all threads. Latencies are from a \
         separate run that timed one operation in four; they include {} ns to read the clock. The \
         study took {:.0} s.",
        method.seed, method.clock_ns, method.took_seconds,
    )
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
    type Find = for<'r> fn(&'r Report, Workload, &str, Sharing, usize) -> Option<&'r Row>;
    type Time = fn(&Row) -> Option<f64>;
    let kinds: [(_, _, Find, Time); 3] = [
        ("", "", Report::row, |row| Some(row.ns_per_op)),
        ("", ", CPU time", Report::row, |row| row.cpu_ns_per_op),
        ("simulated", SIMULATED, Report::simulated_row, |row| {
            Some(row.ns_per_op)
        }),
    ];
    for (class, mark, find, shown) in kinds {
        for engine in names(report) {
            let of = |&(sharing, threads): &(Sharing, usize)| {
                let row = find(report, workload, &engine, sharing, threads);
                row.and_then(shown).map_or(NO_ROW.to_owned(), nanos)
            };
            let cells: Vec<_> = columns.iter().map(of).collect();
            if cells.iter().any(|cell| cell != NO_ROW) {
                table.row_of_class(class, &format!("{engine}{mark}"), cells.into_iter());
            }
        }
    }
    page.add(table.finish());
    model_page::causes(page, report, workload);
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
        dashed: false,
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
                dashed: false,
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
    row.map_or(NO_ROW.to_owned(), |row| nanos(row.ns_per_op))
}

fn nanos(ns: f64) -> String {
    match ns {
        ns @ ..10.0 => format!("{ns:.2}"),
        ns @ ..100.0 => format!("{ns:.1}"),
        ns => format!("{ns:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::contents::tests::report;
    use super::super::row::tests::{row, simulated};
    use super::*;

    fn of(threads: &[usize]) -> Report {
        let rows = threads
            .iter()
            .map(|&threads| row(Workload::Memory, "a<b", threads, &[100.0]));
        let mut report = report(rows.collect());
        report.machine.cpu = Some("<script>alert(\"&\")</script>".to_owned());
        report
    }

    #[test]
    fn names_in_the_page_stay_text() {
        let page = write(&of(&[1, 2]));
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
        assert!(
            page.contains("a&lt;b, 2: 10</title>"),
            "a point says what it is"
        );
        assert!(!page.contains("a<b"));
    }

    #[test]
    fn a_plot_needs_more_than_one_number_of_threads() {
        assert!(!write(&of(&[1])).contains("<svg"));
        assert!(!write(&of(&[])).contains("<section>"));
    }

    /// Scaling 1 in reality, and this one in the simulation.
    fn beside(simulation: f64) -> String {
        let memory = Workload::Memory;
        write(&report(vec![
            row(memory, "atomic", 1, &[20.0]),
            row(memory, "atomic", 2, &[20.0]),
            simulated(memory, "atomic", 1, 20.0),
            simulated(memory, "atomic", 2, 20.0 / simulation),
        ]))
    }

    #[test]
    fn a_simulated_scaling_that_is_off_is_marked_in_red() {
        let red = "<td class=\"off\">";
        assert!(beside(2.0).contains("<td class=\"off\">2.00</td>"));
        assert!(!beside(1.1).contains(red) && beside(1.1).contains("<td>1.10</td>"));
    }

    #[test]
    fn simulated_rows_and_lines_are_marked_and_have_their_causes() {
        let page = beside(1.0);
        assert!(
            page.contains("<tr class=\"simulated\">\n<th>atomic (s)</th>"),
            "{page}"
        );
        assert!(page.contains("class=\"line dashed\"") && page.contains("class=\"line\""));
        assert!(page.contains("system at node.rs:1, &quot;quoted&quot; &lt;b&gt;"));
        let measured = write(&of(&[1, 2]));
        assert!(!measured.contains("class=\"line dashed") && !measured.contains("(s)"));
    }
}
