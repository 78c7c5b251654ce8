//! What the manager refuses, told on stderr.

use std::time::Duration;

use rcmgr_atomic::Manager;
use rcmgr_metrics::{RefusalLog, RefusalLogThread};
use tracing_subscriber::fmt::format::debug_fn;

use super::progress::Bar;

/// How often the log looks, and how often it says the same of a scope.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Says what is refused until it is dropped, in plain sentences: what else a line has is in them.
pub fn tell(manager: &Manager, bar: &Bar) -> std::io::Result<RefusalLogThread> {
    let bar = bar.clone();
    let sentences = debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{value:?}"),
        _ => Ok(()),
    });
    let said = tracing_subscriber::fmt()
        .with_writer(move || bar.clone())
        .fmt_fields(sentences)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_max_level(tracing::Level::WARN);
    said.try_init().map_err(std::io::Error::other)?;
    let log = RefusalLog::new(manager.clone()).interval(SAY_EVERY);
    log.start(LOOK_EVERY)
}
