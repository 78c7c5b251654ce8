//! A file in its own directory, a watcher that follows it, and a record of the applied limits.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcmgr_config::reload::{Builder, LimitsWatcher, ReloadStats};
use rcmgr_core::{BadConfiguration, LimitValue, Limits, Result};
use tempfile::TempDir;

/// Much longer than any step takes, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// Parses lines of `conns N`; the last line counts.
pub fn load(text: &str, _path: &Path) -> Result<Limits> {
    let mut limits = Limits::unlimited();
    for (at, line) in text.lines().enumerate() {
        let bad = |reason: &str| BadConfiguration {
            line: Some(at + 1),
            field: "conns".into(),
            reason: reason.into(),
            ..Default::default()
        };
        let number = line
            .strip_prefix("conns ")
            .ok_or_else(|| bad("unknown field"))?;
        assert_ne!(number, "panic", "the file requests a panic");
        let number: u64 = number.parse().map_err(|_| bad("not a number"))?;
        limits.system.conns = number.into();
    }
    Ok(limits)
}

/// Applying this number of connections panics.
pub const UNLUCKY: u64 = 13;

/// The applied numbers of connections, in order.
pub type Applied = Arc<Mutex<Vec<LimitValue>>>;

pub struct Watched {
    // Declared first, so that it is dropped before the directory.
    pub watcher: LimitsWatcher,
    pub applied: Applied,
    pub directory: TempDir,
    pub file: PathBuf,
}

/// A watcher that relies on events: polling is too rare for any test.
pub fn quick() -> Builder {
    LimitsWatcher::builder()
        .settle_time(Duration::from_millis(10))
        .longest_wait(Duration::from_millis(200))
        .look_every(Duration::from_secs(3600))
}

pub fn start(builder: Builder, file: &Path) -> Result<(LimitsWatcher, Applied)> {
    let applied = Applied::default();
    let record = applied.clone();
    let watcher = builder.start_with(file, load, move |limits| {
        record.lock().unwrap().push(limits.system.conns);
        assert_ne!(
            limits.system.conns,
            UNLUCKY.into(),
            "applying this number panics"
        );
    })?;
    Ok((watcher, applied))
}

impl Watched {
    /// Watches a file with the text `conns 1`.
    pub fn new() -> Self {
        Self::with(quick())
    }

    pub fn with(builder: Builder) -> Self {
        Self::prepared(builder, |directory| {
            let file = directory.join("limits");
            fs::write(&file, "conns 1").unwrap();
            file
        })
    }

    /// Watches a file with the text `conns 1`, which `prepare` creates in a directory.
    pub fn prepared(builder: Builder, prepare: impl FnOnce(&Path) -> PathBuf) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = prepare(directory.path());
        let (watcher, applied) = start(builder, &file).unwrap();
        assert_eq!(*applied.lock().unwrap(), [1.into()]);
        let watched = Self {
            watcher,
            applied,
            directory,
            file,
        };
        // Wait for the first look, so that the test depends only on events.
        watched.wait_until(|stats| stats.looks > 0);
        watched
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes another file and renames it over the watched one.
    pub fn rename_over(&self, text: &str) {
        let other = self.path("limits.new");
        fs::write(&other, text).unwrap();
        fs::rename(&other, &self.file).unwrap();
    }

    pub fn wait_until(&self, reached: impl Fn(&ReloadStats) -> bool) -> ReloadStats {
        let begun = Instant::now();
        loop {
            let stats = self.watcher.stats();
            if reached(&stats) {
                return stats;
            }
            assert!(begun.elapsed() < DEADLINE, "timed out: {stats:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until `conns` was applied last and the file is valid.
    pub fn expect(&self, conns: u64) {
        self.wait_until(|stats| stats.error.is_none() && self.last() == conns.into());
    }

    /// Waits for the `nth` failure, and asserts that `conns` is still applied.
    pub fn expect_failure(&self, nth: u64, conns: u64) -> BadConfiguration {
        let stats = self.wait_until(|stats| stats.failures >= nth && stats.error.is_some());
        assert_eq!(stats.failures, nth, "{stats:?}");
        assert_eq!(self.last(), conns.into());
        match stats.error {
            Some(rcmgr_core::Error::BadConfiguration(bad)) => {
                assert_eq!(bad.file.as_deref(), Some(self.watcher.path()), "{bad}");
                *bad
            }
            other => panic!("unexpected error: {other:?}"),
        }
    }

    pub fn last(&self) -> LimitValue {
        *self.applied.lock().unwrap().last().unwrap()
    }

    /// All applied numbers, including the first load.
    pub fn all(&self) -> Vec<LimitValue> {
        self.applied.lock().unwrap().clone()
    }
}
