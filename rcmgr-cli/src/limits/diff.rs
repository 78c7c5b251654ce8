//! `rcmgr limits diff`: compares two limits files.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::slice;

use clap::Args;
use rcmgr_atomic::{Limits, LimitsKey, Resource};
use rcmgr_config::Machine;

use super::amount::{limit, printable};
use super::beside;
use super::command_error::CommandError;
use super::configuration::Configuration;
use super::defaults::DefaultsOptions;
use crate::output::print;

/// The options of `rcmgr limits diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffOptions {
    /// The old limits, a .json or .toml file
    #[arg(value_name = "OLD")]
    old: PathBuf,

    /// The new limits, a .json or .toml file
    #[arg(value_name = "NEW")]
    new: PathBuf,

    #[command(flatten)]
    defaults: DefaultsOptions,
}

/// Prints the differences.
pub fn run(options: &DiffOptions) -> Result<ExitCode, CommandError> {
    let defaults = options.defaults.on(&Machine::detect());
    let read = |file| Configuration::read(&defaults, slice::from_ref(file));
    let (old, new) = (read(&options.old)?.limits, read(&options.new)?.limits);
    print(all_differences(&old, &new).concat())?;
    Ok(match old == new {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The differences of the enforced limits and of the dry runs. A missing dry run is compared as
/// one that has the enforced limits.
fn all_differences(old: &Limits, new: &Limits) -> Vec<String> {
    let mut lines = differences(old, new);
    match (&old.dry_run, &new.dry_run) {
        (None, None) => {}
        (old_run, new_run) => {
            if old_run.is_none() {
                lines.push("DryRun: added\n".to_owned());
            }
            if new_run.is_none() {
                lines.push("DryRun: removed\n".to_owned());
            }
            let old = old_run.as_deref().unwrap_or(old);
            let new = new_run.as_deref().unwrap_or(new);
            // A field that the dry run leaves out is as enforced: its change is listed already.
            let own = differences(old, new).into_iter();
            let own: Vec<_> = own.filter(|line| !lines.contains(line)).collect();
            lines.extend(own.into_iter().map(|line| format!("DryRun.{line}")));
        }
    }
    lines
}

/// A line for each entry that only one of them has, and for each different value. A missing entry
/// has the limits of its class.
fn differences(old: &Limits, new: &Limits) -> Vec<String> {
    let keys = |limits: &Limits| limits.entries().map(|(key, _)| key).collect();
    let (in_old, in_new): (BTreeSet<LimitsKey>, BTreeSet<LimitsKey>) = (keys(old), keys(new));
    let mut lines = Vec::new();
    for key in in_old.union(&in_new) {
        let name = printable(&key.to_string());
        if !in_old.contains(key) {
            lines.push(format!("{name}: added\n"));
        }
        if !in_new.contains(key) {
            lines.push(format!("{name}: removed\n"));
        }
        let (Some(before), Some(after)) = (old.lookup(key), new.lookup(key)) else {
            continue;
        };
        for resource in Resource::IN_FILES {
            let (before, after) = (before.get(resource), after.get(resource));
            if before != after {
                let (before, after) = (limit(resource, before), limit(resource, after));
                let field = resource.field_name();
                lines.push(format!("{name}.{field}: {before} -> {after}\n"));
            }
        }
    }
    if old.waiters != new.waiters {
        let (field, before, after) = (beside::WAITERS, old.waiters, new.waiters);
        lines.push(format!("{field}: {before} -> {after}\n"));
    }
    for (key, [before, after]) in beside::changes(old, new) {
        let [before, after] = [before, after].map(|value| beside::text(value.as_ref()));
        lines.push(format!("{key}: {before} -> {after}\n"));
    }
    lines
}
