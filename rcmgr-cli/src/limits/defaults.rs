//! The defaults that limits are built over: a table of the library, fitted to memory and file
//! descriptors.

use clap::Args;
use rcmgr_atomic::{LimitValue, Limits, LimitsKey, Resource};
use rcmgr_config::{Budget, ByteSize, Machine, ScalingLimit, ScalingLimits};

use super::amount::{short_size, size};
use super::origin::Origin;
use super::preset::Preset;

/// The options of the defaults: a table, fitted to a machine or to a budget.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Defaults, for limits that no file sets")]
pub struct DefaultsOptions {
    /// The table of limits to start from; `server` by default
    #[arg(long, value_name = "PRESET", value_enum)]
    preset: Option<Preset>,

    /// Scale the table to this much memory, such as 512MiB; this is not a cap
    ///
    /// This is go-libp2p's Scale(memory, fds): a limit is its base in the table plus an amount for
    /// each GiB of SIZE. Only whole MiB count, and nothing is added up to 128 MiB. In both tables
    /// System may use SIZE plus 128 MiB. Without this option, SIZE is 1/8 of the memory of this
    /// machine or container.
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,

    /// Scale the table to this many file descriptors; this is not a cap
    ///
    /// A scope gets its share of NUMBER, or its base in the table if that is more. In both tables
    /// System gets NUMBER, but at least 256. Without this option, NUMBER is 1/2 of the file
    /// descriptors that this process may open (`ulimit -n`).
    #[arg(long, value_name = "NUMBER")]
    fds: Option<u64>,

    /// Stay within this much memory and this many file descriptors, such as 512MiB,4096
    ///
    /// This is a cap: System gets exactly SIZE and NUMBER. Every other scope gets the same share of
    /// them as it has of System's limits in the table. Allowlisted connections do not count in
    /// System: together they may use as much again. The numbers of connections and streams are
    /// those of `--memory SIZE`.
    #[arg(long, value_name = "SIZE,NUMBER", conflicts_with_all = ["memory", "fds"])]
    #[arg(value_parser = budget)]
    budget: Option<Budget>,
}

fn budget(text: &str) -> Result<Budget, String> {
    let (memory, fds) = text
        .split_once(',')
        .ok_or("expected SIZE,NUMBER, as in 512MiB,4096")?;
    let (memory, fds) = (memory.trim(), fds.trim());
    let size: Result<ByteSize, _> = memory.parse();
    let ByteSize(bytes) = size.map_err(|error| format!("memory {memory:?}: {error}"))?;
    let fds = fds
        .parse()
        .map_err(|_| format!("file descriptors {fds:?}: expected a whole number"))?;
    Ok(Budget { memory: bytes, fds })
}

impl DefaultsOptions {
    /// Whether the options give the same limits on every machine.
    pub const fn suit_any_machine(&self) -> bool {
        self.budget.is_some() || (self.memory.is_some() && self.fds.is_some())
    }

    /// Whether any of the options was given.
    pub fn are_given(&self) -> bool {
        let scale = self.memory.is_some() || self.fds.is_some();
        scale || self.budget.is_some() || self.preset.is_some()
    }

    /// The defaults on `machine`.
    pub fn on(&self, machine: &Machine) -> Defaults {
        let preset = self.preset.unwrap_or_default();
        let table = preset.table();
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
            preset,
            table,
            fit,
            scaled,
            description: self.describe(preset, fit, machine),
        }
    }

    fn describe(&self, preset: Preset, fit: Fit, machine: &Machine) -> String {
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

/// The target that a table is fitted to.
#[derive(Debug, Clone, Copy)]
enum Fit {
    /// Scaled with the table's formula, to memory in bytes and file descriptors.
    Scale { memory: u64, fds: u64 },
    /// Shared out so that the system scope has exactly the budget.
    Budget(Budget),
}

/// The limits that no file sets, and their origins.
#[derive(Debug)]
pub struct Defaults {
    /// The limits.
    pub limits: Limits,
    /// A description of the defaults.
    pub description: String,
    preset: Preset,
    table: ScalingLimits,
    fit: Fit,
    /// The table as scaled, before a budget is shared out.
    scaled: Limits,
}

impl Defaults {
    /// The origin of the default of a field. `key` must not be a named entry, because the tables
    /// have none.
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

    /// The origin of a setting that no file sets and that is the same on every machine: a limit by
    /// address, and the number of requests that may wait.
    pub fn fixed_origin(&self) -> Origin {
        Origin::Fixed(self.preset)
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
