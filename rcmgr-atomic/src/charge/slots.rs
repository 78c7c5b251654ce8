//! Charges of streams and of a connection.

use rcmgr_core::{Direction, Resource, ScopeClass, UsesFd};

use super::charges::{Charge, SlotCharge};
use crate::counters::{Kind, Slot};
use crate::limits::{LimitReached, LimitsVersion};
use crate::node::Node;
use crate::waiting::Ticket;
use crate::words::{ConnsWord, Resources, StreamsWord};

/// Streams in one direction.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    pub direction: Direction,
    pub count: u64,
    pub ticket: Ticket,
}

impl Streams {
    pub const fn one(direction: Direction, ticket: Ticket) -> Self {
        Self {
            direction,
            count: 1,
            ticket,
        }
    }
}

/// One connection, perhaps with a file descriptor.
#[derive(Debug, Clone, Copy)]
pub struct OneConnection {
    pub direction: Direction,
    pub uses_fd: UsesFd,
    pub ticket: Ticket,
}

impl Charge for Streams {
    type Seen = StreamsWord;

    #[inline]
    fn check(self, node: &Node, version: LimitsVersion) -> Result<StreamsWord, LimitReached> {
        node.streams.check(version, self.direction, self.count)
    }

    #[inline]
    fn commit(self, node: &Node, seen: StreamsWord) -> bool {
        node.streams.commit(seen, self.direction, self.count)
    }

    #[inline]
    fn cancel(self, node: &Node) {
        node.streams.cancel(self.direction, self.count);
    }

    #[inline]
    fn credit(self) -> Option<(Kind, u64)> {
        Some((Kind::Streams(self.direction), self.count))
    }

    fn check_alone(self, node: &Node, version: LimitsVersion) -> Result<(), LimitReached> {
        node.streams
            .check_alone(version, self.direction, self.count)
    }

    #[inline]
    fn resources(self) -> Resources {
        Resources::of_stream(self.direction)
    }

    #[inline]
    fn ticket(self) -> Ticket {
        self.ticket
    }

    fn amount(self) -> u64 {
        self.count
    }

    fn slot(self) -> Option<Slot> {
        Some(Slot::Stream(self.direction))
    }
}

impl SlotCharge for Streams {
    #[inline]
    fn check_other_total(node: &Node, version: LimitsVersion) -> Result<(), LimitReached> {
        match node.class() {
            // A connection has no protocol, so the total there is zero.
            ScopeClass::Protocol | ScopeClass::ProtocolPeer => Ok(()),
            _ => node.conns.check_total(version),
        }
    }

    fn is_about(resource: Resource) -> bool {
        matches!(
            resource,
            Resource::Streams | Resource::StreamsInbound | Resource::StreamsOutbound
        )
    }
}

impl Charge for OneConnection {
    type Seen = ConnsWord;

    #[inline]
    fn check(self, node: &Node, version: LimitsVersion) -> Result<ConnsWord, LimitReached> {
        node.conns.check(version, self.direction, self.uses_fd)
    }

    #[inline]
    fn commit(self, node: &Node, seen: ConnsWord) -> bool {
        node.conns.commit(seen, self.direction, self.uses_fd)
    }

    #[inline]
    fn cancel(self, node: &Node) {
        node.conns.cancel(self.direction, self.uses_fd);
    }

    fn check_alone(self, node: &Node, version: LimitsVersion) -> Result<(), LimitReached> {
        node.conns
            .check_alone(version, self.direction, self.uses_fd)
    }

    #[inline]
    fn resources(self) -> Resources {
        Resources::of_connection(self.direction, self.uses_fd)
    }

    #[inline]
    fn ticket(self) -> Ticket {
        self.ticket
    }

    fn amount(self) -> u64 {
        1
    }

    fn slot(self) -> Option<Slot> {
        Some(Slot::Connection(self.direction, self.uses_fd))
    }
}

impl SlotCharge for OneConnection {
    #[inline]
    fn check_other_total(node: &Node, version: LimitsVersion) -> Result<(), LimitReached> {
        node.streams.check_total(version)
    }

    fn is_about(resource: Resource) -> bool {
        !Streams::is_about(resource)
    }
}
