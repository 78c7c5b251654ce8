//! Where a file can change: at every name on the way to it that can be put in another's place.
//!
//! A watch on the file itself would follow what it is now. A new file renamed over it, or a link
//! pointed elsewhere, is a change of the directory that has the name: so directories are watched.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::path::{Component, Path, PathBuf};

/// As many links as Linux follows.
const MAX_LINKS: usize = 40;

/// Tells a directory from another one that has come to have its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity(Option<(u64, u64)>);

impl Identity {
    #[cfg(unix)]
    fn of(found: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self(Some((found.dev(), found.ino())))
    }

    #[cfg(not(unix))]
    fn of(_found: &Metadata) -> Self {
        Self(None)
    }
}

/// The names that decide what a path leads to. All are paths without links, but for the last name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The file, each link on the way to it, or what is missing.
    pub names: BTreeSet<PathBuf>,
    /// The directories that they are in.
    pub directories: BTreeMap<PathBuf, Identity>,
}

enum Step {
    /// To the root, or a prefix.
    To(PathBuf),
    Up,
    Down(OsString),
}

impl Places {
    /// Follows `path`, which is absolute, as far as it leads.
    ///
    /// A directory on the way is not a place by itself, or every file that anyone opens in `/` or
    /// `/tmp` would be heard of. That one farther up was renamed is found by looking.
    pub fn on_the_way_to(path: &Path) -> Self {
        let mut places = Self::default();
        let mut ahead: VecDeque<Step> = steps(path).collect();
        let mut here = PathBuf::new();
        let mut links = 0;
        while let Some(step) = ahead.pop_front() {
            let name = match step {
                Step::To(root) => {
                    here.push(root);
                    continue;
                }
                Step::Up => {
                    here.pop();
                    continue;
                }
                Step::Down(name) => name,
            };
            let next = here.join(name);
            match fs::symlink_metadata(&next) {
                Ok(found) if found.is_symlink() => {
                    places.add(&here, next.clone());
                    links += 1;
                    let Ok(target) = fs::read_link(&next) else {
                        break;
                    };
                    if links > MAX_LINKS {
                        break;
                    }
                    for step in steps(&target).rev() {
                        ahead.push_front(step);
                    }
                }
                Ok(found) if found.is_dir() && !ahead.is_empty() => here = next,
                // The file, or where the way ends before it.
                _ => {
                    places.add(&here, next);
                    break;
                }
            }
        }
        places
    }

    fn add(&mut self, directory: &Path, name: PathBuf) {
        self.names.insert(name);
        // One that vanished meanwhile stays wanted: then to watch it fails, and is tried anew.
        let identity = fs::metadata(directory).map_or(Identity(None), |found| Identity::of(&found));
        self.directories.insert(directory.to_owned(), identity);
    }
}

fn steps(path: &Path) -> impl DoubleEndedIterator<Item = Step> {
    path.components().filter_map(|component| match component {
        Component::Prefix(_) | Component::RootDir => Some(Step::To(component.as_os_str().into())),
        Component::CurDir => None,
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Down(name.to_owned())),
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The names, and the directories, below `root`.
    fn places(root: &Path, path: &str) -> (Vec<String>, Vec<String>) {
        let places = Places::on_the_way_to(&root.join(path));
        let below = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        let names = places.names.iter().map(below).collect();
        (names, places.directories.keys().map(below).collect())
    }

    fn root() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        (directory, path)
    }

    #[test]
    fn every_link_of_a_mounted_configuration_is_a_place() {
        let (_directory, root) = root();
        fs::create_dir_all(root.join("etc/..1")).unwrap();
        fs::write(root.join("etc/..1/limits"), "").unwrap();
        symlink("..1", root.join("etc/..data")).unwrap();
        symlink("..data/limits", root.join("etc/limits")).unwrap();
        let (names, directories) = places(&root, "etc/../etc/./limits");
        assert_eq!(names, ["etc/..1/limits", "etc/..data", "etc/limits"]);
        assert_eq!(directories, ["etc", "etc/..1"]);
    }

    #[test]
    fn the_way_ends_at_what_is_missing_or_no_directory() {
        let (_directory, root) = root();
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        assert_eq!(
            places(&root, "a/b/c"),
            (vec!["a/b".into()], vec!["a".into()])
        );
        assert_eq!(
            places(&root, "file/c"),
            (vec!["file".into()], vec!["".into()])
        );
    }

    #[test]
    fn links_in_a_circle_end() {
        let (_directory, root) = root();
        symlink("b", root.join("a")).unwrap();
        symlink(root.join("a"), root.join("b")).unwrap();
        let (names, directories) = places(&root, "a");
        assert_eq!(
            (names, directories),
            (vec!["a".into(), "b".into()], vec!["".into()])
        );
    }
}
