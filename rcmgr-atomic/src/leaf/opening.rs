//! What a new leaf is asked, and what it is charged with.

use rcmgr_core::{Direction, Error, LimitExceeded, Result, ScopeId, ScopeName};

use crate::charge::{Charge, OneConnection, SlotCharge, Streams, may_have_credit, refuse};
use crate::engine::Engine;
use crate::node::Node;
use crate::path::Path;
use crate::record::{Operation, Record};
use crate::shared::{Shared, Use};
use crate::slot::Slot;

/// Charges a new leaf, if its own limit and the path have room.
///
/// A refusal, the hot path of a server under attack, touches no count of users: the caller may know
/// only that the path had a user a moment ago, and [joins](join_charged) afterwards.
///
/// # Errors
///
/// If there is no room: then nothing is charged.
#[inline(always)]
pub fn charge_new(path: &Shared<Path>, slot: Slot) -> Result<()> {
    match slot {
        Slot::Stream(direction) => charge_new_as(path, slot, Streams::one(direction)),
        Slot::Connection(direction, fd) => charge_new_as(path, slot, OneConnection(direction, fd)),
    }
}

/// A user of a path that is charged with a new leaf already. If there is none any more, the charge is
/// taken back: the nodes may be gone from the maps by now, and what was charged on them has made no
/// difference to anyone.
#[inline]
pub fn join_charged(path: &Shared<Path>, slot: Slot) -> Option<Use<Path>> {
    let user = path.try_join();
    if user.is_none() {
        match slot {
            Slot::Stream(direction) => path.cancel(Streams::one(direction)),
            Slot::Connection(direction, fd) => path.cancel(OneConnection(direction, fd)),
        }
    }
    user
}

#[inline(always)]
fn charge_new_as(path: &Shared<Path>, slot: Slot, charge: impl SlotCharge) -> Result<()> {
    let engine = path.engine();
    let (class, editions) = (engine.leaf_class(slot), engine.editions());
    loop {
        let edition = editions.now();
        if let Err(over) = class.limit.check(edition, slot) {
            if editions.still(edition) {
                let refused = class.refused(over, slot);
                tell_refused(path, slot, &refused);
                return Err(refused);
            }
            continue;
        }
        match (path.charge(edition, charge), editions.still(edition)) {
            (Ok(()), true) => return Ok(()),
            (Ok(()), false) => path.cancel(charge),
            (Err((node, over)), true) => refuse(engine, node, over, charge, edition)
                .inspect_err(|refused| tell_refused(path, slot, refused))?,
            (Err(_), false) => {}
        }
    }
}

/// Tells whoever records it that a leaf was refused.
#[inline]
fn tell_refused(path: &Shared<Path>, slot: Slot, refused: &Error) {
    path.engine().record_refusal(refused, || {
        let number = match refused {
            // It was named.
            Error::LimitExceeded(LimitExceeded {
                scope:
                    ScopeName {
                        scope: ScopeId::Connection(number) | ScopeId::Stream(number),
                        ..
                    },
                ..
            }) => *number,
            _ => path.engine().leaf_class(slot).numbers.next(),
        };
        Record::of_leaf(Operation::Open, path, slot, number)
    });
}

/// The refusal of a new stream by one of these nodes, and which that is, if it can be told by looking
/// alone: what is refused most, and by many threads at a time, touches nothing that they share. It is
/// one only if they `count` after that.
#[inline(always)]
pub fn refused_stream<'a>(
    engine: &Engine,
    nodes: impl IntoIterator<Item = &'a Node>,
    direction: Direction,
    count: impl FnOnce() -> bool,
) -> Option<(&'a Node, Error)> {
    if engine.recorder().is_some() {
        return None; // It is told by who opens the stream.
    }
    let (slot, charge) = (Slot::Stream(direction), Streams::one(direction));
    let (class, editions) = (engine.leaf_class(slot), engine.editions());
    let edition = editions.now();
    let refuses = |node| charge.look(node, edition).err();
    let (node, over) = nodes
        .into_iter()
        .find_map(|node| refuses(node).map(|over| (node, over)))?;
    // The leaf's own limit comes first, and where there may be credit it is to be called in: that
    // is for who is a user of the path.
    if class.limit.check(edition, slot).is_err() || may_have_credit(node, over) {
        return None;
    }
    // Asked once more: another may have called it in since.
    let over = refuses(node).filter(|&over| !may_have_credit(node, over))?;
    let counts = count() && editions.still(edition);
    counts.then(|| (node, charge.refused(node, over)))
}

/// Whether a new stream would be refused by its own limit, or by the first node of its path, as
/// often as that is asked first: before anything is made for the names that it comes with. The
/// caller is a user of a path through that node.
///
/// # Errors
///
/// That refusal.
pub fn ask_first(engine: &Engine, first: &Node, direction: Direction) -> Result<()> {
    if engine.recorder().is_some() {
        return Ok(()); // As above.
    }
    let (slot, charge) = (Slot::Stream(direction), Streams::one(direction));
    let (class, editions) = (engine.leaf_class(slot), engine.editions());
    loop {
        let edition = editions.now();
        let own = class.limit.check(edition, slot);
        let Err(over) = own.and_then(|()| charge.look(first, edition).map(drop)) else {
            return Ok(());
        };
        if !editions.still(edition) {
            continue;
        }
        if own.is_err() {
            return Err(class.refused(over, slot));
        }
        refuse(engine, first, over, charge, edition)?;
    }
}
