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
use rcmgr_core::{Error, Priority, Resource, Result, ScopeClass};

use crate::edition::Edition;
use crate::engine::Engine;
use crate::gauge::Over;
use crate::lending::Answer;
use crate::node::Node;
use crate::path::MAX_NODES;
use crate::slot::Slot;
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

    /// What of it is memory, for which there may be credit to be called in.
    fn memory(self) -> Option<Memory>;

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

/// A node has no room, under an edition that counts.
///
/// # Errors
///
/// Its refusal, unless there was credit that has been called in: then it is to be asked again.
#[cold]
pub fn refuse<C: Charge>(
    engine: &Engine,
    node: &Node,
    over: Over,
    charge: C,
    edition: Edition,
) -> Result<()> {
    let memory = charge
        .memory()
        .filter(|_| over.resource == Resource::Memory);
    let answer = match memory {
        Some(memory) => engine.lending().look_for_room(node, over, memory, edition),
        None => Answer::Refused(over),
    };
    match answer {
        Answer::AskAgain => Ok(()),
        Answer::Refused(over) => Err(charge.refused(node, over)),
    }
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

    fn memory(self) -> Option<Memory> {
        Some(self)
    }

    #[cold]
    fn refused(self, node: &Node, over: Over) -> Error {
        node.refuse(over, None, self.size, Some(self.level.into()))
    }
}

/// What a node that has room for a slot was seen to use.
#[derive(Clone, Copy)]
pub enum SlotSeen {
    Streams(StreamsWord),
    Conns(ConnsWord),
}

/// A new leaf's stream or connection.
impl Charge for Slot {
    type Seen = SlotSeen;

    #[inline]
    fn look(self, node: &Node, edition: Edition) -> Result<SlotSeen, Over> {
        match self {
            Self::Stream(direction) => {
                let seen = node.streams.look(edition, direction);
                seen.map(SlotSeen::Streams)
            }
            Self::Connection(direction, uses_fd) => {
                let seen = node.conns.look(edition, direction, uses_fd);
                seen.map(SlotSeen::Conns)
            }
        }
    }

    #[inline]
    fn count(self, node: &Node, seen: SlotSeen) -> bool {
        match (self, seen) {
            (Self::Stream(direction), SlotSeen::Streams(seen)) => {
                node.streams.count(seen, direction)
            }
            (Self::Connection(direction, uses_fd), SlotSeen::Conns(seen)) => {
                node.conns.count(seen, direction, uses_fd)
            }
            _ => unreachable!("what was seen is of the slot's kind"),
        }
    }

    #[inline]
    fn cancel(self, node: &Node) {
        match self {
            Self::Stream(direction) => node.streams.cancel(direction),
            Self::Connection(direction, uses_fd) => node.conns.cancel(direction, uses_fd),
        }
    }

    fn memory(self) -> Option<Memory> {
        None
    }

    #[cold]
    fn refused(self, node: &Node, over: Over) -> Error {
        node.refuse(over, Some(self.direction()), 1, None)
    }
}

/// All that a leaf holds, which moves under a node: its memory, then streams, then connections.
///
/// Every total is checked, also of what the leaf has none of: a node that is over a lowered limit
/// takes nobody in.
#[derive(Debug, Clone, Copy)]
pub struct WholeLeaf {
    pub slot: Slot,
    /// In bytes.
    pub memory: u64,
}

impl WholeLeaf {
    fn all_memory(self) -> Memory {
        Memory::new(self.memory, Priority::Always)
    }

    fn cancel_memory(self, node: &Node) {
        if self.memory > 0 {
            self.all_memory().cancel(node);
        }
    }
}

impl Charge for WholeLeaf {
    type Seen = (u64, SlotSeen);

    fn look(self, node: &Node, edition: Edition) -> Result<(u64, SlotSeen), Over> {
        let memory = self.all_memory().look(node, edition)?;
        let slot = match self.slot {
            Slot::Stream(_) => {
                let slot = self.slot.look(node, edition)?;
                // No connection has a protocol: there the total is zero.
                if !matches!(
                    node.class(),
                    ScopeClass::Protocol | ScopeClass::ProtocolPeer
                ) {
                    node.conns.look_at_total(edition)?;
                }
                slot
            }
            Slot::Connection(..) => {
                node.streams.look_at_total(edition)?;
                self.slot.look(node, edition)?
            }
        };
        Ok((memory, slot))
    }

    fn count(self, node: &Node, (memory, slot): (u64, SlotSeen)) -> bool {
        // Most leaves move before they hold memory: then it was enough to look.
        if self.memory > 0 && !self.all_memory().count(node, memory) {
            return false;
        }
        let counted = self.slot.count(node, slot);
        if !counted {
            self.cancel_memory(node);
        }
        counted
    }

    fn cancel(self, node: &Node) {
        self.slot.cancel(node);
        self.cancel_memory(node);
    }

    fn memory(self) -> Option<Memory> {
        Some(self.all_memory())
    }

    #[cold]
    fn refused(self, node: &Node, over: Over) -> Error {
        let of_streams = matches!(
            over.resource,
            Resource::Streams | Resource::StreamsInbound | Resource::StreamsOutbound
        );
        match over.resource {
            Resource::Memory => self.all_memory().refused(node, over),
            _ if of_streams == matches!(self.slot, Slot::Stream(_)) => {
                self.slot.refused(node, over)
            }
            // Only the total was asked about, for none more.
            _ => node.refuse(over, None, 0, None),
        }
    }
}
