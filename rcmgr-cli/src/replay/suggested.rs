//! The suggested limits as a file.

use rcmgr_metrics::replay::Report;

use super::options::Format;

/// The file.
pub fn text(report: &Report, headroom: f64, format: Format) -> String {
    let limits = report.suggest(headroom);
    match format {
        Format::Json => limits.to_json(),
        Format::Toml => {
            let (from, to) = (report.from.as_deref(), report.to.as_deref());
            let (from, to) = (from.unwrap_or("-"), to.unwrap_or("-"));
            format!(
                "# The needs of a trace of {} events, from {from}\n\
                 # to {to}, times {headroom}: suggested by rcmgr replay.\n\
                 # Check it with: rcmgr limits check FILE, and rcmgr replay --limits FILE TRACE\n\n{}",
                report.read.events,
                limits.to_toml(),
            )
        }
    }
}
