//! The log messages about a bad file.

use std::fmt::Debug;
use std::fs;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rcmgr_core::Limits;
use rcmgr_testkit::passed_in_own_process;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::support::{Watched, quick};

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
    if passed_in_own_process("log::a_bad_file_is_logged_once_with_its_file_line_and_field") {
        return;
    }
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

    // A limits file is logged with all its mistakes, a line for each.
    let path = watched.path("limits.toml");
    fs::write(&path, "[System]\nConns = 5").unwrap();
    let watcher = quick().start(&path, Limits::unlimited(), |_| {}).unwrap();
    let next = watched.path("limits.next");
    fs::write(&next, "[System]\nMemry = 1\nFD = -1\n[Sevice.a]\n").unwrap();
    fs::rename(&next, &path).unwrap();
    let begun = Instant::now();
    while watcher.stats().error.is_none() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        thread::yield_now();
    }
    let mut logged = WARNINGS.lock().unwrap().clone();
    logged.retain(|line| line.contains("limits.toml"));
    let fields = ["System.Memry", "System.FD", "Sevice"];
    assert_eq!(logged.len(), fields.len(), "{logged:?}");
    for (line, field) in logged.iter().zip(fields) {
        assert!(line.contains(&format!("field=\"{field}\" ")), "{line}");
    }
}
