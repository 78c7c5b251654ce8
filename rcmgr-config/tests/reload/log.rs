//! The log messages about a bad file.

use std::fmt::Debug;
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::support::Watched;

/// All warnings of the process, as lines of `name=value`.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Collector;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        WARNINGS.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_bad_file_is_logged_once_with_its_file_line_and_field() {
    tracing::subscriber::set_global_default(Collector).unwrap();

    let watched = Watched::new();
    for _ in 0..3 {
        let looks = watched.watcher.stats().looks;
        watched.rename_over("conns 5\nconns many");
        watched.wait_until(|stats| stats.looks > looks && stats.error.is_some());
    }
    let file = format!("file={} ", watched.watcher.path().display());
    let mut logged = WARNINGS.lock().unwrap().clone();
    logged.retain(|line| line.contains(&file));
    let [line] = &logged[..] else {
        panic!("not logged exactly once: {logged:?}");
    };
    for part in ["line=2 ", "field=\"conns\" ", "reason=\"not a number\" "] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
}
