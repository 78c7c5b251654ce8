//! The names that a path passes through: replacing any of them can change the file at the path.
//!
//! A watch on the file itself would follow the current file. If a new file is renamed over it, or a
//! link is changed, the directory that contains the name changes. Therefore directories are
//! watched.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::path::{Component, Path, PathBuf};

/// The maximum number of links, as in Linux.
const MAX_LINKS: usize = 40;

/// Distinguishes a directory from another one that later has the same path.
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

/// The names that decide which file a path leads to. In each of these paths, only the last name may
/// be a link.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// The file, each link in the path, and the first missing name, if any.
    pub names: BTreeSet<PathBuf>,
    /// The directories that contain these names.
    pub directories: BTreeMap<PathBuf, Identity>,
}

enum Step {
    /// To the root, or to a prefix.
    To(PathBuf),
    Up,
    Down(OsString),
}

impl Resolution {
    /// Follows `path`, which must be absolute, as far as it exists.
    ///
    /// A directory in the path is not included by itself. Otherwise every file that any process
    /// opens in `/` or `/tmp` would cause an event. Polling detects the rename of a directory
    /// farther up.
    pub fn of(path: &Path) -> Self {
        let mut resolution = Self::default();
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
                // A link: it may change itself, and its target is followed before the rest.
                Ok(found) if found.is_symlink() => {
                    resolution.add(&here, next.clone());
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
                // The file, or the point where the path ends early.
                _ => {
                    resolution.add(&here, next);
                    break;
                }
            }
        }
        resolution
    }

    fn add(&mut self, directory: &Path, name: PathBuf) {
        self.names.insert(name);
        // A directory that has just disappeared is kept: watching it fails, and is tried again.
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
    fn resolution(root: &Path, path: &str) -> (Vec<String>, Vec<String>) {
        let resolution = Resolution::of(&root.join(path));
        let below = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        let names = resolution.names.iter().map(below).collect();
        (names, resolution.directories.keys().map(below).collect())
    }

    fn root() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        (directory, path)
    }

    #[test]
    fn every_link_of_a_mounted_configuration_is_included() {
        let (_directory, root) = root();
        fs::create_dir_all(root.join("etc/..1")).unwrap();
        fs::write(root.join("etc/..1/limits"), "").unwrap();
        symlink("..1", root.join("etc/..data")).unwrap();
        symlink("..data/limits", root.join("etc/limits")).unwrap();
        let (names, directories) = resolution(&root, "etc/../etc/./limits");
        assert_eq!(names, ["etc/..1/limits", "etc/..data", "etc/limits"]);
        assert_eq!(directories, ["etc", "etc/..1"]);
    }

    #[test]
    fn the_path_ends_at_a_missing_name_or_a_file() {
        let (_directory, root) = root();
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        assert_eq!(
            resolution(&root, "a/b/c"),
            (vec!["a/b".into()], vec!["a".into()])
        );
        assert_eq!(
            resolution(&root, "file/c"),
            (vec!["file".into()], vec!["".into()])
        );
    }

    #[test]
    fn a_circle_of_links_ends() {
        let (_directory, root) = root();
        symlink("b", root.join("a")).unwrap();
        symlink(root.join("a"), root.join("b")).unwrap();
        let (names, directories) = resolution(&root, "a");
        assert_eq!(
            (names, directories),
            (vec!["a".into(), "b".into()], vec!["".into()])
        );
    }
}
