//! Peers by id, and with each the paths of leaves of which only the peer is known, so that a stream
//! that is opened or a connection that learns its peer looks up one thing.
//!
//! As in a [`Registry`](crate::registry::Registry), whoever takes a peer or a path counts as a user
//! of it from within the lookup on, and whoever was the last takes it out, under the shard's lock
//! and only if it still has no user. A path that is here is a user of its peer.

use std::sync::Arc;

use rcmgr_core::PeerId;

use crate::node::Node;
use crate::path::{Path, PathKind};
use crate::shared::{Shared, Use};
use crate::sync::Table;

/// What is known by a peer's id.
struct Peer {
    node: Arc<Node>,
    /// By kind.
    paths: [Option<Shared<Path>>; PathKind::OF_PEERS],
}

/// Peers by id.
pub struct Peers {
    table: Table<PeerId, Peer>,
}

impl Peer {
    fn new(node: Node) -> Self {
        Self {
            node: Arc::new(node),
            paths: Default::default(),
        }
    }

    fn join(&self) -> Arc<Node> {
        self.node.users().add();
        self.node.clone()
    }
}

impl Peers {
    pub fn new() -> Self {
        Self {
            table: Table::new(),
        }
    }

    /// The peer's node, made if absent, with the caller as a user.
    pub fn acquire(&self, id: &PeerId, make: impl FnOnce() -> Node) -> Arc<Node> {
        // The user is added while the entry can't be removed.
        self.table.read(id, Peer::join).unwrap_or_else(|| {
            let make = |_: &PeerId| Peer::new(make());
            self.table.change_or_insert(*id, make, |peer| peer.join())
        })
    }

    /// What `f` makes of the path of this kind, if it is there, while it can't be taken out.
    pub fn look_at_path<R>(
        &self,
        kind: PathKind,
        id: &PeerId,
        f: impl FnOnce(&Shared<Path>) -> R,
    ) -> Option<R> {
        let found = self
            .table
            .read(id, |peer| peer.paths[kind as usize].as_ref().map(f));
        found.flatten()
    }

    /// The path of this kind, made if absent.
    pub fn acquire_path(
        &self,
        kind: PathKind,
        id: &PeerId,
        make_peer: impl FnOnce() -> Node,
        make: impl FnOnce(&Arc<Node>) -> Path,
    ) -> Use<Path> {
        // The user joins while the path can't be taken out.
        self.look_at_path(kind, id, Shared::join)
            .unwrap_or_else(|| {
                let make_peer = |_: &PeerId| Peer::new(make_peer());
                self.table.change_or_insert(*id, make_peer, |peer| {
                    let Peer { node, paths } = peer;
                    let path = paths[kind as usize].get_or_insert_with(|| {
                        node.users().add();
                        Shared::new(make(node))
                    });
                    path.join()
                })
            })
    }

    /// Nobody used the path a moment ago. Whether that took it out, which is for one caller only:
    /// that one says that the path uses the peer no more.
    pub fn remove_path(&self, path: &Shared<Path>) -> bool {
        let Some(id) = path.peer().and_then(|node| node.id().peer()) else {
            return false;
        };
        let removed = self.table.change(&id, |peer| {
            let place = &mut peer.paths[path.kind() as usize];
            // Someone may have found it since, or taken it out, or even made another.
            let unused = |found: &Shared<Path>| found.is(path) && path.is_unused();
            place.take_if(|found| unused(found)).is_some()
        });
        removed == Some(true)
    }

    /// The caller uses the node no more; whether that took it out, which is for one caller only.
    pub fn release(&self, node: &Arc<Node>) -> bool {
        if !node.users().remove() {
            return false;
        }
        let Some(id) = node.id().peer() else {
            return false;
        };
        let unused = |peer: &Peer| Arc::ptr_eq(&peer.node, node) && node.users().is_none();
        self.table.remove_if(&id, unused)
    }

    /// Every peer that is there now.
    pub fn for_each(&self, f: &mut dyn FnMut(&Arc<Node>)) {
        self.table.for_each(|_, peer| f(&peer.node));
    }
}
