//! Logs the refusals of the manager on stderr.

use std::time::Duration;

use rcmgr_atomic::Manager;
use rcmgr_metrics::{RefusalLog, RefusalLogThread};
use tracing_subscriber::fmt::format::debug_fn;

use super::progress::Bar;

/// The time between two looks, and the shortest time between two similar lines.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const INTERVAL: Duration = Duration::from_secs(5);

/// Logs refusals until the returned handle is dropped. Prints only the sentences: they contain the
/// values of all fields.
pub fn start(manager: &Manager, bar: &Bar) -> std::io::Result<RefusalLogThread> {
    let bar = bar.clone();
    let sentences = debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{value:?}"),
        _ => Ok(()),
    });
    let said = tracing_subscriber::fmt()
        .with_writer(move || bar.clone())
        // The report of a line that cannot be written would go to stderr, too, and panic there.
        .log_internal_errors(false)
        .fmt_fields(sentences)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_max_level(tracing::Level::WARN);
    said.try_init().map_err(std::io::Error::other)?;
    let log = RefusalLog::new(manager.clone()).interval(INTERVAL);
    log.start(LOOK_EVERY)
}
