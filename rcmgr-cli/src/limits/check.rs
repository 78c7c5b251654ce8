//! `rcmgr limits check`: checks limits files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rcmgr_config::{LimitsExt, LimitsFile, LimitsFileErrors, Machine, Warning};

use super::command_error::CommandError;
use super::configuration::comparable;
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

/// The warnings that a file causes, for its limits and for its dry run: those of the defaults alone
/// are left out.
fn warnings(
    defaults: &Defaults,
    file: &Path,
    machine: Option<&Machine>,
) -> Result<Vec<String>, LimitsFileErrors> {
    let read = LimitsFile::read_with_all_errors(file)?;
    let limits = read.limits.build(&defaults.limits);
    let line = |place: &str, warning: &Warning, set_on: Option<usize>| {
        let line = set_on.map_or(" ".to_owned(), |line| format!("{line}: "));
        format!("{}:{line}warning: {place}{warning}", file.display())
    };
    let of_limits = limits.warnings_over(&defaults.limits, machine);
    let mut lines: Vec<_> = of_limits
        .iter()
        .map(|warning| line("", warning, read.line_of(&warning.setting)))
        .collect();
    if let Some(dry_run) = &limits.dry_run {
        // Where the dry run is as enforced, the warning is there already.
        let of_dry_run = dry_run.warnings_over(&defaults.limits, machine);
        let own = of_dry_run
            .iter()
            .filter(|warning| !of_limits.contains(warning));
        lines.extend(own.map(|warning| {
            let set_on = read.dry_run_line_of(&warning.setting);
            line("DryRun.", warning, set_on)
        }));
    }
    Ok(lines)
}
