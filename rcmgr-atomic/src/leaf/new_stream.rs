//! What a new stream asks before its path is found or made.

use std::ptr;
use std::sync::Arc;

use rcmgr_core::{Direction, Error, PeerId, Result};

use super::open::check_own_limit;
use crate::charge::{Charge, Refused, Streams};
use crate::counters::Slot;
use crate::engine::{Engine, Path};
use crate::lending::may_have_credit;
use crate::lifetime::Use;
use crate::node::Node;
use crate::path::PathKind;

/// The path of a new stream with this peer and nothing else, with the caller as a user.
///
/// # Errors
///
/// The refusal of the stream, if checks alone decide it: then nothing is made for it, and no path
/// gets a user.
pub fn stream_path(engine: &Arc<Engine>, peer: &PeerId, direction: Direction) -> Result<Use<Path>> {
    ask_refused_peer(engine, peer, direction)?;
    let kind = PathKind::Stream;
    // One lookup finds the peer, checks the nodes that the stream would be charged on, and joins
    // its path.
    let found = engine.peers().read(peer, |found| {
        let peer = &**found.node();
        let nodes = [peer, engine.transient(), engine.system()];
        let Some((node, refused)) = check_new_stream(engine, nodes, direction, || true) else {
            return Ok(found.join_path(kind));
        };
        if ptr::eq(node, peer) {
            engine.refused_peers().note(found.node());
        }
        Err(refused)
    });
    let path = found.transpose()?.flatten();
    Ok(path.unwrap_or_else(|| engine.peer_path(kind, peer)))
}

/// Checks whether a new stream is refused by a peer that refused the last streams of this thread.
///
/// # Errors
///
/// The refusal.
#[inline(always)]
pub fn ask_refused_peer(engine: &Engine, peer: &PeerId, direction: Direction) -> Result<()> {
    let refused = engine.refused_peers().ask_again(peer, |node| {
        // Checked last: while it has a user, it is the node that is in the map.
        let is_in_map = || !node.users().is_none();
        check_new_stream(engine, [node], direction, is_in_map).map(|(_, refused)| refused)
    });
    refused.map_or(Ok(()), Err)
}

/// The refusal of a new stream by one of these nodes, and the node, if checks alone decide it. So
/// refused streams, of many threads at once, write to nothing that these threads share. The refusal
/// counts only if `counts` says so after the checks.
#[inline(always)]
fn check_new_stream<'a>(
    engine: &Engine,
    nodes: impl IntoIterator<Item = &'a Node>,
    direction: Direction,
    counts: impl FnOnce() -> bool,
) -> Option<(&'a Node, Error)> {
    if engine.recorder().is_some() {
        return None; // The stream is charged and refused later, with a record.
    }
    let (slot, charge) = (Slot::Stream(direction), Streams::one(direction));
    let version = engine.versions().get();
    let check = |node| charge.check(node, version).err();
    let (node, reached) = nodes
        .into_iter()
        .find_map(|node| check(node).map(|reached| (node, reached)))?;
    // The own limit of the stream comes first. And credit must be recalled, if there may be some:
    // that needs a user of the path.
    let own = engine.leaf_class(slot).limit.check(version, slot);
    if own.is_err() || may_have_credit(node, reached) {
        return None;
    }
    // The node is checked again: another thread may have recalled credit since the last check.
    let reached = check(node).filter(|&reached| !may_have_credit(node, reached))?;
    let counts = counts() && engine.versions().is_current(version);
    counts.then(|| (node, charge.refused(node, reached)))
}

/// Checks whether a new stream would be refused by its own limit or by the first node of its path,
/// before anything is made for the names that it comes with. The caller is a user of a path through
/// that node.
///
/// # Errors
///
/// The refusal.
pub fn ask_first(engine: &Engine, first: &Node, direction: Direction) -> Result<()> {
    if engine.recorder().is_some() {
        return Ok(()); // As above.
    }
    let (slot, charge) = (Slot::Stream(direction), Streams::one(direction));
    engine.under_current_limits(|version| {
        check_own_limit(engine, version, slot)?;
        let checked = charge.check(first, version).map(drop);
        checked.map_err(|reached| engine.settle(Refused::Node(first, reached), charge, version))
    })
}
