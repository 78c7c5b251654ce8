//! Tests detection with directories that imitate `/proc` and `/sys` of Linux.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;

use super::*;
use rcmgr_core::{GIB, MIB};

/// A temporary directory with files as Linux has them below `/`. Removed when it is dropped.
struct Root(PathBuf);

impl Root {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let root = env::temp_dir().join(format!("rcmgr-machine-{}-{name}", process::id()));
        for (file, text) in files {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        Self(root)
    }

    fn memory(&self) -> u64 {
        Machine::under(&self.0, 8 * GIB, LimitValue::Limited(1024)).memory
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // Fails if the directory was never created.
        let _ = fs::remove_dir_all(&self.0);
    }
}

const GIB_2: &str = "2147483648\n";
const GIB_3: &str = "3221225472\n";
/// The value that version 1 shows if no limit is set.
const NO_LIMIT: &str = "9223372036854771712\n";

#[test]
fn without_control_groups_the_installed_memory_counts() {
    let root = Root::new("none", &[]);
    let machine = Machine::under(&root.0, 8 * GIB, LimitValue::Limited(1024));
    assert_eq!(
        machine,
        Machine {
            memory: 8 * GIB,
            fds: 1024
        }
    );
}

#[test]
fn the_lowest_limit_of_the_group_and_its_ancestors_counts() {
    let at = "sys/fs/cgroup/a.slice/b.service/memory.max";
    let above = "sys/fs/cgroup/a.slice/memory.max";
    let group = ("proc/self/cgroup", "0::/a.slice/b.service\n");
    let cases = [
        ("v2-own", GIB_2, GIB_3, 2 * GIB),
        ("v2-above", GIB_3, GIB_2, 2 * GIB),
        ("v2-max", "max\n", GIB_3, 3 * GIB),
        ("v2-all-max", "max\n", "max\n", 8 * GIB),
        ("v2-over", NO_LIMIT, "max\n", 8 * GIB),
        ("v2-odd", "\u{0}?\n", "", 8 * GIB),
    ];
    for (name, own, other, memory) in cases {
        let root = Root::new(name, &[group, (at, own), (above, other)]);
        assert_eq!(root.memory(), memory, "{name}");
    }
}

#[test]
fn version_1_shows_no_limit_as_a_huge_number() {
    let at = "sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes";
    let above = "sys/fs/cgroup/memory/memory.limit_in_bytes";
    let groups = (
        "proc/self/cgroup",
        "9:cpu,cpuacct:/docker/2a\n4:hugetlb,memory:/docker/1f\n1:name=systemd:/x:y\n",
    );
    let cases = [
        ("v1-own", GIB_2, NO_LIMIT, 2 * GIB),
        ("v1-above", NO_LIMIT, GIB_3, 3 * GIB),
        ("v1-none", NO_LIMIT, NO_LIMIT, 8 * GIB),
    ];
    for (name, own, other, memory) in cases {
        let root = Root::new(name, &[groups, (at, own), (above, other)]);
        assert_eq!(root.memory(), memory, "{name}");
    }
}

#[test]
fn in_a_container_the_mount_itself_shows_its_group() {
    let host = "0::/kubepods/pod7/4f\n";
    let outside = "0::/../../system.slice\n";
    for (name, groups) in [
        ("ns-host", host),
        ("ns-outside", outside),
        ("ns-root", "0::/\n"),
    ] {
        let files = [
            ("proc/self/cgroup", groups),
            ("sys/fs/cgroup/memory.max", GIB_2),
        ];
        assert_eq!(Root::new(name, &files).memory(), 2 * GIB, "{name}");
    }
    let v1 = [
        ("proc/self/cgroup", "4:memory:/docker/1f\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", GIB_2),
    ];
    assert_eq!(Root::new("ns-v1", &v1).memory(), 2 * GIB);
}

#[test]
fn a_path_does_not_lead_out_of_the_mount() {
    let files = [
        ("proc/self/cgroup", "0::/../../elsewhere\n"),
        ("elsewhere/memory.max", "1\n"),
        ("sys/elsewhere/memory.max", "1\n"),
    ];
    assert_eq!(Root::new("escape", &files).memory(), 8 * GIB);
}

#[test]
fn with_both_versions_the_lower_limit_counts() {
    let groups = ("proc/self/cgroup", "4:memory:/a\n0::/b\n");
    let v1 = "sys/fs/cgroup/memory/a/memory.limit_in_bytes";
    let v2 = "sys/fs/cgroup/unified/b/memory.max";
    let first = Root::new("hybrid-1", &[groups, (v1, GIB_2), (v2, GIB_3)]);
    let second = Root::new("hybrid-2", &[groups, (v1, GIB_3), (v2, GIB_2)]);
    assert_eq!((first.memory(), second.memory()), (2 * GIB, 2 * GIB));
}

#[test]
fn without_a_limit_of_open_files_the_kernels_maximum_counts() {
    let reported = Root::new("nr-open", &[("proc/sys/fs/nr_open", "5000\n")]);
    let unreported = Root::new("no-nr-open", &[]);
    let fds = |root: &Root| Machine::under(&root.0, GIB, LimitValue::Unlimited).fds;
    assert_eq!((fds(&reported), fds(&unreported)), (5000, Machine::NR_OPEN));
}

#[test]
fn this_machine_has_memory_and_descriptors() {
    let machine = Machine::detect();
    assert!(machine.memory > MIB, "{machine:?}");
    assert!(machine.fds > 2, "{machine:?}");
}
