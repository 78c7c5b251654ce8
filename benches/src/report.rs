//! What a study found, and the formats that it is written in.

mod chart;
mod contents;
mod csv;
mod date;
mod html;
mod page;
mod plots;
pub(crate) mod ratios;
mod scale;

pub use contents::{EngineInfo, LeftOut, Method, Ratio, Report, Row};

impl Report {
    /// The whole report in JSON.
    ///
    /// # Panics
    ///
    /// Never: there is nothing in a report that JSON can't say.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a report is plain data");
        text.push('\n');
        text
    }

    /// All rows as comma-separated values, under a line of names. `part` says of which list a row
    /// is.
    pub fn to_csv(&self) -> String {
        csv::write(self)
    }

    /// The whole report as one web page, with plots, which needs nothing else.
    pub fn to_html(&self) -> String {
        html::write(self)
    }
}
