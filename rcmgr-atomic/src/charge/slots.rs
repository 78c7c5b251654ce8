//! Charges of streams and of a connection.

use rcmgr_core::{Direction, Error, Resource, ScopeClass, UsesFd};

use super::charges::{Charge, SlotCharge};
use crate::counters::{Kind, Slot};
use crate::limits::{LimitReached, LimitsVersion};
use crate::node::Node;
use crate::words::{ConnsWord, StreamsWord};

/// Streams in one direction.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    pub direction: Direction,
    pub count: u64,
}

impl Streams {
    pub const fn one(direction: Direction) -> Self {
        Self {
            direction,
            count: 1,
        }
    }
}

/// One connection, perhaps with a file descriptor.
#[derive(Debug, Clone, Copy)]
pub struct OneConnection(pub Direction, pub UsesFd);

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

    #[cold]
    fn refused(self, node: &Node, reached: LimitReached) -> Error {
        let slot = Slot::Stream(self.direction);
        node.refuse(reached, Some(slot), self.count, None)
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
        node.conns.check(version, self.0, self.1)
    }

    #[inline]
    fn commit(self, node: &Node, seen: ConnsWord) -> bool {
        node.conns.commit(seen, self.0, self.1)
    }

    #[inline]
    fn cancel(self, node: &Node) {
        node.conns.cancel(self.0, self.1);
    }

    #[cold]
    fn refused(self, node: &Node, reached: LimitReached) -> Error {
        let slot = Slot::Connection(self.0, self.1);
        node.refuse(reached, Some(slot), 1, None)
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
