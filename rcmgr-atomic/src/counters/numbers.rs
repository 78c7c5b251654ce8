//! The numbers that leaves and spans are named by.

use crate::sync::{AtomicU64, Ordering};

/// The numbers of the leaves of a kind, or of the spans of an owner: from 1, in the order in which
/// they are first named.
#[derive(Debug)]
pub struct Numbers(AtomicU64);

impl Numbers {
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// A number that no other leaf or span has.
    pub fn next(&self) -> u64 {
        // Relaxed: numbers must be different, and order nothing.
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// The number of one leaf or span. It gets the number when it is first named: most are never named,
/// and threads that open leaves would contend for the counter.
#[derive(Debug)]
pub struct LazyNumber(AtomicU64);

impl LazyNumber {
    pub fn none() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The number, taken from `numbers` if there is none yet.
    pub fn get(&self, numbers: &Numbers) -> u64 {
        // Relaxed, here and below: nothing is published through the number.
        let given = self.0.load(Ordering::Relaxed);
        if given != 0 {
            return given;
        }
        let number = numbers.next();
        let set = self
            .0
            .compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
        // If another thread was faster, its number stays and this one is unused.
        set.err().unwrap_or(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_keeps_its_number() {
        let numbers = Numbers::new();
        let (one, two) = (LazyNumber::none(), LazyNumber::none());
        assert_eq!((two.get(&numbers), one.get(&numbers)), (1, 2));
        assert_eq!((two.get(&numbers), one.get(&numbers)), (1, 2));
    }

    #[test]
    fn all_threads_see_the_same_number() {
        let numbers = Numbers::new();
        for _ in 0..100 {
            let leaf = LazyNumber::none();
            let [one, two] = std::thread::scope(|scope| {
                let get = || leaf.get(&numbers);
                [scope.spawn(get), scope.spawn(get)].map(|thread| thread.join().unwrap())
            });
            assert_eq!(one, two);
        }
    }
}
