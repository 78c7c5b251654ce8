//! Rounding down to a power of two.

/// The largest power of two that is at most `value`; `None` for zero.
#[inline]
pub fn largest_power_of_two(value: u64) -> Option<u64> {
    value.checked_ilog2().map(|bits| 1 << bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_rounded_down() {
        assert_eq!(
            [0, 1, 2, 3, 4, 1000].map(largest_power_of_two),
            [None, Some(1), Some(2), Some(2), Some(4), Some(512)]
        );
    }
}
