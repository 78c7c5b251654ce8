//! A charge of memory.

use rcmgr_core::{Error, LimitExceeded, Priority, ScopeName};

use super::charges::Charge;
use crate::counters::{Kind, Slot};
use crate::limits::{LimitReached, LimitsVersion};
use crate::node::Node;
use crate::waiting::Ticket;
use crate::words::Resources;

/// Memory.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// In bytes.
    pub size: u64,
    /// The level of the priority.
    pub level: u8,
    pub ticket: Ticket,
}

impl Memory {
    pub fn new(size: u64, priority: Priority) -> Self {
        Self {
            size,
            level: priority.level(),
            ticket: Ticket::NOW,
        }
    }

    /// The same, for a request with this ticket.
    pub fn with_ticket(self, ticket: Ticket) -> Self {
        Self { ticket, ..self }
    }

    /// The error of a leaf or span whose own limit has no room.
    #[cold]
    pub fn limit_exceeded(self, scope: ScopeName, reached: LimitReached) -> Error {
        LimitExceeded {
            scope,
            resource: reached.resource,
            direction: None,
            requested: self.size,
            used: reached.used,
            limit: reached.limit,
            priority: Some(self.level.into()),
        }
        .into()
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
        Some((Kind::Memory, self.size))
    }

    fn check_alone(self, node: &Node, version: LimitsVersion) -> Result<(), LimitReached> {
        node.memory.check_alone(version, self.size, self.level)
    }

    #[inline]
    fn resources(self) -> Resources {
        Resources::MEMORY
    }

    #[inline]
    fn ticket(self) -> Ticket {
        self.ticket
    }

    #[inline]
    fn level(self) -> u8 {
        self.level
    }

    fn amount(self) -> u64 {
        self.size
    }

    fn slot(self) -> Option<Slot> {
        None
    }
}
