//! The memory and file descriptors available to this process.

#[cfg(feature = "auto-scale")]
mod cgroup;
#[cfg(feature = "auto-scale")]
mod detect;

/// The memory and file descriptors available to this process.
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
    /// The maximum number of open file descriptors.
    pub fds: u64,
}
