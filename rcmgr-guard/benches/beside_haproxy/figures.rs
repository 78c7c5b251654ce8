//! The figures of a workload, and their table.

use std::fmt;

/// If the figures of the other proxy spread more than this, the machine is noisy.
const MOST_SPREAD: f64 = 0.25;

/// The cost of an operation on both sides, in pairs.
#[derive(Debug, Clone)]
pub struct Figures {
    pub workload: &'static str,
    pub unit: &'static str,
    /// The highest ratio that is wanted, beside a proxy for which there is a goal.
    pub goal: Option<f64>,
    /// Guard, and the other one.
    pub pairs: Vec<(f64, f64)>,
}

impl Figures {
    fn ratios(&self) -> Vec<f64> {
        let ratios = self.pairs.iter().map(|(guard, other)| guard / other);
        sorted(ratios.collect())
    }

    /// Whether the goal is met. The middle half of the ratios must agree, because noise that comes and
    /// goes makes some of them too high or too low.
    fn verdict(&self, spread: f64) -> &'static str {
        let Some(goal) = self.goal else {
            return "";
        };
        let ratios = self.ratios();
        let (first, last) = middle_half(&ratios);
        let is_noisy = spread > MOST_SPREAD;
        if last <= goal {
            if is_noisy {
                "met, on a noisy machine"
            } else {
                "met"
            }
        } else if first > goal {
            if is_noisy {
                "missed, on a noisy machine"
            } else {
                "missed"
            }
        } else {
            "the machine is too noisy to tell"
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guard = sorted(self.pairs.iter().map(|pair| pair.0).collect());
        let other = sorted(self.pairs.iter().map(|pair| pair.1).collect());
        let ratios = self.ratios();
        let ratio = median(&ratios);
        let spread = spread(&other);
        let goal = self.goal.map_or("-".into(), |goal| format!("{goal:.1}"));
        write!(
            f,
            "{:<30} {:>8.2} {:>8.2} {:<14} {:>5.2} ({:.2} to {:.2}) {:>5} {:>6.0} %  {}",
            self.workload,
            median(&guard),
            median(&other),
            self.unit,
            ratio,
            ratios[0],
            ratios[ratios.len() - 1],
            goal,
            100.0 * spread,
            self.verdict(spread),
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
    let (first, last) = middle_half(sorted);
    (last - first) / median(sorted)
}

/// The lowest and the highest value without a quarter at each end.
fn middle_half(sorted: &[f64]) -> (f64, f64) {
    let skipped = sorted.len() / 4;
    (sorted[skipped], sorted[sorted.len() - 1 - skipped])
}
