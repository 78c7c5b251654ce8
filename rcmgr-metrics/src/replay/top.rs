//! Keeps the highest-ranked of very many names, with bounded memory.

use std::cmp::Reverse;

use ahash::{HashMap, HashMapExt};

/// Values by name. When there are too many names, the lowest-ranked are removed.
///
/// A removed name that comes back starts from zero. So with more names than are kept, counts in the
/// middle may be too low; the highest are correct.
#[derive(Debug)]
pub struct Top<T> {
    names: HashMap<Box<str>, T>,
}

/// The number of names that are kept after a removal. A removal starts at twice this number.
const KEPT: usize = 1024;

impl<T> Default for Top<T> {
    fn default() -> Self {
        Self {
            names: HashMap::new(),
        }
    }
}

impl<T: Default> Top<T> {
    /// The value of a name, created if needed.
    pub fn entry(&mut self, name: &str) -> &mut T {
        if !self.names.contains_key(name) {
            self.names.insert(name.into(), T::default());
        }
        self.names.get_mut(name).expect("it was just made")
    }

    /// Removes a name and returns its value.
    pub fn take(&mut self, name: &str) -> Option<T> {
        self.names.remove(name)
    }

    /// Removes the lowest-ranked names, if there are too many.
    pub fn trim(&mut self, rank: impl Fn(&T) -> (u64, u64)) {
        if self.names.len() >= 2 * KEPT {
            let all = std::mem::take(self).into_sorted(rank);
            self.names = all.into_iter().take(KEPT).collect();
        }
    }

    /// All names, the highest rank first; the name breaks ties.
    pub fn into_sorted(self, rank: impl Fn(&T) -> (u64, u64)) -> Vec<(Box<str>, T)> {
        let mut all: Vec<_> = self.names.into_iter().collect();
        all.sort_by(|(name, one), (other_name, other)| {
            let key = |of| Reverse(rank(of));
            key(one).cmp(&key(other)).then_with(|| name.cmp(other_name))
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_ranked_names_stay() {
        let mut top = Top::<u64>::default();
        for number in 0..100_000_u64 {
            *top.entry(&format!("once-{number}")) += 1;
            *top.entry("often") += 2;
            top.trim(|count| (*count, 0));
            assert!(top.names.len() <= 2 * KEPT);
        }
        let all = top.into_sorted(|count| (*count, 0));
        assert_eq!(all[0], ("often".into(), 200_000));
    }
}
