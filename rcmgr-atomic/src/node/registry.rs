//! Nodes by name. A node lives while something uses it.
//!
//! A thread becomes a user of a node during the lookup, and ends its use later by a call. The last
//! user removes the node: under the lock of the shard, and only if it still has no user. A lookup
//! that comes before that keeps the node. A lookup that comes after it makes a new one. So there is
//! no sweep and no background thread.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use super::shared_scope::Node;
use crate::sync::Table;

/// Nodes by name.
pub struct Registry<K> {
    table: Table<K, Arc<Node>>,
}

impl<K: Eq + Hash> Registry<K> {
    pub fn new() -> Self {
        Self {
            table: Table::new(),
        }
    }

    /// The node of this name, made if absent, with the caller as a user.
    pub fn acquire<Q>(
        &self,
        name: &Q,
        key: impl FnOnce() -> K,
        make: impl FnOnce(&K) -> Node,
    ) -> Arc<Node>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        // The user is added while the entry cannot be removed.
        let join = |node: &Arc<Node>| {
            node.users().add();
            node.clone()
        };
        self.table.read(name, join).unwrap_or_else(|| {
            self.table
                .change_or_insert(key(), |key| make(key).into_shared(), |node| join(node))
        })
    }

    /// Ends a use by the caller. Returns whether that removed the node from the registry: true for
    /// one caller only.
    pub fn release<Q>(&self, name: &Q, node: &Arc<Node>) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if !node.users().remove() {
            return false;
        }
        // Meanwhile another thread may have found the node again, removed it, or even made another
        // of this name.
        let is_unused = |found: &Arc<Node>| Arc::ptr_eq(found, node) && node.users().is_none();
        self.table.remove_if(name, is_unused)
    }

    /// Calls `f` for every node that is there now.
    pub fn for_each(&self, mut f: impl FnMut(&Arc<Node>)) {
        self.table.for_each(|_, node| f(node));
    }
}
