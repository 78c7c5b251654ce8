//! Limits follow a file while the server runs.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rcmgr::config::reload::LimitsWatcher;
use rcmgr::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("limits.toml");
    replace(&path, "[System]\nConns = 128\n")?;

    let manager = Manager::new(Limits::unlimited())?;
    let (applied, changes) = mpsc::channel();
    let apply = {
        let manager = manager.clone();
        move |limits: Limits| {
            let conns = limits.system.conns;
            manager.set_limits(limits);
            // The example waits for this message. A server does not need it.
            let _ = applied.send(conns);
        }
    };
    // The file is read once now, and again whenever it changes, until the watcher is dropped.
    let watcher = LimitsWatcher::builder()
        .settle_time(Duration::from_millis(20))
        .start(&path, Limits::unlimited(), apply)?;
    assert_eq!(changes.recv()?, LimitValue::Limited(128));

    let minute = Duration::from_secs(60);
    replace(&path, "[System]\nConns = 256\n")?;
    assert_eq!(changes.recv_timeout(minute)?, LimitValue::Limited(256));
    assert_eq!(manager.limits().system.conns, LimitValue::Limited(256));

    // A file with an error changes nothing: the last good limits stay, and the error is in the stats
    // and in the log.
    replace(&path, "[System]\nConns = \"many\"\n")?;
    let deadline = Instant::now() + minute;
    while watcher.stats().failures == 0 {
        assert!(
            Instant::now() < deadline,
            "the watcher did not read the file"
        );
        thread::sleep(Duration::from_millis(5));
    }
    println!("{}", watcher.stats().error.expect("the file has an error"));
    assert_eq!(manager.limits().system.conns, LimitValue::Limited(256));
    Ok(())
}

/// Writes another file and renames it: so no reader sees half a file.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, path)
}
