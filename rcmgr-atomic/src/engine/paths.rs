//! The paths of an engine: how they are found and made, and how the last use of one ends.

use std::sync::Arc;

use rcmgr_core::PeerId;

use super::state::{Engine, Path};
use crate::lifetime::{Shared, Use};
use crate::node::{Node, Nodes, is_transient, rank};
use crate::path::{Home, PathKind};
use crate::waiting::Waiters;

/// The path that a branch is looked up on.
#[derive(Clone, Copy)]
pub struct FromPath<'a> {
    path: &'a Shared<Path>,
    /// Whether the caller may hand its use of the path over to the branch.
    leaves: bool,
}

impl<'a> FromPath<'a> {
    /// The path of a caller that keeps its use of it.
    pub fn user(path: &'a Shared<Path>) -> Self {
        let leaves = false;
        Self { path, leaves }
    }

    /// The path of a leaf that moves to the branch. Its use of the path has this tag.
    pub fn leaf(path: &'a Shared<Path>, tag: u8) -> Self {
        let leaves = Use::<Path>::may_be_handed_over(tag);
        Self { path, leaves }
    }
}

impl Engine {
    /// The path of a leaf with this peer and nothing else, with the caller as a user.
    pub fn peer_path(self: &Arc<Self>, kind: PathKind, peer: &PeerId) -> Use<Path> {
        let make = |node: &Arc<Node>| {
            let mut nodes = Nodes::new();
            nodes.push(node.clone());
            nodes.extend((kind == PathKind::Stream).then(|| self.transient().clone()));
            nodes.push(match kind {
                PathKind::AllowlistedConnection => self.allowlisted_system().clone(),
                _ => self.system().clone(),
            });
            Path::of_peer(self.clone(), kind, nodes, self.lending.new_lend_state())
        };
        self.peers
            .acquire_path(kind, peer, || self.make_peer(peer), make)
    }

    /// The branch of `from` with a protocol. `None` only if the caller was a user of `from` and is
    /// not any longer.
    pub fn protocol_path(self: &Arc<Self>, from: FromPath<'_>, id: &str) -> Option<Use<Path>> {
        let FromPath { path, leaves } = from;
        path.branch(id, leaves, |from| self.make_branch(from, self.protocol(id)))
    }

    /// The branch of `from` with a service. `None` only if the caller was a user of `from` and is
    /// not any longer.
    pub fn service_path(self: &Arc<Self>, from: FromPath<'_>, name: &str) -> Option<Use<Path>> {
        let FromPath { path, leaves } = from;
        path.branch(name, leaves, |from| {
            self.make_branch(from, self.service(name))
        })
    }

    /// The path on which a stream begins that is opened through a connection on the given path.
    /// `None` if the given path has no peer, or no use. While the given path has a use, so has the
    /// result.
    pub fn streams_of<'a>(self: &Arc<Self>, path: &'a Shared<Path>) -> Option<&'a Shared<Path>> {
        // The path with the peer alone. A connection with a service keeps it.
        let path = path
            .from()
            .filter(|from| !from.is_lasting())
            .unwrap_or(path);
        // The thread uses the path meanwhile, so that it is not collected before it has a use of
        // the new path.
        if path.streams().is_none()
            && let Some(path) = path.try_join()
        {
            let peer = path.peer()?.id().peer()?;
            path.set_streams(self.peer_path(PathKind::Stream, &peer));
        }
        path.streams()
    }

    /// The path of a stream that begins on `from`, with a protocol and perhaps a service. `None`
    /// only if the caller was a user of `from` and is not any longer.
    pub fn path_beyond(
        self: &Arc<Self>,
        from: &Shared<Path>,
        protocol: &str,
        service: Option<&str>,
    ) -> Option<Use<Path>> {
        let with_protocol = self.protocol_path(FromPath::user(from), protocol)?;
        match service {
            None => Some(with_protocol),
            Some(service) => self.service_path(FromPath::user(&with_protocol), service),
        }
    }

    /// The path `from` with a protocol or service, and with the share of its peer in that. The
    /// caller hands its use of `node` over.
    // Not inlined, so that the lookup of a branch that is there is.
    #[inline(never)]
    fn make_branch(self: &Arc<Self>, from: Use<Path>, node: Arc<Node>) -> Path {
        let share = from.peer().map(|peer| self.share(&node, peer));
        // A leaf with a protocol or service is not transient any longer. A service proves no peer.
        let is_kept = |node: &&Arc<Node>| !is_transient(node) || self.unproven().is(node);
        let kept = from.nodes().iter().filter(is_kept);
        let mut nodes: Nodes = kept.cloned().chain(share).collect();
        nodes.push(node.clone());
        nodes.sort_by_key(|node| rank(node.class()));
        if node.users().are_several() {
            // Threads of several peers may be refused at once, and a refusal allocates nothing.
            node.spread_refusals();
        }
        Path::branch_of(from, &node, nodes, self.lending.new_lend_state())
    }

    /// The path of a new connection.
    pub fn opened_path(self: &Arc<Self>) -> Use<Path> {
        self.lasting_path(PathKind::Connection, [self.transient(), self.system()])
    }

    /// The path of a new connection that the allowlist lets in.
    pub fn allowlisted_opened_path(self: &Arc<Self>) -> Use<Path> {
        let nodes = [self.allowlisted_transient(), self.allowlisted_system()];
        self.lasting_path(PathKind::AllowlistedConnection, nodes)
    }

    /// The path of a new connection that the allowlist lets in although it knows only peers: whether
    /// the remote is one of them is not proven yet.
    pub fn unproven_opened_path(self: &Arc<Self>) -> Use<Path> {
        let nodes = [
            self.unproven().node(),
            self.allowlisted_transient(),
            self.allowlisted_system(),
        ];
        self.lasting_path(PathKind::AllowlistedConnection, nodes)
    }

    /// A path through nodes that are never collected.
    pub fn lasting_path<'a>(
        self: &Arc<Self>,
        kind: PathKind,
        nodes: impl IntoIterator<Item = &'a Arc<Node>>,
    ) -> Use<Path> {
        let nodes = nodes.into_iter().cloned().collect();
        let lend_state = self.lending.new_lend_state();
        Path::lasting(self.clone(), kind, nodes, lend_state)
            .into_shared()
            .join()
    }
}

impl Home for Engine {
    fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    /// Collects a path whose last use has ended, unless it has a use again. A branch uses the path
    /// that it grew from. So when the last stream of a one-time peer closes, this runs first for
    /// the path with its service, then for that with its protocol, and last for the path of the
    /// peer.
    fn path_unused(path: &Shared<Path>) {
        let engine = path.home();
        // 1. A lasting path is found nowhere: it ends with its holder.
        if path.is_lasting() {
            return;
        }
        // 2. Remove the path from where it is found: a branch from the path that it grew from, the
        //    path of a peer from the entry of the peer. Only one thread succeeds, and only if the
        //    path still has no use. After that, no thread can find it and join it.
        let removed = match path.from() {
            Some(from) => from.remove_branch(path),
            None => engine.peers.remove_path(path),
        };
        if !removed {
            return;
        }
        // 3. Give its credit back to its nodes.
        engine.lending.collected(path);
        // 4. End its uses of nodes. A node without a user is collected. The credit must be back by
        //    then: a collected node holds nothing.
        path.own_nodes().for_each(|node| engine.release_node(node));
        // 5. End its uses of other paths, which may collect these in the same way.
        path.stop_using();
    }
}
