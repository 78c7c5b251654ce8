//! The figures of a workload, and their table.

use std::fmt;

/// If the figures of the other proxy spread more than this, the machine is too noisy for a verdict.
const MOST_SPREAD: f64 = 0.25;

/// The cost of an operation on both sides, in pairs.
#[derive(Debug, Clone)]
pub struct Figures {
    pub workload: &'static str,
    pub unit: &'static str,
    /// The highest ratio that is wanted.
    pub goal: f64,
    /// Guard, and the other one.
    pub pairs: Vec<(f64, f64)>,
}

impl Figures {
    fn ratios(&self) -> Vec<f64> {
        let ratios = self.pairs.iter().map(|(guard, other)| guard / other);
        sorted(ratios.collect())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guard = sorted(self.pairs.iter().map(|pair| pair.0).collect());
        let other = sorted(self.pairs.iter().map(|pair| pair.1).collect());
        let ratios = self.ratios();
        let ratio = median(&ratios);
        let verdict = if spread(&other) > MOST_SPREAD {
            "the machine is too noisy"
        } else if ratio <= self.goal {
            "met"
        } else {
            "missed"
        };
        write!(
            f,
            "{:<30} {:>8.2} {:>8.2} {:<14} {:>5.2} ({:.2} to {:.2}) {:>5.1} {:>6.0} %  {}",
            self.workload,
            median(&guard),
            median(&other),
            self.unit,
            ratio,
            ratios[0],
            ratios[ratios.len() - 1],
            self.goal,
            100.0 * spread(&other),
            verdict,
        )
    }
}

/// The head of the table.
pub fn head(other: &dyn fmt::Display) -> String {
    format!(
        "{:<30} {:>8} {:>8} {:<14} {:>20} {:>5} {:>8}",
        "", "guard", other, "", "ratio (all pairs)", "goal", "spread"
    )
}

pub fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

pub fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// The range of the middle half, as a part of the median.
fn spread(sorted: &[f64]) -> f64 {
    let skipped = sorted.len() / 4;
    (sorted[sorted.len() - 1 - skipped] - sorted[skipped]) / median(sorted)
}
