//! Finds the connection or stream that moved: an index of those that may move.

use std::collections::BTreeMap;
use std::rc::Rc;

use ahash::HashMap;
use rcmgr_core::ScopeStat;

/// A shared name: many paths refer to it.
pub type Name = Rc<str>;

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

impl Mover {
    /// The key without its memory, and the memory.
    fn split(&self) -> (Self, u64) {
        let mut key = self.clone();
        let memory = std::mem::take(&mut key.held.memory);
        (key, memory)
    }
}

/// The connections and streams that may move, by what a trace shows of them. A search takes the
/// same time however many wait.
#[derive(Debug, Default)]
pub struct Waiting {
    /// By all but the memory: those with the same key, by memory and number. The numbers have the
    /// order of creation.
    same: HashMap<Mover, BTreeMap<(u64, u64), Name>>,
}

impl Waiting {
    /// Adds one.
    pub fn add(&mut self, key: &Mover, number: u64, name: Name) {
        let (key, memory) = key.split();
        let same = self.same.entry(key).or_default();
        same.insert((memory, number), name);
    }

    /// Removes one.
    pub fn remove(&mut self, key: &Mover, number: u64) {
        let (key, memory) = key.split();
        if let Some(same) = self.same.get_mut(&key) {
            same.remove(&(memory, number));
            if same.is_empty() {
                self.same.remove(&key);
            }
        }
    }

    /// The one that was created last.
    pub fn latest(&self, key: &Mover) -> Option<Name> {
        let (key, memory) = key.split();
        let same = self.same.get(&key)?.range((memory, 0)..=(memory, u64::MAX));
        let (_, name) = same.last()?;
        Some(name.clone())
    }

    /// The highest memory of any with this key, whatever the memory of the key.
    pub fn most_memory(&self, key: &Mover) -> Option<u64> {
        let (key, _) = key.split();
        let (&(memory, _), _) = self.same.get(&key)?.last_key_value()?;
        Some(memory)
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.same.clear();
    }
}
