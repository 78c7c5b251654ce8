//! The figures of a row, and the table.

use std::fmt;

/// The highest ratio that is wanted.
const GOAL: f64 = 2.0;

/// A victim in calm and under attack.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// The median of the round trips, in microseconds.
    pub calm: f64,
    pub attacked: f64,
    /// Parts of a CPU during the attack.
    pub victim_cpu: f64,
    pub attackers_cpu: f64,
    /// In a second.
    pub attacks: f64,
    pub refusals: f64,
}

#[derive(Debug, Clone)]
pub struct Figures {
    pub name: String,
    pub pairs: Vec<Pair>,
}

impl Figures {
    pub fn head() -> String {
        format!(
            "{:<28} {:>8} {:>9} {:<4} {:<23} {:>7} {:>9} {:>10} {:>11}",
            "",
            "calm",
            "attacked",
            "",
            "ratio (all pairs)",
            "victim",
            "attackers",
            "attacks/s",
            "refusals/s",
        )
    }

    fn sorted(&self, value: impl Fn(&Pair) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.pairs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn median(&self, value: impl Fn(&Pair) -> f64) -> f64 {
        let sorted = self.sorted(value);
        sorted[sorted.len() / 2]
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratios = self.sorted(|pair| pair.attacked / pair.calm);
        let ratio = ratios[ratios.len() / 2];
        write!(
            f,
            "{:<28} {:>8.0} {:>9.0} {:<4} {ratio:>5.2} ({:.2} to {:.2}) {:>8.0} % {:>7.0} % {:>10.0} \
             {:>11.0}  {}",
            self.name,
            self.median(|pair| pair.calm),
            self.median(|pair| pair.attacked),
            "us",
            ratios[0],
            ratios[ratios.len() - 1],
            100.0 * self.median(|pair| pair.victim_cpu),
            100.0 * self.median(|pair| pair.attackers_cpu),
            self.median(|pair| pair.attacks),
            self.median(|pair| pair.refusals),
            if ratio <= GOAL { "met" } else { "missed" },
        )
    }
}
