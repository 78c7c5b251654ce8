//! The universal scalability law (Gunther), fitted to throughput by the number of cores.
//!
//! On `n` cores, throughput relative to one core is `n / (1 + contention (n - 1) + coherence n (n - 1))`.
//! Contention is the part of the work that one core does at a time: throughput approaches `1 / contention`.
//! Coherence is the cost of exchange between each pair of cores: throughput falls after a peak.
//!
//! The law is linear in its coefficients after a transformation: `n` divided by the relative throughput is
//! the time of an operation on its core, relative to one core alone, and equals
//! `1 + contention (n - 1) + coherence n (n - 1)`. So least squares has a closed form. It assumes that the
//! throughput of one core has no error, and that the other errors are in proportion to the throughput: each
//! number of cores has the same weight. Neither coefficient is negative. A curve that grows faster than the
//! number of cores has both at zero, and a bad fit.

use serde::{Deserialize, Serialize};

/// The law fitted to a curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Law {
    /// The part of the work that only one core does at a time.
    pub contention: f64,
    /// The cost of exchange between two cores, in operations of one core.
    pub coherence: f64,
    /// The number of cores with the highest throughput, or `None` if throughput never falls.
    pub peak: Option<f64>,
    /// The coefficient of determination of the throughput: 1 for a perfect fit, at most 0 for one that is no
    /// better than a constant. `None` if the law has as many coefficients as there are points to fit, or if
    /// the throughput is constant.
    pub r_squared: Option<f64>,
    /// The largest difference of the law from a throughput, relative to that throughput.
    pub largest_error: f64,
    /// The points with more than one core. One point determines one coefficient, contention.
    pub points: usize,
}

impl Law {
    /// Fits the law to numbers of cores with their throughput, in any unit. `None` without a point with one
    /// core, without one with more, or if a throughput is not a positive number.
    ///
    /// ```
    /// // A tenth of the work is serial.
    /// let amdahl = [1, 2, 4, 8].map(|cores| (cores, cores as f64 / (1.0 + 0.1 * (cores - 1) as f64)));
    /// let law = rcmgr_study::Law::fit(&amdahl).unwrap();
    /// assert!((law.contention - 0.1).abs() < 1e-9 && law.coherence < 1e-9);
    /// ```
    pub fn fit(points: &[(usize, f64)]) -> Option<Self> {
        let is_positive = |&(cores, throughput): &(usize, f64)| {
            cores > 0 && throughput.is_finite() && throughput > 0.0
        };
        if !points.iter().all(is_positive) {
            return None;
        }
        let alone = points.iter().find(|(cores, _)| *cores == 1)?.1;
        let several: Vec<Relative> = points
            .iter()
            .filter(|(cores, _)| *cores > 1)
            .map(|&(cores, throughput)| Relative::new(cores, throughput / alone))
            .collect();
        if several.is_empty() {
            return None;
        }
        let [contention, coherence] = least_squares(&several);
        let law = Self {
            contention,
            coherence,
            peak: peak(contention, coherence),
            r_squared: None,
            largest_error: 0.0,
            points: several.len(),
        };
        let errors = several
            .iter()
            .map(|point| (law.relative(point.cores) / point.throughput - 1.0).abs());
        Some(Self {
            largest_error: errors.fold(0.0, f64::max),
            r_squared: law.r_squared(&several),
            ..law
        })
    }

    /// The throughput on this number of cores, relative to one core.
    pub fn relative(&self, cores: f64) -> f64 {
        let exchange = self.coherence * cores * (cores - 1.0);
        cores / (1.0 + self.contention * (cores - 1.0) + exchange)
    }

    fn r_squared(&self, several: &[Relative]) -> Option<f64> {
        if several.len() < 3 {
            return None;
        }
        let measured = || {
            [1.0]
                .into_iter()
                .chain(several.iter().map(|point| point.throughput))
        };
        let mean = measured().sum::<f64>() / measured().count() as f64;
        let total: f64 = measured()
            .map(|throughput| (throughput - mean).powi(2))
            .sum();
        let residual = several
            .iter()
            .map(|point| (point.throughput - self.relative(point.cores)).powi(2));
        // Differences of rounding are no variation.
        (total > 1e-12).then(|| 1.0 - residual.sum::<f64>() / total)
    }
}

/// A point of a curve, relative to one core.
struct Relative {
    cores: f64,
    throughput: f64,
    /// The terms of the linear law and its value, all divided by the value, so that errors are relative.
    terms: [f64; 2],
    value: f64,
}

impl Relative {
    fn new(cores: usize, throughput: f64) -> Self {
        let cores = cores as f64;
        // The time of an operation on its core, relative to one core alone.
        let time = cores / throughput;
        Self {
            cores,
            throughput,
            terms: [(cores - 1.0) / time, cores * (cores - 1.0) / time],
            value: (time - 1.0) / time,
        }
    }
}

/// The coefficients, neither of them negative, with the least sum of squared relative errors.
fn least_squares(points: &[Relative]) -> [f64; 2] {
    let sum = |of: &dyn Fn(&Relative) -> f64| points.iter().map(of).sum::<f64>();
    let squares = [0, 1].map(|term| sum(&|point| point.terms[term].powi(2)));
    let product = sum(&|point| point.terms[0] * point.terms[1]);
    let values = [0, 1].map(|term| sum(&|point| point.terms[term] * point.value));
    let determinant = squares[0] * squares[1] - product * product;
    // It is zero if all points have one number of cores: then only one coefficient can be found.
    if determinant > 1e-9 * squares[0] * squares[1] {
        let both = [
            (values[0] * squares[1] - values[1] * product) / determinant,
            (values[1] * squares[0] - values[0] * product) / determinant,
        ];
        if both.iter().all(|coefficient| *coefficient >= 0.0) {
            return both;
        }
    }
    // With two coefficients, the best of those at the bounds is the solution.
    let alone = |term: usize| (values[term] / squares[term]).max(0.0);
    let candidates = [[alone(0), 0.0], [0.0, alone(1)]];
    let error = |[contention, coherence]: [f64; 2]| {
        sum(&|point| {
            let [first, second] = point.terms;
            (contention * first + coherence * second - point.value).powi(2)
        })
    };
    let [contention, coherence] = candidates;
    if error(coherence) < error(contention) && points.len() > 1 {
        coherence
    } else {
        contention
    }
}

/// The number of cores with the highest throughput: where the derivative of the law is zero.
fn peak(contention: f64, coherence: f64) -> Option<f64> {
    if contention >= 1.0 {
        return Some(1.0);
    }
    (coherence > 0.0).then(|| ((1.0 - contention) / coherence).sqrt().max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

    fn curve(contention: f64, coherence: f64) -> Vec<(usize, f64)> {
        let law = Law {
            contention,
            coherence,
            peak: None,
            r_squared: None,
            largest_error: 0.0,
            points: 0,
        };
        // 25 million operations a second on one core.
        CORES
            .map(|cores| (cores, 25e6 * law.relative(cores as f64)))
            .to_vec()
    }

    #[test]
    fn known_coefficients_are_found() {
        for (contention, coherence) in [
            (0.0, 0.0),
            (0.03, 0.0),
            (0.0, 0.002),
            (0.1, 0.0004),
            (0.9, 0.3),
        ] {
            let law = Law::fit(&curve(contention, coherence)).unwrap();
            assert!((law.contention - contention).abs() < 1e-6, "{law:?}");
            assert!((law.coherence - coherence).abs() < 1e-6, "{law:?}");
            assert!(law.largest_error < 1e-6 && law.points == 6, "{law:?}");
            assert!(law.r_squared.unwrap() > 0.999_999, "{law:?}");
        }
    }

    #[test]
    fn the_peak_is_where_throughput_is_highest() {
        let law = Law::fit(&curve(0.04, 0.0015)).unwrap();
        let peak = law.peak.unwrap();
        assert!((peak - (0.96_f64 / 0.0015).sqrt()).abs() < 1e-3, "{peak}");
        for other in [peak * 0.9, peak * 1.1] {
            assert!(law.relative(other) < law.relative(peak));
        }
        assert_eq!(
            Law::fit(&curve(0.2, 0.0))
                .unwrap()
                .peak
                .filter(|peak| *peak < 1e4),
            None
        );
        assert_eq!(Law::fit(&curve(1.5, 0.1)).unwrap().peak, Some(1.0));
    }

    #[test]
    fn errors_of_measurement_move_the_coefficients_little() {
        let mut points = curve(0.05, 0.001);
        for ((_, throughput), error) in points
            .iter_mut()
            .zip([0.0, 0.02, -0.03, 0.01, 0.02, -0.02, 0.01])
        {
            *throughput *= 1.0 + error;
        }
        let law = Law::fit(&points).unwrap();
        assert!((law.contention - 0.05).abs() < 0.02, "{law:?}");
        assert!((law.coherence - 0.001).abs() < 0.0003, "{law:?}");
        assert!((0.005..0.05).contains(&law.largest_error), "{law:?}");
        assert!((0.98..1.0).contains(&law.r_squared.unwrap()), "{law:?}");
    }

    #[test]
    fn coefficients_are_not_negative_where_throughput_grows_faster_than_the_cores() {
        let points = CORES.map(|cores| (cores, (cores as f64).powf(1.2)));
        let law = Law::fit(&points).unwrap();
        assert_eq!((law.contention, law.coherence), (0.0, 0.0));
        assert!(law.largest_error > 0.4, "{law:?}");
        assert!(law.r_squared.unwrap() < 0.9, "{law:?}");
        // A curve that falls, then recovers, has a bad fit as well, and still no negative coefficient.
        let uneven = [(1, 1.0), (2, 0.3), (4, 3.9), (8, 0.4), (16, 15.0)];
        let law = Law::fit(&uneven).unwrap();
        assert!(law.contention >= 0.0 && law.coherence >= 0.0, "{law:?}");
        assert!(law.r_squared.unwrap() < 0.9, "{law:?}");
    }

    #[test]
    fn one_point_beside_one_core_determines_contention_alone() {
        let law = Law::fit(&[(2, 1.6), (1, 1.0)]).unwrap();
        assert!((law.contention - 0.25).abs() < 1e-9, "{law:?}");
        assert_eq!((law.coherence, law.points, law.r_squared), (0.0, 1, None));
        assert!(law.largest_error < 1e-9);
    }

    #[test]
    fn there_is_no_law_without_one_core_and_several() {
        assert_eq!(Law::fit(&[]), None);
        assert_eq!(Law::fit(&[(1, 1.0)]), None);
        assert_eq!(Law::fit(&[(2, 1.0), (4, 1.0)]), None);
        assert_eq!(Law::fit(&[(1, 1.0), (2, f64::NAN)]), None);
        assert_eq!(Law::fit(&[(1, 0.0), (2, 1.0)]), None);
    }
}
