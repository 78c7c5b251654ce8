//! The settings and the limits follow the file in one step.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rcmgr_config::reload::LimitsWatcher;
use rcmgr_core::LimitValue;
use rcmgr_guard::GuardFile;

/// Much longer than any step takes, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

fn text(backend: &str, conns: u64) -> String {
    format!("[[listen]]\non = '127.0.0.1:0'\nto = '{backend}'\n[System]\nConns = {conns}\n")
}

/// Replaces the file in one step, as the documentation asks.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// A watcher that finds a change soon, and the files that it applied.
fn follow(path: &Path) -> (LimitsWatcher, Receiver<GuardFile>) {
    let (sender, applied) = mpsc::channel();
    let builder = LimitsWatcher::builder()
        .settle_time(Duration::from_millis(10))
        .look_every(Duration::from_millis(50));
    let apply = move |file| sender.send(file).expect("the test receives all files");
    (
        GuardFile::follow_with(builder, path, apply).unwrap(),
        applied,
    )
}

fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "nothing happened");
        std::thread::yield_now();
    }
}

fn assert_is(file: &GuardFile, backend: &str, conns: u64) {
    assert_eq!(&*file.settings.listeners[0].to[0], backend);
    assert_eq!(file.limits().system.conns, LimitValue::Limited(conns));
}

#[test]
fn settings_and_limits_of_a_changed_file_are_applied_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guard.toml");
    fs::write(&path, text("10.0.0.2:1", 5)).unwrap();
    let (_watcher, applied) = follow(&path);
    assert_is(&applied.try_recv().unwrap(), "10.0.0.2:1", 5);
    replace(&path, &text("10.0.0.3:1", 6));
    assert_is(&applied.recv_timeout(DEADLINE).unwrap(), "10.0.0.3:1", 6);
}

#[test]
fn a_bad_or_half_written_file_changes_nothing_and_is_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guard.toml");
    let good = text("10.0.0.2:1", 5);
    fs::write(&path, &good).unwrap();
    let (watcher, applied) = follow(&path);
    applied.try_recv().unwrap();
    let bad = [
        // Each half is wrong while the other is right.
        (text("10.0.0.3", 6), 1),
        (text("10.0.0.3:1", 6).replace("Conns", "Cons"), 1),
        (text("10.0.0.3", 6).replace("Conns", "Cons"), 2),
        // The beginning of a file.
        (good[..good.find("to").unwrap()].to_owned(), 1),
        ("[System]\nConns = 6\n".to_owned(), 1),
    ];
    for (already, (text, mistakes)) in (0..).zip(bad) {
        replace(&path, &text);
        wait_until(|| watcher.stats().failures > already);
        let stats = watcher.stats();
        let error = stats.error.unwrap().to_string();
        assert!(error.starts_with(&path.display().to_string()), "{error}");
        assert_eq!(stats.other_errors.len() + 1, mistakes, "{text}");
        // Further looks at the same file report nothing.
        wait_until(|| watcher.stats().looks >= stats.looks + 2);
        assert_eq!(watcher.stats().failures, already + 1);
    }
    assert!(applied.try_recv().is_err());
    replace(&path, &text("10.0.0.4:1", 7));
    assert_is(&applied.recv_timeout(DEADLINE).unwrap(), "10.0.0.4:1", 7);
}
