//! What is shared by name, and lives while something uses it.
//!
//! Whoever takes a thing from a registry counts as a user of it, from within the lookup on, and
//! says so when it is done. Whoever was the last takes the thing out, under the shard's lock and
//! only if it still has no user: a lookup that came first keeps it, one that comes later makes it
//! anew. So nothing is swept, and no thread runs in the background.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use crate::sync::Table;
use crate::users::Users;

/// Things by name.
pub struct Registry<K, T> {
    table: Table<K, Arc<T>>,
}

impl<K: Eq + Hash, T: AsRef<Users>> Registry<K, T> {
    pub fn new() -> Self {
        Self {
            table: Table::new(),
        }
    }

    /// The thing of this name, made if absent, with the caller as a user.
    pub fn acquire<Q>(
        &self,
        name: &Q,
        key: impl FnOnce() -> K,
        make: impl FnOnce(&K) -> T,
    ) -> Arc<T>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        // The user is added while the entry can't be removed.
        let join = |thing: &Arc<T>| {
            (**thing).as_ref().add();
            thing.clone()
        };
        self.table.read(name, join).unwrap_or_else(|| {
            self.table
                .change_or_insert(key(), |key| Arc::new(make(key)), |thing| join(thing))
        })
    }

    /// The caller uses the thing no more; whether that took it out of the registry, which is for
    /// one caller only.
    pub fn release<Q>(&self, name: &Q, thing: &Arc<T>) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if !(**thing).as_ref().remove() {
            return false;
        }
        // Someone may have found it since, or taken it out, or even made another.
        let unused = |found: &Arc<T>| Arc::ptr_eq(found, thing) && (**thing).as_ref().is_none();
        self.table.remove_if(name, unused)
    }

    /// Every thing that is there now.
    pub fn for_each(&self, mut f: impl FnMut(&K, &Arc<T>)) {
        self.table.for_each(|key, thing| f(key, thing));
    }
}
