//! The report of a study, and the formats that it is written in.

mod chart;
mod contents;
mod csv;
mod date;
mod html;
mod page;
mod plots;
pub(crate) mod ratios;
mod scale;

pub(crate) use contents::as_text;
pub use contents::{EngineInfo, LeftOut, Method, Ratio, Report, Row};

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
