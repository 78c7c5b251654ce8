//! Surveys of all scopes: usage and refusals.

use std::sync::Arc;

use rcmgr_core::{Refusals, ScopeClass};

use super::leaf_class::LeafClass;
use super::state::Engine;
use crate::counters::{ClassRefusals, RefusalCounts};
use crate::node::Node;

/// The number of nodes that are fetched at once where all are visited: as many as the nearest
/// caches hold.
const FETCHED_AT_ONCE: usize = 64;

/// Where refusals of a kind are counted.
struct Counted<'a> {
    classes: &'a ClassRefusals,
    of_leaves: fn(&LeafClass) -> &RefusalCounts,
    of_node: fn(&Node) -> Refusals,
}

impl Engine {
    /// All refusals by scopes of this class, also by collected scopes. The numbers never decrease:
    /// a scope that is being collected is in neither sum for a moment, and then the numbers that
    /// were reported before are returned.
    pub fn refusals(&self, class: ScopeClass) -> Refusals {
        self.count_refusals([class], &mut |_| {})[0]
    }

    /// All refusals that a dry run let pass, by class, as [`count_refusals`](Self::count_refusals)
    /// counts those that were enforced.
    pub fn dry_run_refusals(&self) -> [Refusals; ScopeClass::ALL.len()] {
        let counted = Counted {
            classes: self.dry_run().refusals(),
            of_leaves: |class| &class.dry_run_refusals,
            of_node: |node| node.dry_run.refused(),
        };
        self.count(&counted, ScopeClass::ALL, &mut |_| {})
    }

    /// All refusals by scopes of several classes. It visits each node once, and calls `f` for it,
    /// if one of the classes is a class of nodes.
    pub fn count_refusals<const N: usize>(
        &self,
        classes: [ScopeClass; N],
        f: &mut dyn FnMut(&Node),
    ) -> [Refusals; N] {
        let counted = Counted {
            classes: self.class_refusals(),
            of_leaves: |class| &class.refusals,
            of_node: Node::refusals,
        };
        self.count(&counted, classes, f)
    }

    fn count<const N: usize>(
        &self,
        counted: &Counted<'_>,
        classes: [ScopeClass; N],
        f: &mut dyn FnMut(&Node),
    ) -> [Refusals; N] {
        // Past refusals are read first: a scope that is collected meanwhile is not counted twice.
        let past = classes.map(|class| counted.classes.past(class).get());
        let mut live = [Refusals::default(); N];
        let mut has_nodes = false;
        for (live, class) in live.iter_mut().zip(classes) {
            match class {
                ScopeClass::Connection => *live = (counted.of_leaves)(&self.conn).get(),
                ScopeClass::Stream => *live = (counted.of_leaves)(&self.stream).get(),
                ScopeClass::Span => {}
                _ => has_nodes = true,
            }
        }
        if has_nodes {
            self.visit_each(&mut |node| {
                let at = classes.iter().position(|&class| class == node.class());
                if let Some(at) = at {
                    live[at] += self.refused_by(node, counted.of_node);
                }
                f(node);
            });
        }
        std::array::from_fn(|at| counted.classes.report(classes[at], past[at] + live[at]))
    }

    /// The refusals of a node, by `of_node`. The allowlisted transient scope has a part.
    pub fn refused_by(&self, node: &Node, of_node: fn(&Node) -> Refusals) -> Refusals {
        if node.class() == ScopeClass::AllowlistedTransient {
            of_node(node) + of_node(self.unproven().node())
        } else {
            of_node(node)
        }
    }

    /// Calls `f` for every node that is there now, with no lock held.
    pub fn visit_each(&self, f: &mut dyn FnMut(&Node)) {
        let mut nodes = Vec::new();
        self.for_each_node(&mut |node| nodes.push(node.clone()));
        while !nodes.is_empty() {
            let from = nodes.len().saturating_sub(FETCHED_AT_ONCE);
            nodes[from..].iter().for_each(Node::fetch);
            nodes.drain(from..).for_each(|node| f(&node));
        }
    }

    /// Calls `f` for every node that is there now, with the shard of its name locked.
    pub fn for_each_node(&self, f: &mut dyn FnMut(&Arc<Node>)) {
        f(self.system());
        f(self.transient());
        f(self.allowlisted_system());
        f(self.allowlisted_transient());
        self.for_each_service(f);
        self.for_each_protocol(f);
        self.for_each_peer(f);
        self.shares.for_each(f);
    }

    /// Calls `f` for every node that is never collected.
    pub fn for_each_lasting_node(&self, f: &mut dyn FnMut(&Arc<Node>)) {
        f(self.system());
        f(self.transient());
        f(self.allowlisted_system());
        f(self.allowlisted_transient());
        f(self.unproven().node());
        self.for_each_service(f);
    }

    pub fn for_each_service(&self, f: &mut dyn FnMut(&Arc<Node>)) {
        self.services.for_each(|_, node| f(node));
    }

    pub fn for_each_protocol(&self, f: &mut dyn FnMut(&Arc<Node>)) {
        self.protocols.for_each(f);
    }

    pub fn for_each_peer(&self, f: &mut dyn FnMut(&Arc<Node>)) {
        self.peers.for_each(f);
    }
}
