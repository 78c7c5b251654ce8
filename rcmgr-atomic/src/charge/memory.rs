//! A charge of memory.

use rcmgr_core::{Error, Priority};

use super::charges::Charge;
use crate::counters::Kind;
use crate::limits::{LimitReached, LimitsVersion};
use crate::node::Node;

/// Memory.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// In bytes.
    pub size: u64,
    /// The level of the priority.
    pub level: u8,
}

impl Memory {
    pub fn new(size: u64, priority: Priority) -> Self {
        Self {
            size,
            level: priority.level(),
        }
    }
}

impl Charge for Memory {
    type Seen = u64;

    #[inline]
    fn check(self, node: &Node, version: LimitsVersion) -> Result<u64, LimitReached> {
        node.memory.check(version, self.size, self.level)
    }

    #[inline]
    fn commit(self, node: &Node, seen: u64) -> bool {
        node.memory.commit(seen, self.size)
    }

    #[inline]
    fn cancel(self, node: &Node) {
        node.memory.cancel(self.size);
    }

    #[inline]
    fn credit(self) -> Option<(Kind, u64)> {
        // A lower priority may use less than the limit, so the nodes must be checked.
        (self.level == u8::MAX).then_some((Kind::Memory, self.size))
    }

    #[cold]
    fn refused(self, node: &Node, reached: LimitReached) -> Error {
        node.refuse(reached, None, self.size, Some(self.level.into()))
    }
}
