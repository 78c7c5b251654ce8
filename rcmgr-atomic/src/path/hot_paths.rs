//! The paths that threads look up at once.

use crate::lifetime::{Collect, Shared, Use};
use crate::sync::{OnceBox, Published};

/// The paths of a map that threads look up at once, by a key. A lookup here takes no lock.
///
/// They are in the map, too, and change under its lock. So a lookup may see a path that was just removed
/// from the map. It becomes a user of a path only while there is another: a path in use is in the map.
pub struct HotPaths<K, P: Collect>(OnceBox<Published<Keyed<K, P>>>);

/// Paths with their keys, the newest last.
type Keyed<K, P> = Vec<(K, Shared<P>)>;

/// The most paths: few are looked up by many threads at once.
const MOST: usize = 4;

impl<K: Clone, P: Collect> Default for HotPaths<K, P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clone, P: Collect> HotPaths<K, P> {
    pub fn new() -> Self {
        Self(OnceBox::new())
    }

    /// The path of this key, with the caller as a user, if it is here and in use.
    #[inline]
    pub fn find(&self, is_key: impl Fn(&K) -> bool) -> Option<Use<P>> {
        // Most maps never have one.
        self.0.get().and_then(|paths| find_in(paths, is_key))
    }

    /// Adds a path that is in the map. The caller holds the lock of the map.
    pub fn add(&self, key: &K, path: &Shared<P>) {
        let published = self.0.get_or_init(|| Box::new(Published::new(Vec::new())));
        let mut paths = published.with(Vec::clone);
        if paths.iter().any(|(_, known)| known.is(path)) {
            return;
        }
        if paths.len() == MOST {
            paths.remove(0);
        }
        paths.push((key.clone(), path.clone()));
        published.set(paths);
    }

    /// Removes a path that is removed from the map. The caller holds the lock of the map.
    pub fn remove(&self, path: &Shared<P>) {
        let Some(published) = self.0.get() else {
            return;
        };
        // Most paths that are removed are not here: copy nothing for them.
        if published.with(|paths| paths.iter().any(|(_, known)| known.is(path))) {
            let mut paths = published.with(Vec::clone);
            paths.retain(|(_, known)| !known.is(path));
            published.set(paths);
        }
    }
}

// Not inlined, so that a lookup elsewhere stays small.
#[inline(never)]
fn find_in<K, P: Collect>(
    paths: &Published<Keyed<K, P>>,
    is_key: impl Fn(&K) -> bool,
) -> Option<Use<P>> {
    paths.with(|paths| {
        let (_, path) = paths.iter().find(|(key, _)| is_key(key))?;
        path.try_join()
    })
}
