//! The ways to replace a file.

use std::fs::{self, OpenOptions};
use std::io::Write;

use super::support::{Watched, quick};

#[test]
fn a_file_written_in_place_is_applied() {
    let watched = Watched::new();
    for conns in 2..6 {
        fs::write(&watched.file, format!("conns {conns}")).unwrap();
        watched.expect(conns);
    }
}

#[test]
fn a_file_that_grows_is_applied() {
    let watched = Watched::new();
    let mut file = OpenOptions::new().append(true).open(&watched.file).unwrap();
    write!(file, "\nconns 7\nconns 8").unwrap();
    watched.expect(8);
}

#[test]
fn a_file_renamed_over_the_old_one_is_applied() {
    let watched = Watched::new();
    for conns in 2..6 {
        watched.rename_over(&format!("conns {conns}"));
        watched.expect(conns);
    }
    let stats = watched.wait_until(|stats| stats.reloads == 4);
    assert_eq!(stats.failures, 0);
}

#[test]
fn a_file_deleted_and_created_again_is_applied() {
    let watched = Watched::new();
    for conns in 2..6 {
        fs::remove_file(&watched.file).unwrap();
        if conns % 2 == 0 {
            watched.wait_until(|stats| stats.error.is_some());
        }
        fs::write(&watched.file, format!("conns {conns}")).unwrap();
        watched.expect(conns);
    }
}

#[test]
fn a_directory_that_disappears_and_comes_back_is_watched_again() {
    let watched = Watched::prepared(quick(), |root| {
        let directory = root.join("etc/rcmgr");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("limits"), "conns 1").unwrap();
        directory.join("limits")
    });
    let parent = watched.file.parent().unwrap();
    // Many rounds, because the directory can disappear at any step of the watcher.
    for round in 1..20 {
        let gone = [parent, parent.parent().unwrap()][round as usize % 2];
        fs::remove_dir_all(gone).unwrap();
        watched.wait_until(|stats| stats.error.is_some());
        fs::create_dir_all(parent).unwrap();
        fs::write(&watched.file, format!("conns {}", 10 * round)).unwrap();
        watched.expect(10 * round);
        // A later change is noticed too, not only the content at the return.
        watched.rename_over(&format!("conns {}", 10 * round + 1));
        watched.expect(10 * round + 1);
    }
}

#[test]
fn a_directory_renamed_over_the_old_one_is_watched() {
    let watched = Watched::prepared(quick(), |root| {
        fs::create_dir(root.join("etc")).unwrap();
        fs::write(root.join("etc/limits"), "conns 1").unwrap();
        root.join("etc/limits")
    });
    for conns in [2, 4] {
        fs::create_dir(watched.path("new")).unwrap();
        fs::write(watched.path("new/limits"), format!("conns {conns}")).unwrap();
        fs::rename(watched.path("etc"), watched.path(&format!("old-{conns}"))).unwrap();
        fs::rename(watched.path("new"), watched.path("etc")).unwrap();
        watched.expect(conns);
        fs::write(&watched.file, format!("conns {}", conns + 1)).unwrap();
        watched.expect(conns + 1);
        // A change in the old directory has no effect.
        fs::write(watched.path(&format!("old-{conns}/limits")), "conns 99").unwrap();
    }
    assert!(!watched.all().contains(&99.into()));
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    /// Changes the target of a link atomically, as Kubernetes does.
    fn repoint(target: &Path, link: &Path) {
        let other = link.with_file_name("link.new");
        symlink(target, &other).unwrap();
        fs::rename(&other, link).unwrap();
    }

    #[test]
    fn a_swapped_config_map_is_applied() {
        let watched = Watched::prepared(quick(), |mount| {
            fs::create_dir(mount.join("..2026_1")).unwrap();
            fs::write(mount.join("..2026_1/limits.toml"), "conns 1").unwrap();
            symlink("..2026_1", mount.join("..data")).unwrap();
            symlink("..data/limits.toml", mount.join("limits.toml")).unwrap();
            mount.join("limits.toml")
        });
        for conns in 2..8 {
            let version = format!("..2026_{conns}");
            fs::create_dir(watched.path(&version)).unwrap();
            fs::write(
                watched.path(&version).join("limits.toml"),
                format!("conns {conns}"),
            )
            .unwrap();
            repoint(Path::new(&version), &watched.path("..data"));
            fs::remove_dir_all(watched.path(&format!("..2026_{}", conns - 1))).unwrap();
            watched.expect(conns);
        }
        assert_eq!(watched.watcher.stats().failures, 0);
    }

    /// `etc/limits -> ../store/a`, and `store/b` beside it.
    fn linked() -> Watched {
        Watched::prepared(quick(), |root| {
            fs::create_dir(root.join("etc")).unwrap();
            fs::create_dir(root.join("store")).unwrap();
            fs::write(root.join("store/a"), "conns 1").unwrap();
            fs::write(root.join("store/b"), "conns 2").unwrap();
            symlink("../store/a", root.join("etc/limits")).unwrap();
            root.join("etc/limits")
        })
    }

    #[test]
    fn the_target_of_a_link_to_another_directory_is_watched() {
        let watched = linked();
        fs::write(watched.path("store/a"), "conns 3").unwrap();
        watched.expect(3);
        fs::write(watched.path("store/c"), "conns 4").unwrap();
        fs::rename(watched.path("store/c"), watched.path("store/a")).unwrap();
        watched.expect(4);
    }

    #[test]
    fn a_link_with_a_new_target_is_followed() {
        let watched = linked();
        repoint(&watched.path("store/b"), &watched.file);
        watched.expect(2);
        fs::write(watched.path("store/b"), "conns 5").unwrap();
        watched.expect(5);
        // The earlier target no longer matters.
        fs::write(watched.path("store/a"), "conns 6").unwrap();
        watched.rename_over("conns 7");
        watched.expect(7);
        assert_eq!(watched.all(), [1, 2, 5, 7].map(Into::into));
    }

    #[test]
    fn a_dangling_link_is_watched_until_its_target_appears() {
        let watched = linked();
        repoint(Path::new("../later/limits"), &watched.file);
        watched.expect_failure(1, 1);
        fs::create_dir(watched.path("later")).unwrap();
        fs::write(watched.path("later/limits"), "conns 8").unwrap();
        watched.expect(8);
    }
}
