//! `rcmgr limits`: shows the resulting limits.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rcmgr_atomic::{BadConfiguration, LimitsKey};
use rcmgr_config::Machine;

use super::amount::printable;
use super::command_error::CommandError;
use super::configuration::{Configuration, comparable};
use super::defaults::DefaultsOptions;
use super::{beside, table, written};
use crate::output::{print, print_error, terminal_columns, wrong_use};

/// The options of `rcmgr limits` without a command.
#[derive(Debug, Clone, Args)]
pub struct ShowOptions {
    /// Limits files, .json or .toml; if two set the same field, the later one wins
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Show only this scope, such as System, PeerDefault, Service.NAME or Peer.ID; can be repeated
    ///
    /// A name without its own entry is shown with the limits of its class.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<LimitsKey>,

    /// Print a line with the origin of each value
    #[arg(long, conflicts_with = "toml")]
    explain: bool,

    /// Print these limits as a JSON limits file; with --explain, an array of all values with their
    /// origins
    #[arg(long, conflicts_with = "toml")]
    json: bool,

    /// Print these limits as a TOML limits file, with the origins in comments
    #[arg(long)]
    toml: bool,

    #[command(flatten)]
    defaults: DefaultsOptions,
}

/// The commands of `rcmgr limits`.
const COMMANDS: [&str; 3] = ["check", "diff", "help"];

/// Names that are at least this similar are taken for mistyped ones, as by clap.
const SIMILAR: f64 = 0.7;

/// A command after an option, and a mistyped command, are parsed as a file. This is a helpful
/// message for them: the name of a limits file has an ending.
fn not_a_file(path: &Path) -> Option<String> {
    let word = match path.to_str() {
        Some(word) if path.extension().is_none() && !path.exists() => word,
        Some(command) if COMMANDS.contains(&command) => command,
        _ => return None,
    };
    if COMMANDS.contains(&word) {
        return Some(format!(
            "the command must come before all options and files: rcmgr limits {word} ..."
        ));
    }
    let likeness = |command: &&str| strsim::jaro(word, command);
    let similar = COMMANDS.into_iter().max_by(|one, other| {
        let [one, other] = [one, other].map(likeness);
        one.total_cmp(&other)
    });
    let similar = similar.filter(|command| likeness(command) > SIMILAR);
    let word = printable(word);
    Some(match similar {
        Some(command) => {
            format!("there is no command or file `{word}`; did you mean `{command}`?")
        }
        None => {
            let commands = COMMANDS.join(", ");
            format!(
                "there is no command or file `{word}`; the commands are {commands}, and the name \
                 of a limits file ends in .json or .toml"
            )
        }
    })
}

fn scope(text: &str) -> Result<LimitsKey, String> {
    text.parse().map_err(|bad: BadConfiguration| {
        format!(
            "{}; the scopes are System, Transient, AllowlistedSystem, AllowlistedTransient, \
             ServiceDefault, Service.NAME, ServicePeerDefault, ServicePeer.NAME, ProtocolDefault, \
             Protocol.ID, ProtocolPeerDefault, ProtocolPeer.ID, PeerDefault, Peer.ID, Conn, Stream",
            bad.reason
        )
    })
}

/// Prints the limits, then the warnings.
pub fn run(options: &ShowOptions) -> Result<ExitCode, CommandError> {
    if let Some(error) = options.files.iter().find_map(|file| not_a_file(file)) {
        return Ok(wrong_use(error));
    }
    let machine = Machine::detect();
    let defaults = options.defaults.on(&machine);
    let configuration = Configuration::read(&defaults, &options.files)?;
    let entries = configuration.entries(&options.scopes);
    let besides = match options.scopes.is_empty() {
        true => beside::all(&configuration),
        false => Vec::new(),
    };
    print(match (options.json, options.explain) {
        _ if options.toml => written::toml(&configuration, &options.scopes),
        (true, true) => written::explained_json(&configuration, &entries, besides),
        (true, false) => written::json(&configuration, &options.scopes),
        (false, true) => written::explained(&configuration, &entries, &besides, terminal_columns()),
        (false, false) => {
            let description = configuration.description();
            let columns = terminal_columns();
            let table = table::table(&configuration, &entries, columns);
            let beside = table::beside(&configuration, besides, columns);
            format!("{description}\n\n{table}{beside}")
        }
    })?;
    for warning in configuration.warnings(Some(&comparable(machine))) {
        print_error(format_args!("warning: {}", warning.text));
    }
    Ok(ExitCode::SUCCESS)
}
