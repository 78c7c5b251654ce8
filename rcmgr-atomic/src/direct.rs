//! Memory reserved on a node directly, by whoever views it.
//!
//! Such an amount is charged on the node and on what it is charged on, and noted in the node's
//! `direct` word, so that no one can release what others hold. While there is some, it counts as a
//! user of the node: memory that is still reserved keeps a scope alive.

use std::sync::Arc;

use rcmgr_core::{Priority, Resource, Result};

use crate::charge::{Charge, Memory, cancel_all, charge_now};
use crate::edition::UNLIMITED;
use crate::engine::Engine;
use crate::gauge::Over;
use crate::node::Node;
use crate::record::{Operation, Record};
use crate::sync::Ordering;

/// The most memory that can be reserved directly, in bytes.
const MAX_MEMORY: u64 = u64::MAX >> 1;

/// A node, with the holder as a user of it.
pub struct NodeUser {
    node: Arc<Node>,
    engine: Arc<Engine>,
}

impl NodeUser {
    /// The caller is a user of the node already, and hands that over.
    pub fn new(node: Arc<Node>, engine: Arc<Engine>) -> Self {
        Self { node, engine }
    }

    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub fn reserve(&self, size: u64, priority: Priority) -> Result<()> {
        let node = &*self.node;
        let charge = Memory::new(size, priority);
        charge_direct(&self.engine, &self.node, charge)?;
        if size == 0 {
            return Ok(());
        }
        // Acquire, here and below: pairs with the Release of whoever changed it.
        let mut held = node.direct.load(Ordering::Acquire);
        loop {
            let sum = held.saturating_add(size);
            if sum > MAX_MEMORY {
                tell(&self.engine, &self.node, Operation::Release, charge);
                cancel_all(node.lineage(), charge);
                let over = Over::new(Resource::Memory, held, UNLIMITED);
                return Err(charge.refused(node, over));
            }
            // The first amount is a user. It joins before the amount shows, so that whoever takes
            // the amount out again finds the user there.
            let joins = held == 0;
            if joins {
                self.engine.retain_node(node);
            }
            match node
                .direct
                .compare_exchange(held, sum, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Ok(()),
                Err(now) => {
                    if joins {
                        self.engine.release_node(&self.node);
                    }
                    held = now;
                }
            }
        }
    }

    /// Takes back what was reserved directly, at most what is there. How much it was.
    pub fn take(&self, size: u64) -> u64 {
        let node = &*self.node;
        let mut held = node.direct.load(Ordering::Acquire);
        loop {
            let taken = size.min(held);
            if taken == 0 {
                return 0;
            }
            // Out of the word first, then off the nodes: they never hold less than the word says.
            match node.direct.compare_exchange(
                held,
                held - taken,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    release_direct(&self.engine, &self.node, taken);
                    if taken == held {
                        self.engine.release_node(&self.node);
                    }
                    return taken;
                }
                Err(now) => held = now,
            }
        }
    }
}

/// Charges a node, and what it is charged on, with memory.
pub fn charge_direct(engine: &Arc<Engine>, node: &Arc<Node>, charge: Memory) -> Result<()> {
    charge_now(engine, node.lineage(), charge).inspect_err(|refused| {
        let record = || Record::direct(Operation::Reserve, node, engine);
        engine.record_refusal(refused, || {
            record().memory(charge.size, 0).priority(charge.level)
        });
    })?;
    tell(engine, node, Operation::Reserve, charge);
    Ok(())
}

/// Gives such memory back.
pub fn release_direct(engine: &Arc<Engine>, node: &Arc<Node>, size: u64) {
    let charge = Memory::new(size, Priority::Level(0));
    tell(engine, node, Operation::Release, charge);
    node.lineage().for_each(|node| node.release_memory(size));
}

fn tell(engine: &Arc<Engine>, node: &Arc<Node>, operation: Operation, charge: Memory) {
    engine.record(|| {
        let record = Record::direct(operation, node, engine);
        record.memory(charge.size, 0).priority(charge.level)
    });
}

impl Clone for NodeUser {
    fn clone(&self) -> Self {
        self.engine.retain_node(&self.node);
        Self::new(self.node.clone(), self.engine.clone())
    }
}

impl Drop for NodeUser {
    fn drop(&mut self) {
        self.engine.release_node(&self.node);
    }
}
