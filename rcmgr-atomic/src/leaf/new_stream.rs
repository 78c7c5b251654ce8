//! What a new stream checks before its path is found or made, so that a refusal is cheap: a server
//! under attack refuses most streams.

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
use crate::waiting::Ticket;

/// The path of a new stream with this peer and nothing else, with the caller as a user.
///
/// # Errors
///
/// The refusal of the stream, if checks alone decide it: then nothing is made for it, and no path
/// gets a user. Without this error the stream may still be refused when it is charged.
pub fn stream_path(engine: &Arc<Engine>, peer: &PeerId, direction: Direction) -> Result<Use<Path>> {
    // 1. Ask a peer that refused this thread's last streams, without a lookup.
    ask_refused_peer(engine, peer, direction)?;
    // 2. Look the peer up, once: check the nodes that the stream would be charged on, and if they
    //    have room, join the path. Both happen while the entry cannot be removed.
    let kind = PathKind::Stream;
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
    // 3. There is no such peer, or no such path of it: make it.
    Ok(path.unwrap_or_else(|| engine.peer_path(kind, peer)))
}

/// Checks whether a new stream is refused by its peer, if that peer refused the last streams of
/// this thread. It takes no lookup.
///
/// # Errors
///
/// The refusal.
#[inline(always)]
pub fn ask_refused_peer(engine: &Engine, peer: &PeerId, direction: Direction) -> Result<()> {
    let refused = engine.refused_peers().ask_again(peer, |node| {
        // The remembered node may have been removed from the map, and another made in its place.
        // While it has a user, it is the one in the map. So this is checked after its counters.
        let is_in_map = || !node.users().is_none();
        check_new_stream(engine, [node], direction, is_in_map).map(|(_, refused)| refused)
    });
    refused.map_or(Ok(()), Err)
}

/// Looks whether one of these nodes refuses a new stream, and checks alone decide that. Returns the
/// node and the refusal. `None` means that the stream must be charged to know.
///
/// It writes to nothing that threads share. So threads that are refused at once do not slow each
/// other down.
///
/// `counts` is called after the checks. If it says no, the refusal does not count.
#[inline(always)]
fn check_new_stream<'a>(
    engine: &Engine,
    nodes: impl IntoIterator<Item = &'a Node>,
    direction: Direction,
    counts: impl FnOnce() -> bool,
) -> Option<(&'a Node, Error)> {
    // 1. A recorder gets a record of each refusal. That is made where the stream is charged.
    if engine.recorder().is_some() {
        return None;
    }
    // 2. Find the first node that has no room.
    let (slot, charge) = (
        Slot::Stream(direction),
        Streams::one(direction, Ticket::NOW),
    );
    let version = engine.versions().get();
    let check = |node| charge.check(node, version).err();
    let mut is_waited_for = false;
    let (node, reached) = nodes.into_iter().find_map(|node| {
        let refused = check(node).map(|reached| (node, reached));
        is_waited_for =
            is_waited_for || (refused.is_none() && node.is_waited_for(charge.resources()));
        refused
    })?;
    // Requests wait for a node before this one: that node may refuse first.
    if is_waited_for {
        return None;
    }
    // 3. Leave two cases to the charge. The own limit of a stream refuses before any node does. And
    //    if the node may have credit, that is recalled before it refuses: this needs a user of the
    //    path, so that the node is not collected meanwhile.
    let own = engine.leaf_class(slot).limit.check(version, slot);
    if own.is_err() || may_have_credit(node, reached) {
        return None;
    }
    // 4. Check the node again: credit that it had at the first check may have been recalled before
    //    the check for credit. Then it has room now.
    let reached = check(node).filter(|&reached| !may_have_credit(node, reached))?;
    // 5. The refusal counts if the limits are still current after the last check.
    let counts = counts() && engine.versions().is_current(version);
    counts.then(|| (node, charge.refused(node, reached)))
}

/// Checks whether a new stream is refused by its own limit or by the first node of its path, before
/// anything is made for the protocol and the service that it names. The caller is a user of a path
/// through that node.
///
/// # Errors
///
/// The refusal.
pub fn ask_first(engine: &Engine, first: &Node, direction: Direction) -> Result<()> {
    if engine.recorder().is_some() {
        return Ok(()); // As in `check_new_stream`.
    }
    let (slot, charge) = (
        Slot::Stream(direction),
        Streams::one(direction, Ticket::NOW),
    );
    engine.under_current_limits(|version| {
        check_own_limit(engine, version, slot, Ticket::NOW)?;
        let checked = charge.check(first, version).map(drop);
        checked.map_err(|reached| engine.settle(Refused::Node(first, reached), charge, version))
    })
}
