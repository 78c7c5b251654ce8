//! The nodes of an engine, by name.

use std::sync::Arc;

use rcmgr_core::{PeerId, ScopeId};

use super::record::Record;
use super::state::Engine;
use crate::limits::LimitsVersion;
use crate::node::{Node, is_collected};

impl Engine {
    /// The node of the service, which lives as long as the engine.
    pub fn service(&self, name: &str) -> Arc<Node> {
        self.services.read(name, Arc::clone).unwrap_or_else(|| {
            let make = |name: &Arc<str>| {
                self.make(ScopeId::Service(name.clone()), true)
                    .into_shared()
            };
            self.services
                .change_or_insert(name.into(), make, |node| node.clone())
        })
    }

    /// The node of the protocol, with the caller as a user.
    pub fn protocol(&self, id: &str) -> Arc<Node> {
        self.protocols.acquire(
            id,
            || id.into(),
            |id| self.make(ScopeId::Protocol(id.clone()), true),
        )
    }

    /// The node of the peer, with the caller as a user.
    pub fn peer(&self, id: &PeerId) -> Arc<Node> {
        self.peers.acquire(id, || self.make_peer(id))
    }

    pub(super) fn make_peer(&self, id: &PeerId) -> Node {
        self.make(ScopeId::Peer(*id), true)
    }

    /// The share of a peer in a service or protocol, with the caller as a user.
    pub(super) fn share(&self, of: &Node, peer: &Node) -> Arc<Node> {
        let id = match (of.id(), peer.id()) {
            (ScopeId::Service(name), ScopeId::Peer(peer)) => {
                ScopeId::ServicePeer(name.clone(), *peer)
            }
            (ScopeId::Protocol(id), ScopeId::Peer(peer)) => {
                ScopeId::ProtocolPeer(id.clone(), *peer)
            }
            (of, peer) => unreachable!("{peer} has no share of {of}"),
        };
        self.shares
            .acquire(&id, || id.clone(), |id| self.make(id.clone(), false))
    }

    /// A node with the limits in force. The caller holds the lock of the shard that the node goes
    /// into: a change of limits that the node does not see yet visits the shard later, and finds
    /// the node.
    fn make(&self, id: ScopeId, under_system: bool) -> Node {
        let parent = under_system.then(|| self.system().clone());
        let limits = LimitsVersion::FOR_EACH_SLOT.map(|version| self.limit_of(&id, version));
        Node::new(id, parent, &limits)
    }

    /// One more user of a node that has one already.
    pub fn retain_node(&self, node: &Node) {
        // The other nodes are never collected, and are on many paths: counting their users would
        // only make threads contend.
        if is_collected(node.class()) {
            node.users().add();
        }
    }

    /// One more user of a node, for a caller that knows only that it had one a moment ago. False if
    /// it has none.
    pub fn try_retain_node(&self, node: &Node) -> bool {
        !is_collected(node.class()) || node.users().try_add()
    }

    /// Ends a use of the node by the caller. The last use removes the node from its registry.
    /// (System, transient and services stay.)
    pub fn release_node(&self, node: &Arc<Node>) {
        // 1. End the use. If it was the last, remove the node: under the lock of its entry, and
        //    only if no thread has found it meanwhile. Only one thread removes it.
        let removed = match node.id() {
            ScopeId::Peer(_) => self.peers.release(node),
            ScopeId::Protocol(id) => self.protocols.release(&**id, node),
            id @ (ScopeId::ServicePeer(..) | ScopeId::ProtocolPeer(..)) => {
                self.shares.release(id, node)
            }
            _ => false,
        };
        // 2. The node is collected: record that, and keep its refusals for its class and by its name. (A late
        //    reservation on a leaf that was closed meanwhile may still be refused by this node.
        //    That refusal is not counted.)
        if removed {
            self.record(|| Record::collected(node));
            let (class, refusals) = (node.class(), node.refusals());
            self.class_refusals().past(class).add(refusals);
            self.past_refusers().add(node.id(), refusals);
            let dry_run = self.dry_run().refusals();
            dry_run.past(class).add(node.dry_run.refused());
        }
    }
}
