//! The memory limits of control groups, read from Linux's files
//! (`Documentation/admin-guide/cgroup-v2.rst`, and `cgroup-v1/memory.rst`).
//!
//! `/proc/self/cgroup` has a line `ID:CONTROLLERS:PATH` for each hierarchy that the process is in.
//! The line of version 2 has no controllers. The path is relative to the hierarchy's mount. In a
//! container it is often the host's path and does not exist; then the mount itself is the
//! container's group. So the limit of every group from the path up to the mount is read, and
//! missing groups are ignored.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// The usual mounts of hierarchies with the memory controller, and the file with the limit. On
/// hosts that still use version 1, version 2 is mounted at `unified`.
const V1: [&str; 1] = ["memory"];
const V2: [&str; 2] = ["", "unified"];
const V1_FILE: &str = "memory.limit_in_bytes";
const V2_FILE: &str = "memory.max";

/// The limits of all groups that contain the process. Version 1 shows no limit as a number larger
/// than the memory of any machine.
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

/// The hierarchy's mounts, its file and the path in it, if the line is for a hierarchy with the
/// memory controller.
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

/// The group at `path` and all groups that contain it, up to the mount. If the path leads out of
/// the mount (a group outside of the process's namespace), only the mount.
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

/// The number in a file; `None` if it is not a number, such as `max`.
pub(super) fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}
