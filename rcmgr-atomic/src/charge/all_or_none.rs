//! How several nodes are charged as one.
//!
//! A charge takes two rounds. The first round checks each node in order. A refusal, the hot path of
//! a server under attack, writes to none of them. The second round commits the charge on each node,
//! if its usage has not changed since the check. A node whose usage has changed is checked again.
//! If it refuses now, the charge is cancelled on the nodes before it.

use arrayvec::ArrayVec;

use super::charges::Charge;
use super::refused::Refused;
use crate::limits::{LimitReached, LimitsVersion};
use crate::node::{MAX_NODES, Node};
use crate::sync::Pause;
use crate::waiting::Waiters;

/// Whether other threads changed a node while it was charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contention {
    None,
    Some,
}

/// Charges all nodes or none, under the limits of `version`. The caller must check at the end
/// whether that version is still current.
///
/// # Errors
///
/// [`Refused::Node`] names the first node that refused.
#[inline]
pub fn charge_all<'a, C: Charge>(
    nodes: impl Iterator<Item = &'a Node> + Clone,
    version: LimitsVersion,
    charge: C,
    waiters: &Waiters,
) -> Result<Contention, Refused<'a>> {
    let mut contention = Contention::None;
    // 1. Check each node, and keep the usage that the check saw.
    let mut seen = ArrayVec::<C::Seen, MAX_NODES>::new();
    for node in nodes.clone() {
        let used = charge.check(node, version);
        seen.push(used.map_err(|reached| Refused::Node(node, reached))?);
    }
    // 2. Commit on each node.
    for (at, (node, &seen)) in nodes.clone().zip(&seen).enumerate() {
        if charge.commit(node, seen) {
            continue;
        }
        // The usage of this node changed since the check: check it again.
        contention = Contention::Some;
        if let Err(reached) = charge_one(node, version, charge) {
            // It has no room now. The nodes before it are charged already: take that back.
            cancel_all(nodes.take(at), charge, waiters);
            return Err(Refused::Node(node, reached));
        }
    }
    Ok(contention)
}

/// Checks and commits until the node is charged or refuses. After each failure it pauses twice as
/// long, within a bound: a thread that looks again at once takes the cache line away from the next one
/// that would have succeeded.
#[cold]
fn charge_one<C: Charge>(
    node: &Node,
    version: LimitsVersion,
    charge: C,
) -> Result<(), LimitReached> {
    let mut pause = Pause::new();
    loop {
        pause.longer();
        let seen = charge.check(node, version)?;
        if charge.commit(node, seen) {
            return Ok(());
        }
    }
}

/// Takes a charge back from all nodes. Another request may have been refused for the lack of this
/// room, so those that wait are woken.
#[inline]
pub fn cancel_all<'a, C: Charge>(
    nodes: impl Iterator<Item = &'a Node> + Clone,
    charge: C,
    waiters: &Waiters,
) {
    nodes.clone().for_each(|node| charge.cancel(node));
    waiters.released(nodes, charge.resources());
}
