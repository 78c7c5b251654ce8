//! What a new leaf is asked, and what it is charged with.

use std::sync::Arc;

use rcmgr_core::{Direction, Error, Result};

use crate::charge::{Charge, OneConnection, SlotCharge, Streams, may_have_credit, refuse};
use crate::engine::Engine;
use crate::node::Node;
use crate::path::Path;
use crate::record::{Operation, Record};
use crate::slot::Slot;

/// Charges a new leaf, if its own limit and the path have room. Its number.
#[inline(always)]
pub(super) fn charge_new(path: &Arc<Path>, slot: Slot) -> Result<u64> {
    match slot {
        Slot::Stream(direction) => charge_new_as(path, slot, Streams::one(direction)),
        Slot::Connection(direction, fd) => charge_new_as(path, slot, OneConnection(direction, fd)),
    }
}

#[inline(always)]
fn charge_new_as(path: &Arc<Path>, slot: Slot, charge: impl SlotCharge) -> Result<u64> {
    let engine = path.engine();
    let (class, editions) = (engine.leaf_class(slot), engine.editions());
    let number = class.numbers.next();
    loop {
        let edition = editions.now();
        if let Err(over) = class.limit.check(edition, slot) {
            if editions.still(edition) {
                return Err(told(path, slot, number, class.refused(over, slot, number)));
            }
            continue;
        }
        match (path.charge(edition, charge), editions.still(edition)) {
            (Ok(()), true) => {
                engine.record(|| Record::of_leaf(Operation::Open, path, slot, number));
                return Ok(number);
            }
            (Ok(()), false) => path.cancel(charge),
            (Err((node, over)), true) => refuse(engine, node, over, charge, edition)
                .map_err(|refused| told(path, slot, number, refused))?,
            (Err(_), false) => {}
        }
    }
}

/// The refusal, of which whoever records it is told.
#[cold]
fn told(path: &Arc<Path>, slot: Slot, number: u64, refused: Error) -> Error {
    path.engine().record_refusal(&refused, || {
        Record::of_leaf(Operation::Open, path, slot, number)
    });
    refused
}

/// The refusal of a new stream by a node of the path, if it can be told by looking alone: what is
/// refused most, and by many threads at a time, touches nothing that they share.
pub fn refused_stream(path: &Path, direction: Direction) -> Option<Error> {
    let engine = path.engine();
    if engine.recorder().is_some() {
        return None; // It is told by who opens the stream.
    }
    let (slot, charge) = (Slot::Stream(direction), Streams::one(direction));
    let (class, editions) = (engine.leaf_class(slot), engine.editions());
    let edition = editions.now();
    let refuses = |node| charge.look(node, edition).err();
    let (node, over) = path
        .iter()
        .find_map(|node| refuses(node).map(|over| (node, over)))?;
    // The leaf's own limit comes first, and where there may be credit it is to be called in: that
    // is for who is a user of the path.
    if class.limit.check(edition, slot).is_err() || may_have_credit(node, over) {
        return None;
    }
    // Asked once more: another may have called it in since.
    let over = refuses(node).filter(|&over| !may_have_credit(node, over))?;
    editions.still(edition).then(|| {
        class.numbers.next();
        charge.refused(node, over)
    })
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
            return Err(class.refused(over, slot, class.numbers.next()));
        }
        if let Err(refused) = refuse(engine, first, over, charge, edition) {
            class.numbers.next();
            return Err(refused);
        }
    }
}
