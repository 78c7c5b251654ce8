//! What limits are built over: a table of the library's, for so much memory and so many file
//! descriptors.

use std::fmt::{self, Display, Formatter};

use clap::{Args, ValueEnum};
use rcmgr_atomic::{LimitValue, Limits, LimitsKey, Resource};
use rcmgr_config::{Budget, ByteSize, Machine, ScalingLimit, ScalingLimits};

use super::amount::{short_size, size};
use super::origin::Origin;

/// What a file leaves open comes from a table that is fitted to a machine or to a budget.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Defaults, for what no file sets")]
pub struct DefaultsOptions {
    /// The table of limits to start from
    #[arg(long, value_enum, default_value_t)]
    preset: Preset,

    /// Scale the table to this much memory, such as 512MiB; it is no cap
    ///
    /// This is go-libp2p's Scale(memory, fds): a limit is its base in the table and so much for
    /// each GiB of SIZE, of which whole MiB count, and none up to 128 MiB. In both tables System
    /// may use SIZE and 128 MiB more. Without this option, SIZE is 1/8 of this machine's memory,
    /// or of its container's.
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,

    /// Scale the table to this many file descriptors; it is no cap
    ///
    /// A scope gets its share of NUMBER, or its base in the table where that is more. In both
    /// tables System gets NUMBER, but at least 256. Without this option, NUMBER is 1/2 of what this
    /// process may open (`ulimit -n`).
    #[arg(long, value_name = "NUMBER")]
    fds: Option<u64>,

    /// Stay within this much memory and this many file descriptors, such as 512MiB,4096
    ///
    /// This is a cap: System gets exactly SIZE and NUMBER. Of them, every other scope gets what it
    /// has of System's in the table. Allowlisted connections do not count in System: together they
    /// may use as much again. The numbers of connections and streams are those of `--memory SIZE`.
    #[arg(long, value_name = "SIZE,NUMBER", conflicts_with_all = ["memory", "fds"])]
    #[arg(value_parser = budget)]
    budget: Option<Budget>,
}

/// A table of the library's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// go-libp2p's: services and protocols have streams, but no connections
    #[default]
    Default,
    /// For plain servers: services have connections, too
    Server,
}

impl Preset {
    fn table(self) -> ScalingLimits {
        match self {
            Self::Default => ScalingLimits::default(),
            Self::Server => ScalingLimits::server(),
        }
    }
}

impl Display for Preset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Server => "server",
        })
    }
}

fn budget(text: &str) -> Result<Budget, String> {
    let (memory, fds) = text
        .split_once(',')
        .ok_or("it should read SIZE,NUMBER, as in 512MiB,4096")?;
    let (memory, fds) = (memory.trim(), fds.trim());
    let size: Result<ByteSize, _> = memory.parse();
    let ByteSize(bytes) = size.map_err(|error| format!("memory {memory:?}: {error}"))?;
    let fds = fds
        .parse()
        .map_err(|_| format!("file descriptors {fds:?}: expected a whole number"))?;
    Ok(Budget { memory: bytes, fds })
}

impl DefaultsOptions {
    /// Whether they give the same limits on every machine.
    pub const fn suit_any_machine(&self) -> bool {
        self.budget.is_some() || (self.memory.is_some() && self.fds.is_some())
    }

    /// Whether anything else was chosen than to take what there is here.
    pub fn are_given(&self) -> bool {
        let scale = self.memory.is_some() || self.fds.is_some();
        scale || self.budget.is_some() || self.preset != Preset::default()
    }

    /// The limits that they give on `machine`.
    pub fn on(&self, machine: &Machine) -> Defaults {
        let table = self.preset.table();
        let fit = match self.budget {
            Some(budget) => Fit::Budget(budget),
            None => Fit::Scale {
                memory: self
                    .memory
                    .map_or(machine.memory / 8, |ByteSize(size)| size),
                fds: self.fds.unwrap_or(machine.fds / 2),
            },
        };
        let scaled = match fit {
            Fit::Budget(Budget { memory, fds }) | Fit::Scale { memory, fds } => {
                table.scale(memory, fds)
            }
        };
        Defaults {
            limits: match fit {
                Fit::Scale { .. } => scaled.clone(),
                Fit::Budget(budget) => budget.limits_of(&table),
            },
            preset: self.preset,
            table,
            fit,
            scaled,
            description: self.describe(fit, machine),
        }
    }

    fn describe(&self, fit: Fit, machine: &Machine) -> String {
        let preset = self.preset;
        match fit {
            Fit::Budget(Budget { memory, fds }) => {
                let memory = size(memory);
                format!("preset {preset}, within a budget of {memory} of memory and {fds} fds")
            }
            Fit::Scale { memory, fds } => {
                let of_memory = match self.memory {
                    Some(_) => String::new(),
                    None => format!(" (1/8 of the {} here)", short_size(machine.memory)),
                };
                let of_fds = match self.fds {
                    Some(_) => String::new(),
                    None => format!(" (1/2 of the {} here)", machine.fds),
                };
                format!(
                    "preset {preset}, scaled to {} of memory{of_memory} and {fds} fds{of_fds}",
                    short_size(memory)
                )
            }
        }
    }
}

/// What a table is fitted to.
#[derive(Debug, Clone, Copy)]
enum Fit {
    /// The table's own formula, for so much memory in bytes and so many file descriptors.
    Scale { memory: u64, fds: u64 },
    /// The system scope has just that.
    Budget(Budget),
}

/// The limits that hold where no file says otherwise, and how they come about.
#[derive(Debug)]
pub struct Defaults {
    /// The limits.
    pub limits: Limits,
    /// Which they are, in words.
    pub description: String,
    preset: Preset,
    table: ScalingLimits,
    fit: Fit,
    /// The table as scaled, before a budget is shared out.
    scaled: Limits,
}

impl Defaults {
    /// Where the default of a field comes from. `key` is no named entry: the tables have none.
    pub fn origin(&self, key: &LimitsKey, resource: Resource) -> Origin {
        let Some(scaling) = self.table.get(key) else {
            return Origin::Fixed(self.preset);
        };
        match (self.fit, resource) {
            (Fit::Budget(budget), Resource::Memory) => self.share(key, resource, budget.memory),
            (Fit::Budget(budget), Resource::Fd) => self.share(key, resource, budget.fds),
            (Fit::Budget(Budget { memory, fds }) | Fit::Scale { memory, fds }, _) => {
                self.scaled(scaling, resource, memory, fds)
            }
        }
    }

    fn share(&self, key: &LimitsKey, resource: Resource, budget: u64) -> Origin {
        let whole = self.scaled.system.get(resource);
        let part = self.scaled.lookup(key).map(|limit| limit.get(resource));
        match (part, whole) {
            _ if *key == LimitsKey::System => Origin::Budget,
            (Some(LimitValue::Limited(part @ 1..)), LimitValue::Limited(whole @ 1..)) => {
                Origin::Share {
                    resource,
                    budget,
                    part,
                    whole,
                }
            }
            _ => Origin::Fixed(self.preset),
        }
    }

    fn scaled(&self, scaling: &ScalingLimit, resource: Resource, memory: u64, fds: u64) -> Origin {
        let fraction = scaling.increase.fd_fraction;
        match (
            scaling.base.get(resource),
            scaling.increase.per_gib(resource),
        ) {
            (LimitValue::Limited(base), _) if resource == Resource::Fd && fraction > 0.0 => {
                Origin::Fds {
                    base,
                    fraction,
                    fds,
                }
            }
            (LimitValue::Limited(base), per_gib @ 1..) => Origin::Scaled {
                resource,
                base,
                per_gib,
                memory,
            },
            _ => Origin::Fixed(self.preset),
        }
    }
}
