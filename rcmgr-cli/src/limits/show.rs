//! `rcmgr limits`: the limits that come out.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};
use rcmgr_atomic::LimitsKey;
use rcmgr_config::{LimitsExt, Machine};

use super::configuration::Configuration;
use super::defaults::DefaultsOptions;
use super::{Trouble, comparable, scope, table, written};
use crate::output::{complain, print};

/// Which limits are shown, and how.
#[derive(Debug, Clone, Args)]
pub struct ShowOptions {
    /// Files of limits, .json or .toml; of two that set the same field, the later one counts
    #[arg(value_name = "FILE", value_parser = PathBufValueParser::new().try_map(file))]
    files: Vec<PathBuf>,

    /// Show only this scope, such as System, PeerDefault, Service.NAME or Peer.ID; may be given
    /// more than once
    ///
    /// A name without an entry of its own is shown with the limits that it gets.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<LimitsKey>,

    /// Print a line for each value that tells where it comes from
    #[arg(long, conflicts_with = "toml")]
    explain: bool,

    /// Print a file of JSON that gives these limits; with --explain, an array of all values with
    /// where they come from
    #[arg(long, conflicts_with = "toml")]
    json: bool,

    /// Print a file of TOML that gives these limits, with where each comes from in comments
    #[arg(long)]
    toml: bool,

    #[command(flatten)]
    defaults: DefaultsOptions,
}

/// Behind an option a command is taken for a file, whose error would say little.
fn file(path: PathBuf) -> Result<PathBuf, String> {
    match path.to_str() {
        Some(command @ ("check" | "diff")) => Err(format!(
            "the command comes before all options and files: rcmgr limits {command} ..."
        )),
        _ => Ok(path),
    }
}

/// Prints the limits, and then warnings.
pub fn run(options: &ShowOptions) -> Result<ExitCode, Trouble> {
    let machine = Machine::detect();
    let defaults = options.defaults.on(&machine);
    let configuration = Configuration::read(&defaults, &options.files)?;
    let entries = configuration.entries(&options.scopes);
    print(match (options.json, options.explain) {
        _ if options.toml => written::toml(&configuration, &entries),
        (true, true) => written::explained_json(&configuration, &entries),
        (true, false) => written::json(&entries),
        (false, true) => written::explained(&configuration, &entries),
        (false, false) => {
            let description = configuration.description();
            let table = table::table(&configuration, &entries);
            format!("{description}\n\n{table}")
        }
    })?;
    for warning in configuration.limits.warnings(Some(&comparable(machine))) {
        complain(format_args!("warning: {warning}"));
    }
    Ok(ExitCode::SUCCESS)
}
