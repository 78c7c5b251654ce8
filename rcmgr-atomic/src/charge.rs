//! What nodes are charged with, and how several are charged together.
//!
//! It comes in two rounds. First each node is only looked at, in the order in which they are
//! asked, so that a refusal, the hot path of a server under attack, writes to none. Then it is
//! counted on each, as it was seen; a node that has changed meanwhile is looked at again, and where
//! it refuses now, those before it are taken back.
//!
//! To take a charge back there are two words: what is *cancelled* was never granted, what is
//! *released* was.

use arrayvec::ArrayVec;
use rcmgr_core::{Direction, Error, Priority, Resource, Result, ScopeClass, UsesFd};

use crate::credit::Kind;
use crate::edition::Edition;
use crate::engine::Engine;
use crate::gauge::Over;
use crate::lending::Answer;
use crate::node::Node;
use crate::path::MAX_NODES;
use crate::word::{ConnsWord, StreamsWord};

/// Something that nodes are charged with.
pub trait Charge: Copy {
    /// What a node that has room was seen to use.
    type Seen: Copy;

    /// Looks whether the node has room.
    fn look(self, node: &Node, edition: Edition) -> Result<Self::Seen, Over>;

    /// Counts it on the node, if that is still as it was seen.
    fn count(self, node: &Node, seen: Self::Seen) -> bool;

    /// Takes it back from a node on which it was counted.
    fn cancel(self, node: &Node);

    /// The credit that does for it on a whole path, if any does.
    #[inline]
    fn credit(self) -> Option<(Kind, u64)> {
        None
    }

    /// Counts the node's refusal, and says why in words.
    fn refused(self, node: &Node, over: Over) -> Error;
}

/// Charges all nodes, or none: then it says which refused first.
///
/// The limits are those of `edition`: whether that counts still is for the caller to see, at the
/// end of all that depends on it.
#[inline]
pub fn charge_all<'a, C: Charge>(
    nodes: impl Iterator<Item = &'a Node> + Clone,
    edition: Edition,
    charge: C,
) -> Result<(), (&'a Node, Over)> {
    let mut seen = ArrayVec::<C::Seen, MAX_NODES>::new();
    for node in nodes.clone() {
        seen.push(charge.look(node, edition).map_err(|over| (node, over))?);
    }
    for (at, (node, &seen)) in nodes.clone().zip(&seen).enumerate() {
        if charge.count(node, seen) {
            continue;
        }
        if let Err(over) = charge_one(node, edition, charge) {
            cancel_all(nodes.take(at), charge);
            return Err((node, over));
        }
    }
    Ok(())
}

/// Looks and counts until one or the other decides.
#[cold]
fn charge_one<C: Charge>(node: &Node, edition: Edition, charge: C) -> Result<(), Over> {
    loop {
        let seen = charge.look(node, edition)?;
        if charge.count(node, seen) {
            return Ok(());
        }
    }
}

/// Charges all nodes, or none, under the edition that counts: the error names the first node that
/// refused.
#[inline]
pub fn charge_now<'a, C: Charge>(
    engine: &Engine,
    nodes: impl Iterator<Item = &'a Node> + Clone,
    charge: C,
) -> Result<()> {
    let editions = engine.editions();
    loop {
        let edition = editions.now();
        let charged = charge_all(nodes.clone(), edition, charge);
        match (charged, editions.still(edition)) {
            (Ok(()), true) => return Ok(()),
            (Ok(()), false) => cancel_all(nodes.clone(), charge),
            (Err((node, over)), true) => refuse(engine, node, over, charge, edition)?,
            (Err(_), false) => {}
        }
    }
}

/// Whether there may be credit on a node of what it has no room for.
#[inline]
pub fn may_have_credit(node: &Node, over: Over) -> bool {
    Kind::of(over.resource)
        .iter()
        .any(|&kind| node.lent(kind) > 0)
}

/// A node has no room, under an edition that counts.
///
/// # Errors
///
/// Its refusal, unless there was credit that has been called in, or limits have changed meanwhile:
/// then it is to be asked again.
#[inline]
pub fn refuse<C: Charge>(
    engine: &Engine,
    node: &Node,
    over: Over,
    charge: C,
    edition: Edition,
) -> Result<()> {
    let mut over = over;
    if may_have_credit(node, over) {
        match engine.lending().look_for_room(node, over, charge, edition) {
            Answer::AskAgain => return Ok(()),
            Answer::Refused(now) => over = now,
        }
    } else if !Kind::of(over.resource).is_empty() {
        // Asked again: another may have called credit in since the node was asked last, so that it
        // has room, or none of something else.
        match charge.look(node, edition) {
            Err(now) if !may_have_credit(node, now) => over = now,
            _ => return Ok(()),
        }
    }
    // The node was looked at again: whether that counts is for a last look to say, too.
    if engine.editions().still(edition) {
        return Err(charge.refused(node, over));
    }
    Ok(())
}

/// Takes a charge back from all nodes.
#[inline]
pub fn cancel_all<'a, C: Charge>(nodes: impl Iterator<Item = &'a Node>, charge: C) {
    nodes.for_each(|node| charge.cancel(node));
}

/// Memory.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// In bytes.
    pub size: u64,
    /// The priority's level.
    pub level: u8,
}

impl Memory {
    pub fn new(size: u64, priority: Priority) -> Self {
        Self {
            size,
            level: priority.level(),
        }
    }
}

impl Charge for Memory {
    type Seen = u64;

    #[inline]
    fn look(self, node: &Node, edition: Edition) -> Result<u64, Over> {
        node.memory.look(edition, self.size, self.level)
    }

    #[inline]
    fn count(self, node: &Node, seen: u64) -> bool {
        node.memory.count(seen, self.size)
    }

    #[inline]
    fn cancel(self, node: &Node) {
        node.memory.cancel(self.size);
    }

    #[inline]
    fn credit(self) -> Option<(Kind, u64)> {
        // Lower priorities may have less than the limit: for them the nodes are asked.
        (self.level == u8::MAX).then_some((Kind::Memory, self.size))
    }

    #[cold]
    fn refused(self, node: &Node, over: Over) -> Error {
        node.refuse(over, None, self.size, Some(self.level.into()))
    }
}

/// A new leaf's stream or connection.
pub trait SlotCharge: Charge {
    /// Whether the total of what the leaf is none of is within its limit.
    fn look_at_the_other_total(node: &Node, edition: Edition) -> Result<(), Over>;

    /// Whether a refusal is about what the leaf is one of.
    fn is_about(resource: Resource) -> bool;
}

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
    fn look(self, node: &Node, edition: Edition) -> Result<StreamsWord, Over> {
        node.streams.look(edition, self.direction, self.count)
    }

    #[inline]
    fn count(self, node: &Node, seen: StreamsWord) -> bool {
        node.streams.count(seen, self.direction, self.count)
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
    fn refused(self, node: &Node, over: Over) -> Error {
        node.refuse(over, Some(self.direction), self.count, None)
    }
}

impl SlotCharge for Streams {
    #[inline]
    fn look_at_the_other_total(node: &Node, edition: Edition) -> Result<(), Over> {
        match node.class() {
            // No connection has a protocol: there the total is zero.
            ScopeClass::Protocol | ScopeClass::ProtocolPeer => Ok(()),
            _ => node.conns.look_at_total(edition),
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
    fn look(self, node: &Node, edition: Edition) -> Result<ConnsWord, Over> {
        node.conns.look(edition, self.0, self.1)
    }

    #[inline]
    fn count(self, node: &Node, seen: ConnsWord) -> bool {
        node.conns.count(seen, self.0, self.1)
    }

    #[inline]
    fn cancel(self, node: &Node) {
        node.conns.cancel(self.0, self.1);
    }

    #[cold]
    fn refused(self, node: &Node, over: Over) -> Error {
        node.refuse(over, Some(self.0), 1, None)
    }
}

impl SlotCharge for OneConnection {
    #[inline]
    fn look_at_the_other_total(node: &Node, edition: Edition) -> Result<(), Over> {
        node.streams.look_at_total(edition)
    }

    fn is_about(resource: Resource) -> bool {
        !Streams::is_about(resource)
    }
}

/// All that a leaf holds, which moves under a node: its memory, then streams, then connections.
///
/// Every total is checked, also of what the leaf has none of: a node that is over a lowered limit
/// takes nobody in.
#[derive(Debug, Clone, Copy)]
pub struct WholeLeaf<S> {
    pub slot: S,
    /// The slot was taken out of the credit of the next path: it is charged already, and within the
    /// limits.
    pub slot_taken: bool,
    /// In bytes.
    pub memory: u64,
}

impl<S: SlotCharge> WholeLeaf<S> {
    fn all_memory(self) -> Memory {
        Memory::new(self.memory, Priority::Always)
    }

    #[inline]
    fn look_for_slot(self, node: &Node, edition: Edition) -> Result<Option<S::Seen>, Over> {
        if self.slot_taken {
            return Ok(None);
        }
        self.slot.look(node, edition).map(Some)
    }

    fn cancel_memory(self, node: &Node) {
        if self.memory > 0 {
            self.all_memory().cancel(node);
        }
    }
}

impl<S: SlotCharge> Charge for WholeLeaf<S> {
    type Seen = (u64, Option<S::Seen>);

    #[inline]
    fn look(self, node: &Node, edition: Edition) -> Result<Self::Seen, Over> {
        let memory = self.all_memory().look(node, edition)?;
        // Streams are asked before connections, whichever of them the leaf is one of.
        if S::is_about(Resource::Streams) {
            let slot = self.look_for_slot(node, edition)?;
            S::look_at_the_other_total(node, edition)?;
            Ok((memory, slot))
        } else {
            S::look_at_the_other_total(node, edition)?;
            Ok((memory, self.look_for_slot(node, edition)?))
        }
    }

    #[inline]
    fn count(self, node: &Node, (memory, slot): Self::Seen) -> bool {
        // Most leaves move before they hold memory: then it was enough to look.
        if self.memory > 0 && !self.all_memory().count(node, memory) {
            return false;
        }
        let counted = slot.is_none_or(|slot| self.slot.count(node, slot));
        if !counted {
            self.cancel_memory(node);
        }
        counted
    }

    #[inline]
    fn cancel(self, node: &Node) {
        if !self.slot_taken {
            self.slot.cancel(node);
        }
        self.cancel_memory(node);
    }

    #[cold]
    fn refused(self, node: &Node, over: Over) -> Error {
        match over.resource {
            Resource::Memory => self.all_memory().refused(node, over),
            resource if S::is_about(resource) => self.slot.refused(node, over),
            // Only the total was asked about, for none more.
            _ => node.refuse(over, None, 0, None),
        }
    }
}
