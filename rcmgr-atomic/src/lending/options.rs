//! Bounds on the credit of a manager.

use rcmgr_core::KIB;

/// Bounds on the credit of a manager.
#[derive(Debug, Clone, Copy)]
pub struct CreditOptions {
    /// The most memory in a stock, in bytes; zero for no credit of memory.
    pub most_memory: u64,
    /// The most streams of a direction in a stock of a path, and the most connections of a direction
    /// in a stock of a node; zero for no credit of streams and connections.
    pub most_slots: u64,
    /// A path lends after its nodes were charged this often, and a node lends connections after as
    /// many. So short-lived paths cost nothing.
    pub warm: u64,
    /// The most paths that lend at a time.
    pub most_lenders: usize,
}

impl CreditOptions {
    /// A stock holds some dozens of usual buffers, and as many streams or connections.
    pub const DEFAULT: Self = Self {
        most_memory: 256 * KIB,
        most_slots: 64,
        warm: 64,
        most_lenders: 256,
    };
}
