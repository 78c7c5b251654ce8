//! How many scopes use how much.

/// Upper bounds for counts of streams and connections.
pub(crate) const COUNTS: &[u64] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 32, 64, 128, 256];
/// Upper bounds for memory: from 1 KiB to 4 GiB.
pub(crate) const SIZES: &[u64] = &[
    1 << 10,
    4 << 10,
    32 << 10,
    1 << 20,
    32 << 20,
    256 << 20,
    512 << 20,
    1 << 30,
    2 << 30,
    4 << 30,
];

/// What was found, by buckets.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    /// How many fell into each bucket; the last is for those above all bounds.
    counts: Vec<u64>,
    sum: u128,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len() + 1],
            sum: 0,
        }
    }

    /// Adds a scope that uses so much. One that uses nothing is in no bucket.
    pub(crate) fn add(&mut self, amount: u64) {
        if amount > 0 {
            let at = self.bounds.partition_point(|&bound| bound < amount);
            self.counts[at] += 1;
            self.sum += u128::from(amount);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) const fn sum(&self) -> f64 {
        self.sum as f64
    }

    /// Upper bound and count of each bucket, none counted twice.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().map(|&bound| bound as f64);
        bounds
            .chain([f64::INFINITY])
            .zip(self.counts.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_in_its_bucket_and_nothing_in_none() {
        let mut histogram = Histogram::new(COUNTS);
        for amount in [0, 1, 10, 11, 256, 257, u64::MAX] {
            histogram.add(amount);
        }
        let filled: Vec<_> = histogram
            .buckets()
            .filter(|&(_, count)| count > 0)
            .collect();
        let expected = [
            (1.0, 1),
            (10.0, 1),
            (16.0, 1),
            (256.0, 1),
            (f64::INFINITY, 2),
        ];
        assert_eq!(filled, expected);
        assert_eq!(histogram.count(), 6);
    }
}
