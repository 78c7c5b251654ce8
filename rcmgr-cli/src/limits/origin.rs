//! Where a limit comes from.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use rcmgr_atomic::{LimitsKey, MIB, Resource};
use rcmgr_config::ScalingLimit;

use super::amount::{amount, printable, size};
use super::defaults::Preset;

/// Where the value of one field comes from. Shown, it is the whole reckoning.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// A file sets it.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// No file sets it for this name: it is what the class has.
    Class {
        /// The class's default.
        default: LimitsKey,
        /// Where that one comes from.
        origin: Box<Origin>,
    },
    /// It is the budget itself.
    Budget,
    /// The budget, shared as the table shares what the system has.
    Share {
        /// Of what.
        resource: Resource,
        /// The budget.
        budget: u64,
        /// What the scope has in the table.
        part: u64,
        /// What the system has in the table.
        whole: u64,
    },
    /// The table's base and what it adds per GiB of memory.
    Scaled {
        /// Of what.
        resource: Resource,
        /// The base.
        base: u64,
        /// What is added per GiB.
        per_gib: u64,
        /// The memory that the table is scaled to, in bytes; the whole MiB of it count.
        memory: u64,
    },
    /// The larger one of the table's base and a share of the file descriptors.
    Fds {
        /// The base.
        base: u64,
        /// The share.
        fraction: f64,
        /// The file descriptors that the table is scaled to.
        fds: u64,
    },
    /// The table has it so, whatever the table is scaled to.
    Fixed(Preset),
}

impl Origin {
    /// In a word, what a person reads of a table of values.
    pub const fn short(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Class { .. } => "class",
            Self::Budget | Self::Share { .. } => "budget",
            Self::Scaled { .. } | Self::Fds { .. } => "scaled",
            Self::Fixed(_) => "fixed",
        }
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => {
                f.write_str(&printable(&format!("{}:{line}", path.display())))
            }
            Self::Class { default, origin } => write!(f, "as {default}: {origin}"),
            Self::Budget => f.write_str("the budget"),
            Self::Share {
                resource,
                budget,
                part,
                whole,
            } => {
                let [budget_text, part_text, whole_text] =
                    [*budget, *part, *whole].map(|value| amount(*resource, value));
                // A share is not rounded down to nothing.
                if u128::from(*budget) * u128::from(*part) < u128::from(*whole) {
                    f.write_str("at least 1, ")?;
                }
                write!(f, "budget {budget_text} × {part_text} / {whole_text}")
            }
            Self::Scaled {
                resource,
                base,
                per_gib,
                memory,
            } => {
                let [base, per_gib] = [*base, *per_gib].map(|value| amount(*resource, value));
                if *memory > ScalingLimit::SMALLEST {
                    let memory = size(memory - memory % MIB);
                    write!(f, "{base} + {per_gib} per GiB × {memory}")
                } else {
                    let smallest = size(ScalingLimit::SMALLEST);
                    write!(f, "{base}, nothing is added up to {smallest}")
                }
            }
            Self::Fds {
                base,
                fraction,
                fds,
            } => write!(f, "max({base}, {} of {fds} fds)", as_fraction(*fraction)),
            Self::Fixed(preset) => write!(f, "fixed in preset {preset}"),
        }
    }
}

/// `3/4` for 0.75.
fn as_fraction(share: f64) -> String {
    let denominators = (0..=10).map(|power| f64::from(1 << power));
    denominators
        .map(|denominator| (share * denominator, denominator))
        .find(|(numerator, _)| numerator.fract() == 0.0)
        .map_or_else(
            || share.to_string(),
            |(numerator, denominator)| format!("{numerator}/{denominator}"),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_read_as_fractions() {
        let cases = [
            (1.0, "1/1"),
            (0.75, "3/4"),
            (1.0 / 64.0, "1/64"),
            (0.1, "0.1"),
        ];
        for (share, text) in cases {
            assert_eq!(as_fraction(share), text);
        }
    }
}
