//! Statistics over several measurements of the same case.

use fastrand::Rng;

/// The resamples of a bootstrap. The ends of an interval vary by about a hundredth of its length between
/// two seeds.
const RESAMPLES: usize = 2000;

/// The part of the resamples that the interval of a row contains.
pub const CONFIDENCE: f64 = 0.95;

/// The median of the numbers; `NaN` if there are none.
///
/// ```
/// assert_eq!(rcmgr_study::median(&[9.0, 1.0, 2.0]), 2.0);
/// assert_eq!(rcmgr_study::median(&[4.0, 1.0]), 2.5);
/// ```
pub fn median(numbers: &[f64]) -> f64 {
    quantile(&sorted(numbers.to_vec()), 0.5)
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
    let sorted = sorted(numbers.to_vec());
    let range = quantile(&sorted, 0.75) - quantile(&sorted, 0.25);
    (numbers.len() > 1).then(|| range / quantile(&sorted, 0.5))
}

/// The 95 % confidence interval of the median, by a percentile bootstrap: the numbers are drawn again with
/// replacement, and the interval contains 95 % of the medians of such draws. The same numbers and the same
/// seed give the same interval. `None` if there are fewer than two numbers.
///
/// With few numbers the interval contains the true median less often: in 75 of 100 cases with three numbers,
/// where it is between the extremes, and in about 90 with five to seven.
///
/// ```
/// let rounds = [10.0, 9.0, 11.0, 8.0, 12.0, 10.0, 10.0];
/// let [low, high] = rcmgr_study::interval(&rounds, 1).unwrap();
/// assert!(8.0 <= low && low <= 10.0 && 10.0 <= high && high <= 12.0);
/// assert_eq!(rcmgr_study::interval(&[10.0], 1), None);
/// ```
pub fn interval(numbers: &[f64], seed: u64) -> Option<[f64; 2]> {
    let mut draws = Draws::new(seed);
    (numbers.len() > 1).then(|| middle(CONFIDENCE, || draws.median(numbers)))
}

/// The confidence interval of the ratio of two medians, by the same bootstrap: the part `confidence` of the
/// ratios of such draws. `None` if there are fewer than two numbers of either kind.
pub fn ratio_interval(
    above: &[f64],
    below: &[f64],
    confidence: f64,
    seed: u64,
) -> Option<[f64; 2]> {
    let mut draws = Draws::new(seed);
    let is_enough = above.len() > 1 && below.len() > 1;
    is_enough.then(|| middle(confidence, || draws.median(above) / draws.median(below)))
}

/// The middle part of repeated draws of a number.
fn middle(part: f64, mut draw: impl FnMut() -> f64) -> [f64; 2] {
    let drawn = sorted((0..RESAMPLES).map(|_| draw()).collect());
    [1.0 - part, 1.0 + part].map(|twice| quantile(&drawn, twice / 2.0))
}

/// Draws with replacement.
struct Draws {
    random: Rng,
    drawn: Vec<f64>,
}

impl Draws {
    fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            drawn: Vec::new(),
        }
    }

    /// The median of as many draws as there are numbers.
    fn median(&mut self, numbers: &[f64]) -> f64 {
        let Self { random, drawn } = self;
        drawn.clear();
        drawn.extend(
            numbers
                .iter()
                .map(|_| numbers[random.usize(..numbers.len())]),
        );
        drawn.sort_unstable_by(f64::total_cmp);
        quantile(drawn, 0.5)
    }
}

fn sorted(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers
}

/// A quantile of sorted numbers, interpolated linearly between two of them.
fn quantile(sorted: &[f64], part: f64) -> f64 {
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

    #[test]
    fn an_interval_is_the_same_for_the_same_seed() {
        let numbers = [3.0, 9.0, 4.0, 7.0, 5.0, 8.0, 6.0];
        assert_eq!(interval(&numbers, 7), interval(&numbers, 7));
        let other = [3.1, 9.2, 4.3];
        let ratio = ratio_interval(&numbers, &other, 0.95, 7);
        assert_eq!(ratio, ratio_interval(&numbers, &other, 0.95, 7));
    }

    #[test]
    fn two_or_three_numbers_have_the_interval_between_the_extremes() {
        assert_eq!(interval(&[5.0, 4.0], 1), Some([4.0, 5.0]));
        assert_eq!(interval(&[5.0, 4.0, 9.0], 1), Some([4.0, 9.0]));
        assert_eq!(ratio_interval(&[5.0, 4.0], &[1.0], 0.95, 1), None);
    }

    /// Medians of samples of a known distribution: about 95 % of the intervals contain its median.
    #[test]
    fn an_interval_contains_the_true_median_as_often_as_it_says() {
        let mut random = Rng::with_seed(1);
        let samples = 300;
        let covered = (0..samples).filter(|&sample| {
            // The sum of some uniform numbers is close to a normal distribution around 3.
            let numbers: Vec<_> = (0..25)
                .map(|_| (0..6).map(|_| random.f64()).sum::<f64>())
                .collect();
            let [low, high] = interval(&numbers, sample).expect("there are enough");
            (low..=high).contains(&3.0)
        });
        let share = covered.count() as f64 / samples as f64;
        assert!((0.91..0.985).contains(&share), "{share}");
    }

    #[test]
    fn a_ratio_of_numbers_that_are_twice_as_large_is_two() {
        let below = [10.0, 10.1, 9.9, 10.05, 9.95];
        let above = below.map(|number| number * 2.0);
        let [low, high] = ratio_interval(&above, &below, 0.95, 1).unwrap();
        assert!((1.9..=2.0).contains(&low), "{low}");
        assert!((2.0..2.1).contains(&high), "{high}");
    }
}
