//! A file in a directory of its own, a watcher of it, and a record of what it applied.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcmgr_config::reload::{Builder, LimitsWatcher, ReloadStats};
use rcmgr_core::{BadConfiguration, LimitValue, Limits, Result};
use tempfile::TempDir;

/// Much longer than anything takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// A file is `conns N`, in as many lines as it likes: the last one counts.
pub fn load(text: &str, _path: &Path) -> Result<Limits> {
    let mut limits = Limits::unlimited();
    for (at, line) in text.lines().enumerate() {
        let bad = |reason: &str| BadConfiguration {
            line: Some(at + 1),
            field: "conns".into(),
            reason: reason.into(),
            ..Default::default()
        };
        let number = line.strip_prefix("conns ").ok_or_else(|| bad("no field"))?;
        assert_ne!(number, "panic", "as the file says");
        let number: u64 = number.parse().map_err(|_| bad("no number"))?;
        limits.system.conns = number.into();
    }
    Ok(limits)
}

/// So many connections are applied with a panic.
pub const UNLUCKY: u64 = 13;

/// What was applied, in order.
pub type Applied = Arc<Mutex<Vec<LimitValue>>>;

pub struct Watched {
    // Dropped first: it must not see the directory go.
    pub watcher: LimitsWatcher,
    pub applied: Applied,
    pub directory: TempDir,
    pub file: PathBuf,
}

/// Events do it all: who waits for a look waits in vain.
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
            "applied, and then this"
        );
    })?;
    Ok((watcher, applied))
}

impl Watched {
    /// Watches a file that says `conns 1`.
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

    /// Watches what `prepare` makes in a directory: a file that says `conns 1`.
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
        // From now on it is events that are waited for, not the first look.
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
            assert!(begun.elapsed() < DEADLINE, "in vain: {stats:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until `conns` is what was applied last, and the file is good.
    pub fn expect(&self, conns: u64) {
        self.wait_until(|stats| stats.error.is_none() && self.last() == conns.into());
    }

    /// Waits for the `nth` failure, and sees that the limits stay at `conns`.
    pub fn expect_failure(&self, nth: u64, conns: u64) -> BadConfiguration {
        let stats = self.wait_until(|stats| stats.failures >= nth && stats.error.is_some());
        assert_eq!(stats.failures, nth, "{stats:?}");
        assert_eq!(self.last(), conns.into());
        match stats.error {
            Some(rcmgr_core::Error::BadConfiguration(bad)) => {
                assert_eq!(bad.file.as_deref(), Some(self.watcher.path()), "{bad}");
                *bad
            }
            other => panic!("another error: {other:?}"),
        }
    }

    pub fn last(&self) -> LimitValue {
        *self.applied.lock().unwrap().last().unwrap()
    }

    /// All that was applied, the load at the start included.
    pub fn all(&self) -> Vec<LimitValue> {
        self.applied.lock().unwrap().clone()
    }
}
