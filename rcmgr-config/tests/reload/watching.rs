//! The watcher's thread: it reads as rarely as possible, misses no change, and ends when it should.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rcmgr_config::reload::LimitsWatcher;
use rcmgr_core::dynamic::{DynResourceManager, erase};
use rcmgr_core::{NullResourceManager, ResourceManager};

use super::support::{Watched, load, quick};

#[test]
fn a_touched_file_is_checked_and_not_reloaded() {
    let watched = Watched::new();
    for round in 0..6 {
        let looks = watched.watcher.stats().looks;
        if round % 2 == 0 {
            let file = fs::File::options().append(true).open(&watched.file);
            file.unwrap().set_modified(SystemTime::now()).unwrap();
        } else {
            watched.rename_over("conns 1");
        }
        watched.wait_until(|stats| stats.looks > looks);
    }
    assert_eq!(watched.all(), [1.into()]);
    let stats = watched.watcher.stats();
    assert_eq!((stats.reloads, stats.failures), (0, 0));
}

#[test]
fn a_file_that_never_settles_is_applied_after_the_longest_wait() {
    // The settle time is longer than the writer's pauses.
    let builder = quick()
        .settle_time(Duration::from_millis(50))
        .longest_wait(Duration::from_millis(200));
    let watched = Watched::with(builder);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for conns in 2.. {
                watched.rename_over(&format!("conns {conns}"));
                if done.load(Ordering::Relaxed) {
                    return;
                }
                thread::yield_now();
            }
        });
        watched.wait_until(|stats| stats.reloads >= 2);
        done.store(true, Ordering::Relaxed);
    });
    let last = load(&fs::read_to_string(&watched.file).unwrap(), &watched.file);
    watched.wait_until(|_| watched.last() == last.as_ref().unwrap().system.conns);
}

#[test]
fn a_flood_of_other_files_causes_no_looks() {
    let watched = Watched::new();
    let before = watched.watcher.stats().looks;
    for number in 0..5000 {
        let other = watched.path(&format!("other-{}", number % 50));
        fs::write(&other, "conns 9").unwrap();
        if number % 50 == 49 {
            fs::remove_file(&other).unwrap();
        }
    }
    fs::write(&watched.file, "conns 2").unwrap();
    watched.expect(2);
    // An overflowed event queue also causes a look.
    let looks = watched.watcher.stats().looks - before;
    assert!(looks < 50, "one change caused {looks} looks");
}

#[test]
fn reading_the_file_causes_no_looks() {
    let watched = Watched::new();
    let before = watched.watcher.stats().looks;
    for _ in 0..1000 {
        fs::read(&watched.file).unwrap();
    }
    fs::write(&watched.file, "conns 2").unwrap();
    watched.expect(2);
    assert!(watched.watcher.stats().looks < before + 20);
}

#[test]
fn without_events_the_file_is_polled() {
    let builder = quick()
        .without_events()
        .look_every(Duration::from_millis(20));
    let watched = Watched::with(builder);
    watched.rename_over("conns 2");
    watched.expect(2);
    fs::remove_file(&watched.file).unwrap();
    watched.expect_failure(1, 2);
    watched.rename_over("conns 3");
    watched.expect(3);
}

#[test]
fn a_directory_renamed_farther_up_is_detected_by_polling() {
    let builder = quick().look_every(Duration::from_millis(20));
    let watched = Watched::prepared(builder, |root| {
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        fs::write(root.join("a/b/c/limits"), "conns 1").unwrap();
        root.join("a/b/c/limits")
    });
    fs::create_dir_all(watched.path("new/b/c")).unwrap();
    fs::write(watched.path("new/b/c/limits"), "conns 2").unwrap();
    fs::rename(watched.path("a"), watched.path("old")).unwrap();
    fs::rename(watched.path("new"), watched.path("a")).unwrap();
    watched.expect(2);
}

#[test]
fn dropping_the_watcher_ends_its_thread_at_once() {
    for settle in [Duration::from_millis(1), Duration::from_secs(3600)] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("limits");
        fs::write(&file, "conns 1").unwrap();
        let held_by_thread = Arc::new(());
        let held = held_by_thread.clone();
        let watcher = quick()
            .settle_time(settle)
            .start_with(&file, load, move |_| drop(Arc::clone(&held)))
            .unwrap();
        assert_eq!(Arc::strong_count(&held_by_thread), 2);
        let begun = Instant::now();
        drop(watcher);
        assert_eq!(Arc::strong_count(&held_by_thread), 1);
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn many_watchers_start_and_stop() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("limits");
    fs::write(&file, "conns 1").unwrap();
    for _ in 0..300 {
        drop(quick().start_with(&file, load, |_| {}).unwrap());
    }
}

#[test]
fn a_manager_chosen_at_run_time_can_be_reloaded() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("limits");
    fs::write(&file, "conns 1").unwrap();
    let manager: Arc<DynResourceManager> = erase(NullResourceManager);
    let apply = move |limits| manager.set_limits(limits);
    let watcher = LimitsWatcher::builder()
        .start_with(&file, load, apply)
        .unwrap();
    assert!(watcher.path().is_absolute());
}

#[test]
fn a_reload_that_is_asked_for_applies_the_same_file_and_reports_a_bad_one_again() {
    let watched = Watched::new();
    watched.watcher.reload();
    watched.wait_until(|stats| stats.reloads == 1);
    assert_eq!(watched.all(), [1.into(), 1.into()]);

    watched.rename_over("conns many");
    watched.expect_failure(1, 1);
    watched.watcher.reload();
    watched.expect_failure(2, 1);
    // It is asked for once: the next look at the same file does nothing.
    let looks = watched.watcher.stats().looks;
    watched.rename_over("conns many");
    let stats = watched.wait_until(|stats| stats.looks > looks);
    assert_eq!((stats.reloads, stats.failures), (1, 2));
}
