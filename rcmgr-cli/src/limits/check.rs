//! `rcmgr limits check`: checks limits files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::slice;

use clap::Args;
use rcmgr_config::{LimitsExt, LimitsFileErrors, Machine};

use super::advice::Advice;
use super::command_error::CommandError;
use super::configuration::{Configuration, comparable};
use super::defaults::{Defaults, DefaultsOptions};
use crate::output::{print, print_error};

/// The options of `rcmgr limits check`.
#[derive(Debug, Clone, Args)]
pub struct CheckOptions {
    /// Limits files, .json or .toml; each is checked on its own
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Treat warnings as errors
    #[arg(long)]
    deny_warnings: bool,

    #[command(flatten)]
    defaults: DefaultsOptions,
}

/// Checks every file.
pub fn run(options: &CheckOptions) -> Result<ExitCode, CommandError> {
    let here = Machine::detect();
    let defaults = options.defaults.on(&here);
    let machine = (!options.defaults.suit_any_machine()).then(|| comparable(here));
    let mut all_ok = true;
    for file in &options.files {
        match warnings(&defaults, file, machine.as_ref()) {
            Err(bad) => {
                print_error(bad);
                all_ok = false;
            }
            Ok(warnings) => {
                warnings.iter().for_each(print_error);
                if options.deny_warnings && !warnings.is_empty() {
                    all_ok = false;
                } else {
                    let file = file.display();
                    print(match warnings.len() {
                        0 => format!("{file}: ok\n"),
                        1 => format!("{file}: ok, 1 warning\n"),
                        count => format!("{file}: ok, {count} warnings\n"),
                    })?;
                }
            }
        }
    }
    Ok(match all_ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The warnings that a file causes: those of the defaults alone are left out.
fn warnings(
    defaults: &Defaults,
    file: &Path,
    machine: Option<&Machine>,
) -> Result<Vec<String>, LimitsFileErrors> {
    let configuration = Configuration::read(defaults, slice::from_ref(&file.to_owned()))?;
    let limits = &configuration.limits;
    let of_limits = limits.warnings_over(&defaults.limits, machine);
    let dry_run = limits.dry_run.as_ref();
    let of_dry_run = dry_run.map(|dry_run| dry_run.warnings_over(&defaults.limits, machine));
    let mut of_dry_run = of_dry_run.unwrap_or_default();
    // Where the dry run is as enforced, the warning is there already.
    of_dry_run.retain(|warning| !of_limits.contains(warning));
    let of_limits = configuration.folded(&of_limits).into_iter();
    let advices = of_limits.chain(configuration.folded_dry_run(&of_dry_run));
    let line = |Advice { set_by, text }| {
        let line = set_by.map_or(" ".to_owned(), |(_, line)| format!("{line}: "));
        format!("{}:{line}warning: {text}", file.display())
    };
    Ok(advices.map(line).collect())
}
