//! The origin of a limit.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use rcmgr_atomic::{LimitsKey, MIB, Resource};
use rcmgr_config::ScalingLimit;

use super::amount::{amount, printable, size};
use super::preset::Preset;

/// The origin of the value of one field. Displayed, it is the whole calculation.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// A file sets it.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A file sets the list that it belongs to, and has no line for it.
    WholeList {
        /// The file.
        path: PathBuf,
    },
    /// A file takes the limits by address of go-libp2p.
    Reference {
        /// The file.
        path: PathBuf,
    },
    /// No file sets it for this name, so the default of its class applies.
    Class {
        /// The class's default.
        default: LimitsKey,
        /// The origin of the default.
        origin: Box<Origin>,
    },
    /// It is the budget itself.
    Budget,
    /// A share of the budget, in proportion to the table.
    Share {
        /// The resource.
        resource: Resource,
        /// The budget.
        budget: u64,
        /// The limit of the scope in the table.
        part: u64,
        /// The limit of the system in the table.
        whole: u64,
    },
    /// The base of the table plus an amount per GiB of memory.
    Scaled {
        /// The resource.
        resource: Resource,
        /// The base.
        base: u64,
        /// The amount per GiB.
        per_gib: u64,
        /// The memory that the table is scaled to, in bytes. Only whole MiB count.
        memory: u64,
    },
    /// The larger of the table's base and a share of the file descriptors.
    Fds {
        /// The base.
        base: u64,
        /// The share.
        fraction: f64,
        /// The file descriptors that the table is scaled to.
        fds: u64,
    },
    /// A fixed value of the table, independent of the scaling.
    Fixed(Preset),
}

impl Origin {
    /// A single word, for the table of limits.
    pub const fn short(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::WholeList { .. } | Self::Reference { .. } => "file",
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
            Self::WholeList { path } => f.write_str(&printable(&path.display().to_string())),
            Self::Reference { path } => write!(
                f,
                "ReferenceDefaults in {}",
                printable(&path.display().to_string())
            ),
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
                // A share is never rounded down to zero.
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
