//! Detects the memory and file descriptors available to this process.

use std::path::Path;

use rcmgr_core::LimitValue;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use super::cgroup::{self, number};
use crate::Machine;

impl Machine {
    /// The maximum number of open files of a Linux process if the kernel does not report it: the
    /// default of `fs.nr_open`, from the kernel's documentation of `/proc/sys/fs`.
    const NR_OPEN: u64 = 1024 * 1024;

    /// Detects the current values on this machine.
    ///
    /// ```
    /// use rcmgr_config::Machine;
    ///
    /// let machine = Machine::detect();
    /// println!("{} bytes of memory, {} descriptors", machine.memory, machine.fds);
    /// ```
    ///
    /// The memory is the installed memory, or the lowest limit of the control groups that contain
    /// the process if that is lower: in a container, the container's limit. Control groups of
    /// version 1 and 2 are read, and both together. The hard limit of a group counts, `memory.max`,
    /// not `memory.high`. A file that is missing or unreadable is not an error and sets no limit.
    /// If the memory cannot be determined, it is 0, and limits scaled to it are the smallest of
    /// their table.
    ///
    /// The descriptors are the soft limit, `ulimit -n`, because the process cannot open more now. A
    /// program that raises its soft limit should do so first. (A Go program does so when it starts,
    /// so go-libp2p sees the hard limit.) If the soft limit is unlimited, the kernel's maximum for
    /// a process counts: `fs.nr_open`, by default 1048576.
    #[must_use]
    pub fn detect() -> Self {
        let ram = MemoryRefreshKind::nothing().with_ram();
        let system = System::new_with_specifics(RefreshKind::nothing().with_memory(ram));
        let installed = system.total_memory();
        Self::under(Path::new("/"), installed, open_files())
    }

    /// Detects with the `/proc` and `/sys` in `root`, this installed memory and this limit of open
    /// files.
    fn under(root: &Path, installed: u64, open_files: LimitValue) -> Self {
        let memory = cgroup::memory_limits(root).fold(installed, u64::min);
        let fds = match open_files {
            LimitValue::Limited(fds) => fds,
            LimitValue::Unlimited => {
                number(&root.join("proc/sys/fs/nr_open")).unwrap_or(Self::NR_OPEN)
            }
        };
        Self { memory, fds }
    }
}

/// The soft limit of open files.
fn open_files() -> LimitValue {
    #[cfg(unix)]
    if let Ok(soft) = rlimit::Resource::NOFILE.get_soft()
        && soft != rlimit::INFINITY
    {
        return LimitValue::of(soft);
    }
    LimitValue::Unlimited
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
