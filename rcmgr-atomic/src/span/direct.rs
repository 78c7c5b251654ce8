//! Memory reserved directly on a node, through a view of it.
//!
//! The amount is charged on the node and its parents, and noted in the `direct` word of the node,
//! so that only memory that was reserved in this way can be released in this way. While the word is
//! above zero it counts as a user of the node: reserved memory keeps a scope alive.

use std::sync::Arc;

use rcmgr_core::{Priority, Resource, Result, ScopeId};

use crate::charge::{Charge, Memory, cancel_all};
use crate::engine::{Engine, Granted, Operation, Record};
use crate::limits::{LimitReached, UNLIMITED};
use crate::node::Node;
use crate::sync::Ordering;
use crate::waiting::NodesOfScope;

/// The most memory that can be reserved directly on a node, in bytes.
const MAX_MEMORY: u64 = u64::MAX / 2;

/// A node, with the holder as a user of it.
pub struct NodeUser {
    node: Arc<Node>,
    engine: Arc<Engine>,
}

impl NodeUser {
    /// The caller hands its use of the node over.
    pub fn new(node: Arc<Node>, engine: Arc<Engine>) -> Self {
        Self { node, engine }
    }

    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Reserves memory on the node and its parents, and notes it in the `direct` word.
    ///
    /// # Errors
    ///
    /// The refusal of one of these nodes: then nothing is charged.
    pub fn reserve(&self, size: u64, priority: Priority) -> Result<()> {
        self.reserve_in_turn(Memory::new(size, priority))
    }

    /// Checks whether there would be room if these nodes held nothing.
    ///
    /// # Errors
    ///
    /// The refusal. It is not counted.
    pub fn check_alone(&self, charge: Memory) -> Result<()> {
        let nodes = self.node.lineage();
        self.engine
            .under_current_limits(|version| self.engine.check_alone(nodes.clone(), version, charge))
    }

    /// The same as [`reserve`](Self::reserve), for a request with any ticket.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn reserve_in_turn(&self, charge: Memory) -> Result<()> {
        let (node, size) = (&*self.node, charge.size);
        // 1. Charge the node and its parents: they never hold less than the word says.
        charge_direct(&self.engine, &self.node, charge)?;
        if size == 0 {
            self.evaluate_reserved(charge);
            return Ok(());
        }
        // 2. Add the amount to the word.
        // AcqRel and Acquire, here and below: pair with the steps of other threads on the word.
        let mut held = node.direct.load(Ordering::Acquire);
        loop {
            // The word is full: cancel the charge, and refuse.
            let sum = held.saturating_add(size);
            if sum > MAX_MEMORY {
                record(&self.engine, &self.node, Operation::Release, charge);
                cancel_all(node.lineage(), charge, self.engine.waiters());
                let reached = LimitReached::new(Resource::Memory, held, UNLIMITED);
                return Err(charge.refused(node, reached));
            }
            // A word above zero counts as a user of the node. The thread that raises it from zero
            // adds that user first: as soon as the word is above zero, another thread may take all
            // of it and end that use.
            let joins = held == 0;
            if joins {
                self.engine.retain_node(node);
            }
            match node
                .direct
                .compare_exchange(held, sum, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => break,
                Err(now) => {
                    // The word changed: the user is not needed if another thread was first.
                    if joins {
                        self.engine.release_node(&self.node);
                    }
                    held = now;
                }
            }
        }
        self.evaluate_reserved(charge);
        Ok(())
    }

    /// Those of its nodes that are of this scope.
    pub fn nodes_of(&self, scope: &ScopeId) -> NodesOfScope {
        nodes_of(&self.node, scope)
    }

    /// The record of a reservation that was refused.
    pub fn reserve_record(&self, charge: Memory) -> Record {
        let record = Record::direct(Operation::Reserve, &self.node, &self.engine);
        record.memory(charge.size, 0).priority(charge.level)
    }

    /// Evaluates a reservation in a dry run, if there is one.
    fn evaluate_reserved(&self, charge: Memory) {
        if self.engine.has_dry_run() {
            let granted = Granted::memory(charge.size, charge.level);
            let nodes = self.node.lineage();
            self.engine.evaluate(granted, |_| None, nodes);
        }
    }

    /// Releases memory that was reserved directly: `size`, or all there is if that is less. Returns
    /// the amount.
    pub fn take(&self, size: u64) -> u64 {
        let node = &*self.node;
        let mut held = node.direct.load(Ordering::Acquire);
        loop {
            let taken = size.min(held);
            if taken == 0 {
                return 0;
            }
            // Word first, nodes last: the nodes never hold less than the word says.
            match node.direct.compare_exchange(
                held,
                held - taken,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    release_direct(&self.engine, &self.node, taken);
                    // This step brought the word to zero: end its use of the node.
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

/// The node or its parents, if they are of this scope.
pub fn nodes_of(node: &Arc<Node>, scope: &ScopeId) -> NodesOfScope {
    let lineage = std::iter::successors(Some(node), |node| node.parent());
    lineage.filter(|node| node.id() == scope).cloned().collect()
}

/// Charges a node and its parents with memory.
pub fn charge_direct(engine: &Arc<Engine>, node: &Arc<Node>, charge: Memory) -> Result<()> {
    engine
        .charge_nodes(node.lineage(), charge)
        .inspect_err(|refused| {
            if charge.ticket.may_wait() {
                return;
            }
            engine.record_refusal(refused, || {
                let record = Record::direct(Operation::Reserve, node, engine);
                record.memory(charge.size, 0).priority(charge.level)
            });
        })?;
    record(engine, node, Operation::Reserve, charge);
    Ok(())
}

/// Gives such memory back.
pub fn release_direct(engine: &Arc<Engine>, node: &Arc<Node>, size: u64) {
    let charge = Memory::new(size, Priority::Level(0));
    record(engine, node, Operation::Release, charge);
    node.lineage().for_each(|node| node.release_memory(size));
    engine
        .waiters()
        .released(node.lineage(), charge.resources());
}

fn record(engine: &Arc<Engine>, node: &Arc<Node>, operation: Operation, charge: Memory) {
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
