//! A bad file leaves the limits unchanged, and is reported once.

use std::fs::{self, File};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rcmgr_config::reload::LimitsWatcher;
use rcmgr_core::{Error, Limits, MIB};

use super::support::{UNLUCKY, Watched, load, quick, start};

#[test]
fn a_bad_file_fails_the_start_and_applies_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("limits");
    let refused = |reason: &str| {
        let path = file.clone();
        let apply = |_| panic!("limits were applied");
        match LimitsWatcher::builder()
            .start_with(&path, load, apply)
            .unwrap_err()
        {
            Error::BadConfiguration(bad) => {
                assert_eq!(bad.file.as_ref(), Some(&path));
                assert!(bad.reason.contains(reason), "{bad}");
            }
            other => panic!("unexpected error: {other}"),
        }
    };
    refused("os error 2");
    fs::write(&file, "\n").unwrap();
    refused("it is empty");
    fs::write(&file, "conns many").unwrap();
    refused("not a number");
}

#[test]
fn a_bad_file_leaves_the_limits_until_it_is_valid_again() {
    let watched = Watched::new();
    let bad: [(&[u8], Option<usize>, &str); 6] = [
        (b"conns 5\nconns many", Some(2), "not a number"),
        (b"conns 5\nmemory 5", Some(2), "unknown field"),
        (b"", None, "it is empty"),
        (b"conns 5\n\xff", Some(2), "not UTF-8 text"),
        (b" \n\t", None, "it is empty"),
        (b"conns panic", None, "panicked"),
    ];
    for (nth, (text, line, reason)) in (1..).zip(bad) {
        fs::write(watched.path("new"), text).unwrap();
        fs::rename(watched.path("new"), &watched.file).unwrap();
        let error = watched.expect_failure(nth, nth);
        assert_eq!(error.line, line, "{error}");
        assert!(error.reason.contains(reason), "{error}");
        watched.rename_over(&format!("conns {}", nth + 1));
        watched.expect(nth + 1);
    }
}

#[test]
fn a_directory_a_large_file_and_a_missing_file_leave_the_limits() {
    let watched = Watched::new();
    fs::remove_file(&watched.file).unwrap();
    let error = watched.expect_failure(1, 1);
    assert!(error.reason.contains("os error 2"), "{error}");

    fs::create_dir(&watched.file).unwrap();
    let error = watched.expect_failure(2, 1);
    assert_eq!(error.reason, "not a regular file");
    fs::remove_dir(&watched.file).unwrap();
    watched.expect_failure(3, 1);

    let large = File::create(watched.path("large")).unwrap();
    large.set_len(16 * MIB + 1).unwrap();
    fs::rename(watched.path("large"), &watched.file).unwrap();
    let error = watched.expect_failure(4, 1);
    assert_eq!(
        error.reason,
        "longer than 4 MiB, too large for a limits file"
    );

    watched.rename_over("conns 2");
    watched.expect(2);
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_leaves_the_limits() {
    use std::os::unix::fs::PermissionsExt;

    let watched = Watched::new();
    let allow = |mode| fs::set_permissions(&watched.file, fs::Permissions::from_mode(mode));
    allow(0).unwrap();
    if File::open(&watched.file).is_ok() {
        // The superuser can read every file, so this cannot be tested.
        return;
    }
    let error = watched.expect_failure(1, 1);
    assert!(error.reason.contains("os error 13"), "{error}");
    allow(0o600).unwrap();
    watched.expect(1);
}

#[test]
fn the_same_bad_file_is_reported_once() {
    let watched = Watched::new();
    watched.rename_over("conns many");
    watched.expect_failure(1, 1);
    for _ in 0..5 {
        let looks = watched.watcher.stats().looks;
        watched.rename_over("conns many");
        watched.wait_until(|stats| stats.looks > looks);
    }
    watched.expect_failure(1, 1);
    watched.rename_over("conns more");
    watched.expect_failure(2, 1);
}

#[test]
fn a_file_restored_to_its_earlier_content_is_valid_and_not_reloaded() {
    let watched = Watched::new();
    watched.rename_over("conns many");
    watched.expect_failure(1, 1);
    watched.rename_over("conns 1");
    let stats = watched.wait_until(|stats| stats.error.is_none());
    assert_eq!((stats.reloads, stats.failures), (0, 1));
    assert_eq!(watched.all(), [1.into()]);
    // The same bad text is a new failure now.
    watched.rename_over("conns many");
    watched.expect_failure(2, 1);
}

#[test]
fn an_incomplete_file_that_would_parse_is_not_applied() {
    let settle = Duration::from_millis(400);
    let builder = quick()
        .settle_time(settle)
        .longest_wait(Duration::from_secs(60));
    let watched = Watched::with(builder);
    let mut rounds = 0;
    loop {
        rounds += 1;
        let begun = Instant::now();
        fs::write(&watched.file, format!("conns {rounds}\nconns 9")).unwrap();
        std::thread::sleep(settle / 8);
        fs::write(&watched.file, format!("conns {rounds}\nconns 99")).unwrap();
        watched.expect(99);
        // If this thread was delayed, the watcher may rightly have applied the incomplete file.
        if begun.elapsed() < 4 * settle && !watched.all().contains(&9.into()) {
            return;
        }
        assert!(
            rounds < 10,
            "an incomplete file was applied: {:?}",
            watched.all()
        );
        fs::write(&watched.file, "conns 1").unwrap();
        watched.expect(1);
        watched
            .applied
            .lock()
            .unwrap()
            .retain(|&conns| conns != 9.into());
    }
}

#[test]
fn a_watcher_that_failed_to_start_can_be_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("limits");
    fs::write(&file, "conns many").unwrap();
    assert!(start(quick(), &file).is_err());
    fs::write(&file, "conns 3").unwrap();
    let (_watcher, applied) = start(quick(), &file).unwrap();
    assert_eq!(*applied.lock().unwrap(), [3.into()]);
}

#[test]
fn limits_applied_with_a_panic_are_replaced_when_the_earlier_file_returns() {
    let watched = Watched::new();
    watched.rename_over(&format!("conns {UNLUCKY}"));
    watched.expect_failure(1, UNLUCKY);
    watched.rename_over("conns 1");
    watched.expect(1);
    assert_eq!(watched.all(), [1.into(), UNLUCKY.into(), 1.into()]);
}

#[test]
fn limits_by_address_and_a_dry_run_are_reloaded_as_one_change() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("limits.toml");
    let next = directory.path().join("limits.new");
    fs::write(&file, "[Addresses.Subnets]\n\"IPv4/32\" = 8").unwrap();
    let (send, applied) = mpsc::channel();
    let apply = move |limits| send.send(limits).unwrap();
    let watcher = quick().start(&file, Limits::unlimited(), apply).unwrap();
    let first: Limits = applied.recv().unwrap();
    assert_eq!(first.addresses.subnets.v4[0].conns, 8);

    // A bad file changes nothing, and all its mistakes are there.
    let bad = "[System]\nConns = 5\nFDs = 1\n[Addresses.Subnets]\n\"IPv4/33\" = 4\n\"IPv4/32\" = 9";
    fs::write(&next, bad).unwrap();
    fs::rename(&next, &file).unwrap();
    let begun = Instant::now();
    let stats = loop {
        let stats = watcher.stats();
        if stats.error.is_some() {
            break stats;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{stats:?}");
        std::thread::yield_now();
    };
    let error = stats.error.unwrap().to_string();
    assert!(
        error.ends_with(":3: System.FDs: unknown key; did you mean \"FD\"?"),
        "{error}"
    );
    let others: Vec<_> = stats
        .other_errors
        .iter()
        .map(|bad| bad.field.as_str())
        .collect();
    assert_eq!(others, ["Addresses.Subnets.\"IPv4/33\""]);

    let good =
        "[System]\nConns = 5\n[Addresses.Subnets]\n\"IPv4/32\" = 9\n[DryRun.System]\nConns = 4";
    fs::write(&next, good).unwrap();
    fs::rename(&next, &file).unwrap();
    let limits = applied.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(limits.system.conns, 5.into());
    assert_eq!(limits.addresses.subnets.v4[0].conns, 9);
    assert_eq!(limits.dry_run.unwrap().system.conns, 4.into());
    drop(watcher);
    assert!(applied.try_recv().is_err());
}
