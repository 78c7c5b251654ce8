//! What is bad leaves the limits as they are, and is said once.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use rcmgr_config::reload::LimitsWatcher;
use rcmgr_core::{Error, MIB};

use super::support::{UNLUCKY, Watched, load, quick, start};

#[test]
fn a_bad_file_fails_the_start_and_applies_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("limits");
    let refused = |reason: &str| {
        let path = file.clone();
        let apply = |_| panic!("nothing is to be applied");
        match LimitsWatcher::builder()
            .start_with(&path, load, apply)
            .unwrap_err()
        {
            Error::BadConfiguration(bad) => {
                assert_eq!(bad.file.as_ref(), Some(&path));
                assert!(bad.reason.contains(reason), "{bad}");
            }
            other => panic!("another error: {other}"),
        }
    };
    refused("os error 2");
    fs::write(&file, "\n").unwrap();
    refused("it is empty");
    fs::write(&file, "conns many").unwrap();
    refused("no number");
}

#[test]
fn a_bad_file_leaves_the_limits_until_it_is_good_again() {
    let watched = Watched::new();
    let bad: [(&[u8], Option<usize>, &str); 6] = [
        (b"conns 5\nconns many", Some(2), "no number"),
        (b"conns 5\nmemory 5", Some(2), "no field"),
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
fn a_file_that_is_no_file_or_too_large_or_gone_leaves_the_limits() {
    let watched = Watched::new();
    fs::remove_file(&watched.file).unwrap();
    let error = watched.expect_failure(1, 1);
    assert!(error.reason.contains("os error 2"), "{error}");

    fs::create_dir(&watched.file).unwrap();
    let error = watched.expect_failure(2, 1);
    assert_eq!(error.reason, "is no regular file");
    fs::remove_dir(&watched.file).unwrap();
    watched.expect_failure(3, 1);

    let large = File::create(watched.path("large")).unwrap();
    large.set_len(16 * MIB + 1).unwrap();
    fs::rename(watched.path("large"), &watched.file).unwrap();
    let error = watched.expect_failure(4, 1);
    assert_eq!(
        error.reason,
        "longer than 4 MiB, which is no file of limits"
    );

    watched.rename_over("conns 2");
    watched.expect(2);
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read_leaves_the_limits() {
    use std::os::unix::fs::PermissionsExt;

    let watched = Watched::new();
    let allow = |mode| fs::set_permissions(&watched.file, fs::Permissions::from_mode(mode));
    allow(0).unwrap();
    if File::open(&watched.file).is_ok() {
        // The superuser reads everything, so there is nothing to see here.
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
fn a_file_that_is_again_as_it_was_is_good_and_no_reload() {
    let watched = Watched::new();
    watched.rename_over("conns many");
    watched.expect_failure(1, 1);
    watched.rename_over("conns 1");
    let stats = watched.wait_until(|stats| stats.error.is_none());
    assert_eq!((stats.reloads, stats.failures), (0, 1));
    assert_eq!(watched.all(), [1.into()]);
    // It is another failure now.
    watched.rename_over("conns many");
    watched.expect_failure(2, 1);
}

#[test]
fn half_a_file_that_would_parse_is_not_taken() {
    let settle = Duration::from_millis(400);
    let builder = quick()
        .settle_time(settle)
        .longest_wait(Duration::from_secs(60));
    let watched = Watched::with(builder);
    let mut halves = 0;
    loop {
        halves += 1;
        let begun = Instant::now();
        fs::write(&watched.file, format!("conns {halves}\nconns 9")).unwrap();
        std::thread::sleep(settle / 8);
        fs::write(&watched.file, format!("conns {halves}\nconns 99")).unwrap();
        watched.expect(99);
        // Where this thread was held up, the half was all that there was to be seen.
        if begun.elapsed() < 4 * settle && !watched.all().contains(&9.into()) {
            return;
        }
        assert!(halves < 10, "half a file was taken: {:?}", watched.all());
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
fn a_watcher_started_while_the_file_is_bad_may_be_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("limits");
    fs::write(&file, "conns many").unwrap();
    assert!(start(quick(), &file).is_err());
    fs::write(&file, "conns 3").unwrap();
    let (_watcher, applied) = start(quick(), &file).unwrap();
    assert_eq!(*applied.lock().unwrap(), [3.into()]);
}

#[test]
fn limits_that_were_applied_with_a_panic_are_undone_by_the_file_before() {
    let watched = Watched::new();
    watched.rename_over(&format!("conns {UNLUCKY}"));
    watched.expect_failure(1, UNLUCKY);
    watched.rename_over("conns 1");
    watched.expect(1);
    assert_eq!(watched.all(), [1.into(), UNLUCKY.into(), 1.into()]);
}
