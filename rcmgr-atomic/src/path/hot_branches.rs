//! The branches of a path that threads look up at once.

use std::sync::Arc;

use crate::lifetime::{Collect, Shared, Use};
use crate::sync::{OnceBox, Published};

/// The branches of a path that threads look up at once. A lookup here takes no lock.
///
/// They are in the map of the path, too, and change under its lock. So a lookup may see a branch that was
/// just removed from the map. It becomes a user of a branch only while there is another: a branch in use
/// is in the map.
pub struct HotBranches<P: Collect>(OnceBox<Published<Named<P>>>);

/// Branches with their names, the newest last.
type Named<P> = Vec<(Arc<str>, Shared<P>)>;

/// The most branches: few names are used by many threads at once.
const MOST: usize = 4;

impl<P: Collect> Default for HotBranches<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Collect> HotBranches<P> {
    pub fn new() -> Self {
        Self(OnceBox::new())
    }

    /// The branch of this name, with the caller as a user, if it is here and in use.
    #[inline]
    pub fn find(&self, name: &str) -> Option<Use<P>> {
        self.0.get()?.with(|branches| {
            let mut branches = branches.iter();
            let (_, branch) = branches.find(|(known, _)| **known == *name)?;
            branch.try_join()
        })
    }

    /// Adds a branch that is in the map. The caller holds the lock of the map.
    pub fn add(&self, name: &Arc<str>, branch: &Shared<P>) {
        let published = self.0.get_or_init(|| Box::new(Published::new(Vec::new())));
        let mut branches = published.with(Vec::clone);
        if branches.iter().any(|(_, known)| known.is(branch)) {
            return;
        }
        if branches.len() == MOST {
            branches.remove(0);
        }
        branches.push((Arc::clone(name), branch.clone()));
        published.set(branches);
    }

    /// Removes a branch that is removed from the map. The caller holds the lock of the map.
    pub fn remove(&self, branch: &Shared<P>) {
        let Some(published) = self.0.get() else {
            return;
        };
        let mut branches = published.with(Vec::clone);
        let before = branches.len();
        branches.retain(|(_, known)| !known.is(branch));
        if branches.len() < before {
            published.set(branches);
        }
    }
}
