//! Statistics over several measurements of the same case.

/// The median of the numbers; `NaN` if there are none.
///
/// ```
/// assert_eq!(rcmgr_study::median(&[9.0, 1.0, 2.0]), 2.0);
/// assert_eq!(rcmgr_study::median(&[4.0, 1.0]), 2.5);
/// ```
pub fn median(numbers: &[f64]) -> f64 {
    quantile(numbers, 0.5)
}

/// The interquartile range divided by the median. A value of 0.05 means that the middle half of the
/// numbers lies within 5 % of the median. `None` if there are fewer than two numbers: one number
/// says nothing about a spread.
///
/// ```
/// assert_eq!(rcmgr_study::spread(&[10.0, 9.0, 11.0, 8.0, 12.0]), Some(0.2));
/// assert_eq!(rcmgr_study::spread(&[10.0]), None);
/// ```
pub fn spread(numbers: &[f64]) -> Option<f64> {
    let range = quantile(numbers, 0.75) - quantile(numbers, 0.25);
    (numbers.len() > 1).then(|| range / median(numbers))
}

/// A quantile, interpolated linearly between two numbers.
fn quantile(numbers: &[f64], part: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = part * sorted.len().saturating_sub(1) as f64;
    let [below, above] = [at.floor(), at.ceil()].map(|at| sorted.get(at as usize));
    match (below, above) {
        (Some(below), Some(above)) => below + (above - below) * at.fract(),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_the_numbers_in_proportion() {
        let numbers = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(quantile(&numbers, 0.25), 1.75);
        assert_eq!(quantile(&numbers, 0.75), 3.25);
        assert_eq!(spread(&numbers), Some(0.6));
    }

    #[test]
    fn one_number_is_its_own_median_and_has_no_spread() {
        assert_eq!(median(&[7.0]), 7.0);
        assert_eq!(spread(&[7.0]), None);
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[7.0, 7.0]), Some(0.0));
        assert!(median(&[]).is_nan());
    }
}
