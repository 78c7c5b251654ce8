//! Detection of the memory and file descriptors that this process can have.

use std::path::Path;

use rcmgr_core::LimitValue;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use super::cgroup::{self, number};
use crate::Machine;

impl Machine {
    /// What a Linux process may have open at most, where the kernel does not say otherwise: the
    /// default of `fs.nr_open`, from the kernel's documentation of `/proc/sys/fs`.
    const NR_OPEN: u64 = 1024 * 1024;

    /// Looks at the machine that we run on, now.
    ///
    /// ```
    /// use rcmgr_config::Machine;
    ///
    /// let machine = Machine::detect();
    /// println!("{} bytes of memory, {} descriptors", machine.memory, machine.fds);
    /// ```
    ///
    /// The memory is what is built in, or the lowest limit of the process's control group and the
    /// groups that it is in, where that is less: so in a container it is the container's. Both
    /// versions of control groups are looked at, and both together. It is the hard limit of a
    /// group, `memory.max`, not `memory.high`. A file that is missing or can't be read is not an
    /// error: then it sets no limit. Where the memory can't be told, it is 0, and limits scaled to
    /// it are the smallest of their table.
    ///
    /// The descriptors are the soft limit, `ulimit -n`, because that is what the process may open
    /// now; a program that raises it to the hard one should do so first. (A Go program does at its
    /// start, so go-libp2p sees the hard limit.) Where it is unlimited, it is what the kernel lets
    /// a process have: `fs.nr_open`, by default 1048576.
    #[must_use]
    pub fn detect() -> Self {
        let ram = MemoryRefreshKind::nothing().with_ram();
        let system = System::new_with_specifics(RefreshKind::nothing().with_memory(ram));
        let built_in = system.total_memory();
        Self::under(Path::new("/"), built_in, open_files())
    }

    /// The machine whose `/proc` and `/sys` are in `root`, with this much memory built in, and this
    /// limit of open files.
    fn under(root: &Path, built_in: u64, open_files: LimitValue) -> Self {
        let memory = cgroup::memory_limits(root).fold(built_in, u64::min);
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
        return LimitValue::Limited(soft);
    }
    LimitValue::Unlimited
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
