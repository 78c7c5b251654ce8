//! Peers by id. Each has its node, and the paths of leaves with that peer and nothing else. So a
//! stream that is opened by a peer id, or a connection that learns its peer, looks up one entry.
//!
//! As in a [`Registry`](crate::node::Registry), a thread becomes a user of a node or path during
//! the lookup. The last user removes it, under the lock of the shard and only if it still has no
//! user. A path in an entry is a user of the node there.

use std::sync::Arc;

use rcmgr_core::PeerId;

use super::hot_paths::HotPaths;
use super::kind::PathKind;
use super::shared_path::{Home, Path};
use crate::lifetime::{Shared, Use};
use crate::node::Node;
use crate::sync::Table;

/// Peers by id.
pub struct Peers<H: Home> {
    table: Table<PeerId, Peer<H>>,
    /// For each shard of the table, the paths in it that threads look up at once. They change under the lock of
    /// the shard.
    hot: Box<[HotPaths<Key, Path<H>>]>,
}

type Key = (PathKind, PeerId);

/// The entry of a peer: its node and its paths.
pub struct Peer<H: Home> {
    node: Arc<Node>,
    /// By kind.
    paths: [Option<Shared<Path<H>>>; PathKind::OF_PEERS],
}

impl<H: Home> Peer<H> {
    fn new(node: Node) -> Self {
        Self {
            node: node.into_shared(),
            paths: Default::default(),
        }
    }

    fn join(&self) -> Arc<Node> {
        self.node.users().add();
        self.node.clone()
    }

    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The path of this kind, with the caller as a user, if there is one. The caller holds the lock of the
    /// entry.
    pub fn join_path(&self, kind: PathKind) -> Option<Use<Path<H>>> {
        let path = self.paths[kind as usize].as_ref();
        path.map(|path| path.join_in_entry())
    }

    /// Adds the path of this kind to the hot ones, if it has shards for its uses, because threads contend for it.
    /// Other threads only met in the table. The caller holds the lock of the entry.
    #[cold]
    fn add_hot(&self, kind: PathKind, id: &PeerId, hot: &HotPaths<Key, Path<H>>) {
        let path = self.paths[kind as usize].as_ref();
        if let Some(path) = path.filter(|path| path.credit().is_some()) {
            hot.add(&(kind, *id), path);
        }
    }

    /// The path of this kind, made if absent, with the caller as a user.
    fn path_or_insert(
        &mut self,
        kind: PathKind,
        make: impl FnOnce(&Arc<Node>) -> Path<H>,
    ) -> Use<Path<H>> {
        let Self { node, paths } = self;
        let path = &mut paths[kind as usize];
        if let Some(path) = path {
            return path.join_in_entry();
        }
        node.users().add();
        let path = path.insert(make(node).into_shared());
        // The path of a one-time peer has no other use, and then its word says so.
        path.join()
    }
}

impl<H: Home> Peers<H> {
    pub fn new() -> Self {
        let table = Table::new();
        let hot = (0..table.shards()).map(|_| HotPaths::new()).collect();
        Self { table, hot }
    }

    /// The node of the peer, made if absent, with the caller as a user.
    pub fn acquire(&self, id: &PeerId, make: impl FnOnce() -> Node) -> Arc<Node> {
        // The user is added while the entry cannot be removed.
        self.table.read(id, Peer::join).unwrap_or_else(|| {
            let make = |_: &PeerId| Peer::new(make());
            self.table.change_or_insert(*id, make, |peer| peer.join())
        })
    }

    /// The result of `f` for the peer, if it is there. Meanwhile it is not removed.
    #[inline]
    pub fn read<R>(&self, id: &PeerId, f: impl FnOnce(&Peer<H>) -> R) -> Option<R> {
        self.table.read(id, f)
    }

    /// The path of this kind, with the caller as a user. The path, and its peer, are made if
    /// absent.
    pub fn acquire_path(
        &self,
        kind: PathKind,
        id: &PeerId,
        make_peer: impl FnOnce() -> Node,
        make: impl FnOnce(&Arc<Node>) -> Path<H>,
    ) -> Use<Path<H>> {
        let place = self.table.place(id);
        let hot = &self.hot[place.shard()];
        // 1. Other threads look it up, too: take no lock.
        if let Some(found) = hot.find(|known| known.0 == kind && known.1 == *id) {
            return found;
        }
        // 2. Look it up in the table.
        let found = place.try_change(|peer| peer.join_path(kind));
        // 3. The lock was taken. So that the next lookups need none, add the path to the hot ones.
        let found = found.unwrap_or_else(|| {
            place.change(|peer| {
                peer.add_hot(kind, id, hot);
                peer.join_path(kind)
            })
        });
        let found = found.flatten();
        found.unwrap_or_else(|| self.path_or_insert(kind, id, make_peer, make))
    }

    /// The same, where there was no such path a moment ago.
    // Not part of its caller, whose frame stays small.
    #[inline(never)]
    fn path_or_insert(
        &self,
        kind: PathKind,
        id: &PeerId,
        make_peer: impl FnOnce() -> Node,
        make: impl FnOnce(&Arc<Node>) -> Path<H>,
    ) -> Use<Path<H>> {
        let make_peer = |_: &PeerId| Peer::new(make_peer());
        let path = |peer: &mut Peer<H>| peer.path_or_insert(kind, make);
        self.table.change_or_insert(*id, make_peer, path)
    }

    /// Removes a path that had no use a moment ago. Returns whether that removed it: true for one
    /// caller only, which must end the use of the node by the path.
    pub fn remove_path(&self, path: &Shared<Path<H>>) -> bool {
        let Some(id) = path.peer().and_then(|node| node.id().peer()) else {
            return false;
        };
        let place = self.table.place(&id);
        let removed = place.change(|peer| {
            let path_of_kind = &mut peer.paths[path.kind() as usize];
            // Meanwhile another thread may have found the path again, removed it, or even made
            // another in its place.
            let is_unused = |found: &Shared<Path<H>>| found.is(path) && path.end_if_unused();
            let removed = path_of_kind.take_if(|found| is_unused(found)).is_some();
            if removed {
                self.hot[place.shard()].remove(path);
            }
            removed
        });
        removed == Some(true)
    }

    /// Ends a use of the node by the caller. Returns whether that removed the peer: true for one
    /// caller only.
    pub fn release(&self, node: &Arc<Node>) -> bool {
        if !node.users().remove() {
            return false;
        }
        let Some(id) = node.id().peer() else {
            return false;
        };
        // Meanwhile another thread may have found the node again, removed it, or even made another
        // of this id.
        let is_unused = |peer: &Peer<H>| Arc::ptr_eq(&peer.node, node) && node.users().is_none();
        self.table.remove_if(&id, is_unused)
    }

    /// Calls `f` for every peer that is there now.
    pub fn for_each(&self, f: &mut dyn FnMut(&Arc<Node>)) {
        self.table.for_each(|_, peer| f(&peer.node));
    }
}
