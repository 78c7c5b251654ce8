//! The memory and file descriptors that a process can have.

#[cfg(feature = "auto-scale")]
mod cgroup;
#[cfg(feature = "auto-scale")]
mod detect;

/// How much memory and how many file descriptors this process can have.
///
/// ```
/// use rcmgr_config::Machine;
/// use rcmgr_core::MIB;
///
/// let container = Machine { memory: 256 * MIB, fds: 65_536 };
/// # assert_eq!(container.memory, 1 << 28);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Machine {
    /// Memory, in bytes.
    pub memory: u64,
    /// File descriptors that the process may have open.
    pub fds: u64,
}
