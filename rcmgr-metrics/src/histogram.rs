//! Histograms of scopes by usage.

use rcmgr_atomic::ConnMemory;

/// Upper bounds of the buckets for counts of streams and connections.
pub(crate) const COUNTS: &[u64] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 32, 64, 128, 256];
/// Upper bounds of the buckets for memory: 1 KiB to 4 GiB. The engine uses the same for
/// connections.
pub(crate) const SIZES: &[u64] = &ConnMemory::BOUNDS;

/// A histogram.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    /// The count of each bucket; the last bucket has no upper bound.
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

    /// Adds a scope with this usage. A scope without usage is in no bucket.
    pub(crate) fn add(&mut self, amount: u64) {
        if amount > 0 {
            let at = self.bounds.partition_point(|&bound| bound < amount);
            self.counts[at] += 1;
            self.sum += u128::from(amount);
        }
    }

    /// Connections by memory. The engine knows only the buckets, so the sum is an estimate. It
    /// assumes that amounts are spread evenly over a bucket, as Prometheus does. Amounts above all
    /// bounds count as the last bound.
    pub(crate) fn of_conns(memory: &ConnMemory) -> Self {
        let bounds = SIZES.iter().map(|&bound| u128::from(bound));
        let highest = || bounds.clone().chain(SIZES.last().copied().map(u128::from));
        let lowest = std::iter::once(0).chain(bounds.clone());
        let middles = lowest.zip(highest()).map(|(low, high)| (low + high) / 2);
        let counts = memory.counts.map(u128::from).into_iter();
        Self {
            bounds: SIZES,
            counts: memory.counts.into(),
            sum: counts.zip(middles).map(|(count, each)| count * each).sum(),
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) const fn sum(&self) -> f64 {
        self.sum as f64
    }

    /// Upper bound and count of each bucket. The counts are not cumulative.
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
    fn an_amount_equal_to_a_bound_is_in_its_bucket_and_zero_is_in_none() {
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

    #[test]
    fn the_sum_of_connections_uses_the_middles_of_buckets() {
        let mut memory = ConnMemory::default();
        memory.counts[0] = 3;
        memory.counts[1] = 1;
        memory.counts[10] = 2;
        let histogram = Histogram::of_conns(&memory);
        let sum = 3 * 512 + 2560 + 2 * (4_u64 << 30);
        assert_eq!(histogram.sum(), sum as f64);
        assert_eq!(histogram.count(), 6);
        assert_eq!(histogram.buckets().last(), Some((f64::INFINITY, 2)));
    }
}
