//! The report of a study, and the formats that it is written in.

mod chart;
mod contents;
mod csv;
pub(crate) mod curves;
mod date;
mod html;
mod method;
mod model_page;
mod page;
mod plots;
pub(crate) mod ratios;
pub(crate) mod reality;
mod row;
mod scale;

pub use contents::{EngineInfo, LeftOut, Ratio, Report};
pub use curves::Curve;
pub use method::Method;
pub use reality::{Beside, Order};
pub(crate) use row::Rounds;
pub use row::{HotWord, Row, Simulated};

/// The reason why a text is no report, with the place in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoReport(String);

impl Report {
    /// The whole report in JSON.
    ///
    /// # Panics
    ///
    /// Never: every report can be written as JSON.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a report is plain data");
        text.push('\n');
        text
    }

    /// Reads a report that [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    ///
    /// [`NoReport`], with the place in the text and the reason.
    pub fn from_json(text: &str) -> Result<Self, NoReport> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let report: Self = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            // Without a field, the path is a dot.
            let place = if path == "." {
                String::new()
            } else {
                format!("{path}: ")
            };
            NoReport(format!("{place}{}", error.inner()))
        })?;
        reader.end().map_err(|error| NoReport(error.to_string()))?;
        report.check()?;
        Ok(report)
    }

    /// Checks what the types do not say: times are positive, the rounds are those of the row, a case is there
    /// once, and simulated rows have a machine.
    fn check(&self) -> Result<(), NoReport> {
        for (at, (list, row)) in self.all_rows().enumerate() {
            let wrong = |what: &str| {
                let (workload, sharing, threads) = (row.workload, row.sharing, row.threads);
                let engine = row.engine.escape_debug();
                NoReport(format!(
                    "{list}: {workload}, {engine}, {threads} threads, sharing {sharing}: {what}"
                ))
            };
            if !row.engine.chars().all(|char| char.is_ascii_graphic()) {
                return Err(wrong(
                    "the name of the engine has other characters than visible ASCII",
                ));
            }
            let is_time = |ns: &f64| ns.is_finite() && *ns > 0.0;
            let times = row.ns_of_rounds.iter().chain(row.interval.iter().flatten());
            if !is_time(&row.ns_per_op) || !times.into_iter().all(is_time) {
                return Err(wrong("a time per operation is not above 0"));
            }
            if row.interval.is_some_and(|[low, high]| low > high) {
                return Err(wrong("the interval ends below its begin"));
            }
            if row.ns_of_rounds.len() != row.rounds || row.rounds == 0 {
                return Err(wrong(
                    "ns_of_rounds has not one time for each of the rounds",
                ));
            }
            if row.simulated != row.simulation.is_some() {
                return Err(wrong(
                    "simulated is true, or there is a simulation, but not both",
                ));
            }
            if row.simulated && self.simulated_machine.is_none() {
                return Err(wrong("it is simulated, and there is no simulated_machine"));
            }
            let mut before = self.all_rows().take(at);
            if before.any(|(other, of)| other == list && of.is_same_case(row)) {
                return Err(wrong("the case is there twice"));
            }
        }
        Ok(())
    }

    /// All rows as comma-separated values, with a header line. The column `part` names the list of
    /// a row.
    pub fn to_csv(&self) -> String {
        csv::write(self)
    }

    /// The whole report as a web page with plots. The page needs no other file.
    pub fn to_html(&self) -> String {
        html::write(self)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    pub use super::contents::tests::report;
    pub use super::row::tests::{row, simulated};
    use super::*;
    use crate::case::Workload;

    fn both() -> Report {
        report(vec![
            row(Workload::Span, "atomic", 1, &[40.0, 41.5, 39.25]),
            row(Workload::Span, "atomic", 2, &[20.0, 21.5, 22.25]),
            simulated(Workload::Span, "atomic", 1, 40.0),
            simulated(Workload::Span, "atomic", 2, 20.0),
        ])
    }

    #[test]
    fn a_report_is_read_back_as_it_is_written() {
        let mut written = both();
        // Their numbers are not short: a reader may find the neighbour.
        written.curves.clear();
        written.model.clear();
        assert_eq!(Report::from_json(&written.to_json()), Ok(written));
    }

    #[test]
    fn a_text_that_is_no_report_is_refused_with_the_place() {
        let good = both().to_json();
        for (from, to, place) in [
            (
                "\"span\"",
                "\"spam\"",
                "rows[0].workload: there is no workload \"spam\"",
            ),
            (
                "\"rounds\": 3",
                "\"rounds\": -3",
                "rows[0].rounds: invalid value",
            ),
            (
                "\"rounds\": 3",
                "\"rounds\": 4",
                "threads: span, atomic, 1 threads, sharing path: ns_of_rounds",
            ),
            (
                "41.5",
                "0",
                "threads: span, atomic, 1 threads, sharing path: a time per operation",
            ),
            (
                "\"simulated\": false",
                "\"simulated\": true",
                "simulated is true, or",
            ),
            (
                "\"ns_of_rounds\"",
                "\"ns_of_round\"",
                "rows[0]: missing field `ns_of_rounds`",
            ),
            (
                "\"engine\": \"atomic\"",
                "\"engine\": \"a\\u001b[2J\"",
                r"threads: span, a\u{1b}[2J, 1 threads, sharing path: the name",
            ),
            ("{", "[", "invalid"),
            (
                "\"threads\": 2",
                "\"threads\": 1",
                "threads: span, atomic, 1 threads, sharing path: the case is there twice",
            ),
        ] {
            assert!(good.contains(from), "{from}");
            let error = Report::from_json(&good.replacen(from, to, 1))
                .unwrap_err()
                .to_string();
            assert!(error.contains(place), "{place}: {error}");
        }
        let refused = |change: fn(&mut Report)| {
            let mut bad = both();
            change(&mut bad);
            let error = Report::from_json(&bad.to_json()).unwrap_err();
            error.to_string()
        };
        let error = refused(|of| of.rows[1].interval = Some([22.0, 20.0]));
        let expected =
            "threads: span, atomic, 2 threads, sharing path: the interval ends below its begin";
        assert_eq!(error, expected);
        let error = refused(|of| of.simulated_machine = None);
        assert!(
            error.starts_with("threads: span, atomic, 1 threads, sharing path: it is simulated"),
            "{error}"
        );
        let error = refused(|of| {
            of.by_scopes = vec![of.rows[0].clone(), of.rows[0].clone()];
        });
        assert!(
            error.starts_with("scopes: span") && error.ends_with("there twice"),
            "{error}"
        );

        let half = &good[..good.len() / 2];
        assert!(
            Report::from_json(half)
                .unwrap_err()
                .to_string()
                .contains(" at line ")
        );
        assert!(Report::from_json("").is_err());
        let two = format!("{good}{good}");
        assert!(
            Report::from_json(&two)
                .unwrap_err()
                .to_string()
                .contains("trailing")
        );
    }

    #[test]
    fn a_report_has_all_that_a_repetition_needs() {
        let method = both().method;
        assert!(method.rustc.starts_with("rustc 1."), "{method:?}");
        assert!(
            method.target.contains('-') && method.date.ends_with(" UTC"),
            "{method:?}"
        );
        assert!(
            method
                .crates
                .iter()
                .any(|name| name.starts_with("parking_lot 0.")),
            "{method:?}"
        );
        assert!(method.describe_build().contains("parking_lot"));
    }
}
