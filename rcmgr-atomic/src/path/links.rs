//! The links between paths: the branches of a path, and the paths that it uses.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use super::hot_paths::HotPaths;
use crate::lifetime::{Collect, HandedOver, Shared, Use};
use crate::sync::Guarded;

/// The links of one path to others.
pub struct Links<P: Collect> {
    linked: Guarded<Linked<P>>,
    /// The branches that threads look up at once.
    hot: HotPaths<Arc<str>, P>,
}

struct Linked<P: Collect> {
    branches: Option<Box<Branches<P>>>,
    /// The paths that this one uses until it is collected: the one that it is a branch of, and the
    /// one on which streams begin.
    used: [Option<Use<P>>; 2],
}

/// By protocol or service. A remote chooses the names, so the hasher is seeded.
type Branches<P> = HashMap<Arc<str>, Branch<P>, ahash::RandomState>;

struct Branch<P: Collect> {
    path: Shared<P>,
    /// The uses of the path that it is a branch of.
    handed_over: HandedOver,
}

/// A map of branches below this length is not shrunk.
const SMALL: usize = 32;

impl<P: Collect> Links<P> {
    pub fn new() -> Self {
        Self {
            linked: Guarded::new(Linked {
                branches: None,
                used: [None, None],
            }),
            hot: HotPaths::new(),
        }
    }

    /// The branch of this name, with the caller as a user. If it is absent, `make` makes it, with
    /// the name that it gives. Meanwhile no branch is added or removed.
    ///
    /// If `leaves`, the caller moves to the branch, and may hand a use of the path of these links over.
    pub fn branch_or_insert(
        &self,
        name: &str,
        leaves: bool,
        make: impl Fn() -> Option<(Arc<str>, Shared<P>)>,
    ) -> Option<Use<P>> {
        // 1. Other threads look it up, too: take no lock.
        if let Some(found) = self.hot.find(|known| **known == *name) {
            return Some(found);
        }
        // 2. Look it up in the map. (`make` is called once at most, and passed by reference: moving what it
        //    captures would wait until that is written.)
        let find = |linked: &mut Linked<P>| linked.branch_or_insert(name, leaves, &make);
        if let Some(found) = self.linked.try_with(find) {
            return found;
        }
        // 3. The lock was taken. So that the next lookups of this name need none, add it to the hot ones.
        self.linked.with(|linked| {
            let found = find(linked);
            self.add_hot(linked, name);
            found
        })
    }

    /// Adds a branch to the hot ones, if it is there: see [`HotPaths`].
    fn add_hot(&self, linked: &Linked<P>, name: &str) {
        let branches = linked.branches.as_ref();
        if let Some((name, branch)) = branches.and_then(|branches| branches.get_key_value(name)) {
            self.hot.add(name, &branch.path);
        }
    }

    /// Removes a branch that had no use a moment ago. Returns whether that removed it: true for one
    /// caller only.
    pub fn remove_branch(&self, name: &str, branch: &Shared<P>) -> bool {
        let removed = self.linked.with(|Linked { branches, .. }| {
            let map = branches.as_mut()?;
            // Another thread may have found it since, or removed it, or even made another of this
            // name.
            let is_unused = |found: &Branch<P>| found.path.is(branch) && branch.end_if_unused();
            let removed = if map.get(name).is_some_and(is_unused) {
                self.hot.remove(branch);
                let mut removed = map.remove(name);
                removed
                    .iter_mut()
                    .for_each(|Branch { handed_over, .. }| handed_over.end_all(branch));
                removed
            } else {
                None
            };
            if map.is_empty() {
                *branches = None;
            } else if map.capacity() > 8 * map.len().max(SMALL) {
                map.shrink_to(2 * map.len());
            }
            removed
        });
        removed.is_some()
    }

    /// Keeps a use of another path until [`stop_using`](Self::stop_using).
    pub fn use_until_collected(&self, path: Use<P>) {
        self.linked.with(|linked| {
            let free = linked.used.iter_mut().find(|used| used.is_none());
            *free.expect("a path uses at most two others") = Some(path);
        });
    }

    /// Drops the uses of other paths.
    pub fn stop_using(&self) {
        // The uses are dropped outside of the lock, because that may collect the paths.
        drop(self.linked.with(|linked| mem::take(&mut linked.used)));
    }
}

impl<P: Collect> Linked<P> {
    fn branch_or_insert(
        &mut self,
        name: &str,
        leaves: bool,
        make: &impl Fn() -> Option<(Arc<str>, Shared<P>)>,
    ) -> Option<Use<P>> {
        let branches = self.branches.as_mut();
        if let Some(found) = branches.and_then(|branches| branches.get_mut(name)) {
            let user = found.path.join_in_entry();
            return Some(match leaves {
                true => found.handed_over.hand_over(user),
                false => user,
            });
        }
        let (name, path) = make()?;
        let (user, handed_over) = (path.join(), HandedOver::none());
        let branch = Branch { path, handed_over };
        self.branches.get_or_insert_default().insert(name, branch);
        Some(user)
    }
}
