//! The memory limits of control groups, from the files in which Linux shows them
//! (`Documentation/admin-guide/cgroup-v2.rst`, and `cgroup-v1/memory.rst`).
//!
//! `/proc/self/cgroup` has a line `ID:CONTROLLERS:PATH` for each hierarchy that the process is in;
//! the one of version 2 has no controllers. The path is below the hierarchy's mount, but in a
//! container often as the host sees it: then it does not exist here, and the mount itself shows
//! the container's group. So every group from the path up to the mount is asked, and those that
//! are not there have no say.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Where a hierarchy with the memory controller is mounted by convention, and the file in it.
/// Version 2 is in `unified` on hosts that still have version 1 beside it.
const V1: [&str; 1] = ["memory"];
const V2: [&str; 2] = ["", "unified"];
const V1_FILE: &str = "memory.limit_in_bytes";
const V2_FILE: &str = "memory.max";

/// The limits of all groups that the process is in. In version 1, no limit is a number larger than
/// any machine's memory.
pub(super) fn memory_limits(root: &Path) -> impl Iterator<Item = u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut files = Vec::new();
    for (mounts, file, path) in groups.lines().filter_map(memory_group) {
        for mount in mounts {
            files.extend(
                up_from(&root.join("sys/fs/cgroup").join(mount), path)
                    .map(|group| group.join(file)),
            );
        }
    }
    files.into_iter().filter_map(|file| number(&file))
}

/// The hierarchy's mounts, its file, and the path in it, if the line is about one with memory.
fn memory_group(line: &str) -> Option<(&'static [&'static str], &'static str, &str)> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    if controllers.is_empty() {
        Some((&V2, V2_FILE, path))
    } else if controllers
        .split(',')
        .any(|controller| controller == "memory")
    {
        Some((&V1, V1_FILE, path))
    } else {
        None
    }
}

/// The group of `path`, the one that it is in, and so on up to the mount. A path that leads out of
/// the mount (a group outside of the process's namespace) says nothing: then only the mount.
fn up_from(mount: &Path, path: &str) -> impl Iterator<Item = PathBuf> {
    let mut names = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => {
                names.clear();
                break;
            }
            _ => {}
        }
    }
    let groups: Vec<PathBuf> = (0..=names.len())
        .map(|depth| mount.join(names[..depth].iter().collect::<PathBuf>()))
        .collect();
    groups.into_iter().rev()
}

/// The number that a file consists of; `None` also where it says `max`.
pub(super) fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}
