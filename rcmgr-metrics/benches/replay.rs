//! The time of a replay, by the number of events, and the memory that it takes.
//!
//! `cargo bench -p rcmgr-metrics --bench replay` replays traces of 100,000 to 10,000,000 events with
//! 100,000 live scopes: a summary alone, and under other limits. The time grows in proportion to
//! the events, and the memory depends on the live scopes alone. Other numbers of events may follow
//! after `--`; the allocator keeps memory, so each size alone shows its own peak.

#[path = "../tests/support/streams.rs"]
mod streams;

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use rcmgr_core::Limits;
use rcmgr_metrics::replay::{Options, ReplayLimits, replay};

const LIVE: u64 = 100_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("trace.json.gz");
    // In a test of benches one short trace is enough.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let asked: Vec<u64> = std::env::args()
        .filter_map(|size| size.parse().ok())
        .collect();
    let sizes: &[u64] = match is_test {
        true => &[10_000],
        false if !asked.is_empty() => &asked,
        false => &[100_000, 1_000_000, 10_000_000],
    };
    println!(
        "{:>10}  {:14} {:>8}  {:>9}  {:>8}",
        "events", "", "seconds", "us/event", "peak MiB"
    );
    for &size in sizes {
        let file = GzEncoder::new(File::create(&path)?, Compression::fast());
        let mut file = BufWriter::new(file);
        let events = streams::write_streams(&mut file, size, LIVE)?;
        file.flush()?;
        file.into_inner()?.finish()?;
        run("summary", &path, events, None)?;
        run("other limits", &path, events, Some(limits()))?;
    }
    // Twenty thousand streams that all wait before the first gets its protocol.
    let mut text = Vec::new();
    let events = streams::write_streams(&mut text, 220_000, 120_000)?;
    fs::write(&path, &text)?;
    run("all waiting", &path, events, Some(limits()))?;
    // Releases of the same size on as many scopes.
    text.clear();
    for peer in 0..50_000 {
        writeln!(
            text,
            r#"{{"Time":"2026-11-22T01:00:00Z","Type":"release_memory","Name":"peer:{peer}","Delta":-64}}"#
        )?;
    }
    fs::write(&path, &text)?;
    run("same releases", &path, 50_000, Some(limits()))
}

/// Limits that refuse some of the streams and some of the memory.
fn limits() -> Limits {
    let mut limits = Limits::unlimited();
    limits.system.memory = (LIVE / 10 * 4096).into();
    limits.transient.streams = (LIVE / 8).into();
    limits
}

fn run(what: &str, path: &Path, events: u64, limits: Option<Limits>) -> Result<(), Box<dyn Error>> {
    let options = Options {
        what_if: limits.map(|limits| ReplayLimits::Configured(Box::new(limits))),
        ..Options::default()
    };
    reset_peak();
    let started = Instant::now();
    let report = replay(&[path.to_owned()], &options, &mut |_| {})?;
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(report.read.events, events);
    let micros = seconds * 1e6 / events as f64;
    println!(
        "{events:>10}  {what:14} {seconds:>8.2}  {micros:>9.2}  {:>8}",
        peak()
    );
    Ok(())
}

/// Sets the highest resident memory of the process to the current one; Linux only.
fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The highest resident memory in MiB.
fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map_or_else(|| "unknown".to_owned(), |kib| (kib / 1024).to_string())
}
