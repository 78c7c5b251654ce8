//! Finds the connection or stream that moved: an index of those that may move.

use std::collections::BTreeMap;

use ahash::HashMap;
use rcmgr_core::ScopeStat;

use super::scopes::Name;

/// What a trace shows of a connection or stream that moves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mover {
    /// Whether it leaves transient. If not, it has left transient and has no service yet.
    pub from_transient: bool,
    /// All that it holds.
    pub held: ScopeStat,
    /// For a stream, the name of its peer's scope.
    pub peer: Option<Name>,
}

/// The connections and streams that may move, by what a trace shows of them. A search takes the
/// same time however many wait.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Those with the same key, by number, in order of creation.
    same: HashMap<Mover, BTreeMap<u64, Name>>,
}

impl Waiting {
    /// Adds one.
    pub fn add(&mut self, key: Mover, number: u64, name: Name) {
        self.same.entry(key).or_default().insert(number, name);
    }

    /// Removes one.
    pub fn remove(&mut self, key: &Mover, number: u64) {
        if let Some(same) = self.same.get_mut(key) {
            same.remove(&number);
            if same.is_empty() {
                self.same.remove(key);
            }
        }
    }

    /// The one that was created last.
    pub fn latest(&self, key: &Mover) -> Option<Name> {
        let (_, name) = self.same.get(key)?.last_key_value()?;
        Some(name.clone())
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.same.clear();
    }
}
